package polybus;

import static org.junit.jupiter.api.Assertions.*;

import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.errors.*;
import org.junit.jupiter.api.Test;

/** Groups and their offsets, as an administrator sees and changes them. */
class GroupAdminTest extends Kafka {
  private static ConsumerGroupDescription describe(String group) throws Exception {
    return await(ADMIN.describeConsumerGroups(List.of(group)).all()).get(group);
  }

  private static Map<TopicPartition, OffsetAndMetadata> offsets(String group) throws Exception {
    return await(ADMIN.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
  }

  /** A group without members that committed offset 1 of a partition. */
  private String emptyGroup(TopicPartition partition) throws Exception {
    String group = unique();
    try (Consumer<String, String> reader = consumerThatStays(group)) {
      reader.assign(List.of(partition));
      reader.commitSync(offset(partition, 1));
    }
    return group;
  }

  private Member member(String group, String topic, Object... more) {
    return closing(new Member(consumerThatStays(group, more), List.of(topic)));
  }

  @Test
  void groupsAreListedAndDescribed() throws Exception {
    String topic = topic(2), group = unique();
    Member one = member(group, topic, "client.id", "one", "group.instance.id", "first");
    Member.settle(all(topic, 2), List.of(2), one);
    GroupListing listed = await(ADMIN.listGroups(ListGroupsOptions.forConsumerGroups()).all()).stream().filter(g -> g.groupId().equals(group)).findFirst().orElseThrow();
    assertEquals(Optional.of(GroupType.CLASSIC), listed.type());
    assertEquals(Optional.of(GroupState.STABLE), listed.groupState());
    assertEquals("consumer", listed.protocol());
    ConsumerGroupDescription described = describe(group);
    assertEquals(GroupState.STABLE, described.groupState());
    assertEquals("range", described.partitionAssignor());
    assertEquals(await(ADMIN.describeCluster().controller()).id(), described.coordinator().id());
    MemberDescription member = described.members().iterator().next();
    assertEquals(Set.copyOf(all(topic, 2)), member.assignment().topicPartitions());
    assertEquals(Optional.of("first"), member.groupInstanceId());
    assertEquals("one", member.clientId());
    assertEquals(one.id, member.consumerId());
    assertFalse(member.host().isEmpty());
    Set<GroupState> empty = Set.of(GroupState.EMPTY);
    assertFalse(await(ADMIN.listGroups(new ListGroupsOptions().inGroupStates(empty)).all()).stream().anyMatch(g -> g.groupId().equals(group)));
  }

  @Test
  void emptyGroup() throws Exception {
    String group = emptyGroup(at(topic(1), 0));
    ConsumerGroupDescription described = describe(group);
    assertEquals(GroupState.EMPTY, described.groupState());
    assertTrue(described.members().isEmpty());
    fails(GroupIdNotFoundException.class, ADMIN.describeConsumerGroups(List.of(unique())).all());
  }

  @Test
  void groupsAreDeleted() throws Exception {
    String topic = topic(1), group = emptyGroup(at(topic, 0)), busy = unique();
    Member.settle(all(topic, 1), List.of(1), member(busy, topic));
    fails(GroupNotEmptyException.class, ADMIN.deleteConsumerGroups(List.of(busy)).all());
    await(ADMIN.deleteConsumerGroups(List.of(group)).all());
    fails(GroupIdNotFoundException.class, ADMIN.deleteConsumerGroups(List.of(group)).all());
    assertTrue(offsets(group).isEmpty());
  }

  @Test
  void offsetsAreChanged() throws Exception {
    String topic = topic(2), group = emptyGroup(at(topic, 0));
    send(topic, "a", "b", "c");
    assertEquals(offset(at(topic, 0), 1), offsets(group));
    await(ADMIN.alterConsumerGroupOffsets(group, Map.of(at(topic, 0), new OffsetAndMetadata(2, "set"), at(topic, 1), new OffsetAndMetadata(0))).all());
    assertEquals(Map.of(at(topic, 0), new OffsetAndMetadata(2, "set"), at(topic, 1), new OffsetAndMetadata(0)), offsets(group));
    Consumer<String, String> reader = consumer(group);
    reader.subscribe(List.of(topic));
    assertEquals(List.of("c"), values(take(reader, 1)));
    fails(UnknownMemberIdException.class, ADMIN.alterConsumerGroupOffsets(group, offset(at(topic, 0), 0)).all());
    fails(GroupSubscribedToTopicException.class, ADMIN.deleteConsumerGroupOffsets(group, Set.of(at(topic, 0))).all());
    reader.close();
    await(ADMIN.deleteConsumerGroupOffsets(group, Set.of(at(topic, 0))).all());
    assertEquals(Set.of(at(topic, 1)), offsets(group).keySet());
  }

  @Test
  void offsetsOfSeveralGroups() throws Exception {
    TopicPartition partition = at(topic(1), 0);
    String one = emptyGroup(partition), two = emptyGroup(partition), none = unique();
    ListConsumerGroupOffsetsSpec spec = new ListConsumerGroupOffsetsSpec();
    Map<String, Map<TopicPartition, OffsetAndMetadata>> all = await(ADMIN.listConsumerGroupOffsets(Map.of(one, spec, two, spec, none, spec)).all());
    assertEquals(Map.of(one, offset(partition, 1), two, offset(partition, 1), none, Map.of()), all);
  }

  @Test
  void offsetsGoWithTheirTopic() throws Exception {
    String topic = topic(1), group = emptyGroup(at(topic, 0));
    await(ADMIN.deleteTopics(List.of(topic)).all());
    until(() -> answer(() -> offsets(group).isEmpty()), "the offset is gone");
  }

  @Test
  void membersAreRemoved() throws Exception {
    String topic = topic(1), group = unique();
    Member one = member(group, topic, "group.instance.id", "a", "session.timeout.ms", 30_000, "heartbeat.interval.ms", 1000);
    Member.settle(all(topic, 1), List.of(1), one);
    one.close();
    assertEquals(1, describe(group).members().size(), "a static member does not leave");
    await(ADMIN.removeMembersFromConsumerGroup(group, new RemoveMembersFromConsumerGroupOptions(Set.of(new MemberToRemove("a")))).all());
    until(() -> answer(() -> describe(group).members().isEmpty()), "it is removed");
    assertEquals(GroupState.EMPTY, describe(group).groupState());
  }
}
