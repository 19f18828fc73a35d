package polybus;

import static org.junit.jupiter.api.Assertions.*;

import java.util.*;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.errors.*;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The consumer protocol of Kafka 4 (group.protocol=consumer), where the broker assigns the partitions. */
class ConsumerProtocolTest extends Kafka {
  private static Object[] with(Object... more) {
    return Stream.concat(Stream.of("group.protocol", "consumer"), Stream.of(more)).toArray();
  }

  private Member member(String group, Object topics, Object... more) {
    return closing(new Member(consumerThatStays(group, with(more)), topics));
  }

  @ParameterizedTest
  @ValueSource(strings = {"uniform", "range"})
  void membersShareThePartitions(String assignor) throws Exception {
    String topic = topic(4), group = unique();
    Member one = member(group, List.of(topic), "group.remote.assignor", assignor);
    Member.settle(all(topic, 4), List.of(4), one);
    Member two = member(group, List.of(topic), "group.remote.assignor", assignor);
    Member.settle(all(topic, 4), List.of(2, 2), one, two);
    sendNumbers(topic, 4, 40);
    until(() -> one.got.size() + two.got.size() >= 40, "all is read");
    assertEquals(List.of(20, 20), List.of(one.got.size(), two.got.size()));
    two.close();
    Member.settle(all(topic, 4), List.of(4), one);
    sendNumbers(topic, 4, 4);
    until(() -> one.got.size() == 24, "the one that is left goes on");
  }

  @Test
  void committedOffsetsStay() throws Exception {
    String topic = topic(1), group = unique();
    send(topic, "a", "b", "c");
    try (Consumer<String, String> first = consumerThatStays(group, with())) {
      first.subscribe(List.of(topic));
      take(first, 3);
      first.commitSync(Map.of(at(topic, 0), new OffsetAndMetadata(2, "up to b")));
    }
    Consumer<String, String> second = consumer(group, with());
    second.subscribe(List.of(topic));
    assertEquals(List.of("c"), values(take(second, 1)));
    assertEquals("up to b", second.committed(Set.of(at(topic, 0))).get(at(topic, 0)).metadata());
  }

  @Test
  void patternIsMatchedByTheBroker() throws Exception {
    String topic = topic(1), group = unique();
    Member one = member(group, new SubscriptionPattern(topic.substring(0, topic.length() - 1) + "."));
    Member.settle(all(topic, 1), List.of(1), one);
    Consumer<String, String> wrong = consumer(unique(), with());
    wrong.subscribe(new SubscriptionPattern("(["));
    assertThrows(InvalidRegularExpression.class, () -> take(wrong, 1));
  }

  @Test
  void partitionsAreAdded() throws Exception {
    String topic = topic(1), group = unique();
    Member one = member(group, List.of(topic));
    Member.settle(all(topic, 1), List.of(1), one);
    await(ADMIN.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all());
    Member.settle(all(topic, 3), List.of(3), one);
  }

  @Test
  void staticMemberComesBack() throws Exception {
    String topic = topic(2), group = unique();
    Member stays = member(group, List.of(topic), "group.instance.id", "a"), first = member(group, List.of(topic), "group.instance.id", "b");
    Member.settle(all(topic, 2), List.of(1, 1), stays, first);
    Set<TopicPartition> owned = first.assigned;
    first.close();
    Member again = member(group, List.of(topic), "group.instance.id", "b");
    Member.settle(all(topic, 2), List.of(1, 1), stays, again);
    assertEquals(owned, again.assigned);
    Consumer<String, String> third = consumer(group, with("group.instance.id", "b"));
    third.subscribe(List.of(topic));
    assertThrows(UnreleasedInstanceIdException.class, () -> take(third, 1));
  }

  @Test
  void groupIsDescribed() throws Exception {
    String topic = topic(2), group = unique();
    Member one = member(group, List.of(topic), "client.id", "one");
    Member.settle(all(topic, 2), List.of(2), one);
    until(() -> answer(() -> describe(group).groupState() == GroupState.STABLE), "it is stable");
    ConsumerGroupDescription described = describe(group);
    assertEquals(GroupType.CONSUMER, described.type());
    assertEquals("uniform", described.partitionAssignor());
    MemberDescription member = described.members().iterator().next();
    assertEquals("one", member.clientId());
    assertEquals(Set.copyOf(all(topic, 2)), member.assignment().topicPartitions());
    assertEquals(member.assignment(), member.targetAssignment().orElseThrow());
    assertTrue(await(ADMIN.listGroups(new ListGroupsOptions().withTypes(Set.of(GroupType.CONSUMER))).all()).stream().anyMatch(g -> g.groupId().equals(group)));
  }

  @Test
  void groupMovesFromTheClassicProtocol() throws Exception {
    String topic = topic(2), group = unique();
    Member classic = closing(new Member(consumerThatStays(group, "heartbeat.interval.ms", 500, "partition.assignment.strategy",
        CooperativeStickyAssignor.class.getName()), List.of(topic)));
    Member.settle(all(topic, 2), List.of(2), classic);
    Member modern = member(group, List.of(topic));
    Member.settle(all(topic, 2), List.of(1, 1), classic, modern);
    classic.close();
    Member.settle(all(topic, 2), List.of(2), modern);
  }

  @ParameterizedTest
  @ValueSource(classes = {CooperativeStickyAssignor.class, RangeAssignor.class})
  void groupMovesThereAndBack(Class<?> assignor) throws Exception {
    String topic = topic(4), group = unique();
    Object[] classically = {"heartbeat.interval.ms", 500, "partition.assignment.strategy", assignor.getName()};
    Member first = closing(new Member(consumerThatStays(group, classically), List.of(topic)));
    Member second = closing(new Member(consumerThatStays(group, classically), List.of(topic)));
    Member.settle(all(topic, 4), List.of(2, 2), first, second);
    Member modern = member(group, List.of(topic));
    until(() -> answer(() -> describe(group).type() == GroupType.CONSUMER && describe(group).members().size() == 3), "the broker shares the work out");
    sendNumbers(topic, 4, 40);
    until(() -> first.got.size() + second.got.size() + modern.got.size() >= 40, "all is read");
    modern.close();
    Member.settle(all(topic, 4), List.of(2, 2), first, second);
    assertEquals(GroupType.CLASSIC, describe(group).type());
    sendNumbers(topic, 4, 40);
    until(() -> first.got.size() + second.got.size() + modern.got.size() >= 80, "all is read after it has moved back");
  }

  private static ConsumerGroupDescription describe(String group) throws Exception {
    return await(ADMIN.describeConsumerGroups(List.of(group)).all()).get(group);
  }
}
