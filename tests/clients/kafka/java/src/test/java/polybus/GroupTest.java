package polybus;

import static org.junit.jupiter.api.Assertions.*;

import java.time.Duration;
import java.util.*;
import java.util.concurrent.CompletableFuture;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.*;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Consumer groups as they always were: members that join, leave and die, and the offsets they commit. */
class GroupTest extends Kafka {
  private static final Object[] STAYS = {"internal.leave.group.on.close", false, "session.timeout.ms", 6000, "heartbeat.interval.ms", 1000};

  private Member member(String group, Object topics, Object... more) {
    return closing(new Member(consumerThatStays(group, Stream.concat(Stream.of("heartbeat.interval.ms", 500), Stream.of(more)).toArray()), topics));
  }

  private static Object[] assignor(String name) {
    return new Object[] {"partition.assignment.strategy", "org.apache.kafka.clients.consumer." + name};
  }

  @Test
  void committedOffsetsStay() throws Exception {
    String topic = topic(2), group = unique();
    sendTo(at(topic, 0), "a", "b", "c");
    try (Consumer<String, String> first = consumerThatStays(group)) {
      first.subscribe(List.of(topic));
      take(first, 3);
      first.commitSync(Map.of(at(topic, 0), new OffsetAndMetadata(2, Optional.of(0), "up to b")));
    }
    Consumer<String, String> second = consumer(group);
    second.subscribe(List.of(topic));
    assertEquals(List.of("c"), values(take(second, 1)));
    Map<TopicPartition, OffsetAndMetadata> committed = second.committed(Set.copyOf(all(topic, 2)));
    assertEquals(2, committed.get(at(topic, 0)).offset());
    assertEquals("up to b", committed.get(at(topic, 0)).metadata());
    assertNull(committed.get(at(topic, 1)));
  }

  @Test
  void commitWithoutMembership() throws Exception {
    String topic = topic(1), group = unique();
    send(topic, "a", "b");
    Consumer<String, String> reader = consumer(group);
    reader.assign(List.of(at(topic, 0)));
    take(reader, 2);
    reader.commitSync();
    assertEquals(2, consumer(group).committed(Set.of(at(topic, 0))).get(at(topic, 0)).offset());
  }

  @Test
  void commitAsync() throws Exception {
    String topic = topic(1);
    send(topic, "a", "b");
    Consumer<String, String> reader = consumer(unique());
    reader.subscribe(List.of(topic));
    take(reader, 2);
    List<CompletableFuture<Map<TopicPartition, OffsetAndMetadata>>> told = new ArrayList<>();
    for (int n = 1; n <= 2; n++) {
      CompletableFuture<Map<TopicPartition, OffsetAndMetadata>> one = new CompletableFuture<>();
      told.add(one);
      reader.commitAsync(offset(at(topic, 0), n), (offsets, error) -> {
        if (error == null) one.complete(offsets);
        else one.completeExceptionally(error);
      });
    }
    until(() -> {
      reader.poll(Duration.ofMillis(10));
      return told.stream().allMatch(CompletableFuture::isDone);
    }, "both are committed");
    for (int n = 1; n <= 2; n++) assertEquals(n, told.get(n - 1).get().get(at(topic, 0)).offset());
  }

  @Test
  void commitsByItself() throws Exception {
    String topic = topic(1), group = unique();
    send(topic, "a", "b", "c");
    try (Consumer<String, String> reader = consumerThatStays(group, "enable.auto.commit", true, "max.poll.records", 2)) {
      reader.subscribe(List.of(topic));
      take(reader, 2);
    }
    Consumer<String, String> next = consumer(group);
    next.subscribe(List.of(topic));
    assertEquals(List.of("c"), values(take(next, 1)));
  }

  @ParameterizedTest
  @ValueSource(strings = {"RangeAssignor", "RoundRobinAssignor", "StickyAssignor", "CooperativeStickyAssignor"})
  void membersShareThePartitions(String assignor) throws Exception {
    String topic = topic(6), group = unique();
    Member one = member(group, List.of(topic), assignor(assignor)), two = member(group, List.of(topic), assignor(assignor));
    Member.settle(all(topic, 6), List.of(3, 3), one, two);
    Member three = member(group, List.of(topic), assignor(assignor));
    Member.settle(all(topic, 6), List.of(2, 2, 2), one, two, three);
    sendNumbers(topic, 6, 60);
    until(() -> one.got.size() + two.got.size() + three.got.size() >= 60, "all is read");
    assertEquals(60, Stream.of(one, two, three).flatMap(member -> member.values().stream()).distinct().count());
    assertEquals(List.of(20, 20, 20), List.of(one.got.size(), two.got.size(), three.got.size()), "each read its own, once");
    two.close();
    Member.settle(all(topic, 6), List.of(3, 3), one, three);
    sendNumbers(topic, 6, 6);
    until(() -> one.got.size() + three.got.size() == 46, "those that are left go on");
  }

  @Test
  void moreMembersThanPartitions() throws Exception {
    String topic = topic(1), group = unique();
    Member one = member(group, List.of(topic)), two = member(group, List.of(topic));
    Member.settle(all(topic, 1), List.of(0, 1), one, two);
    Member busy = one.assigned.isEmpty() ? two : one, idle = busy == one ? two : one;
    send(topic, "a");
    until(() -> busy.got.size() == 1, "it is read");
    busy.close();
    Member.settle(all(topic, 1), List.of(1), idle);
    send(topic, "b");
    until(() -> idle.values().equals(List.of("b")), "the next goes on after what is committed");
  }

  @Test
  void cooperativeMembersKeepWhatIsTheirs() throws Exception {
    String topic = topic(4), group = unique();
    Member one = member(group, List.of(topic), assignor("CooperativeStickyAssignor"));
    Member.settle(all(topic, 4), List.of(4), one);
    Member two = member(group, List.of(topic), assignor("CooperativeStickyAssignor"));
    Member.settle(all(topic, 4), List.of(2, 2), one, two);
    List<Set<TopicPartition>> taken = one.revoked.stream().filter(set -> !set.isEmpty()).toList();
    assertEquals(1, taken.size(), "only what moves is revoked");
    assertEquals(two.assigned, taken.get(0));
  }

  @Test
  void memberThatDies() throws Exception {
    String topic = topic(2), group = unique();
    Member stays = member(group, List.of(topic)), dies = member(group, List.of(topic), STAYS);
    Member.settle(all(topic, 2), List.of(1, 1), stays, dies);
    sendNumbers(topic, 2, 2);
    until(() -> stays.got.size() == 1 && dies.got.size() == 1, "both read");
    dies.close();
    Member.settle(all(topic, 2), List.of(2), stays);
    sendNumbers(topic, 2, 4);
    until(() -> stays.got.size() == 5, "all the rest, and nothing again");
  }

  @Test
  void staticMemberComesBack() throws Exception {
    String topic = topic(4), group = unique();
    Member stays = member(group, List.of(topic), "group.instance.id", "a"), first = member(group, List.of(topic), "group.instance.id", "b");
    Member.settle(all(topic, 4), List.of(2, 2), stays, first);
    Set<TopicPartition> owned = first.assigned;
    int rebalances = stays.given.size();
    first.close();
    Member again = member(group, List.of(topic), "group.instance.id", "b");
    Member.settle(all(topic, 4), List.of(2, 2), stays, again);
    assertEquals(owned, again.assigned);
    assertEquals(rebalances, stays.given.size(), "the other did not notice");
  }

  @Test
  void staticMemberIsReplaced() throws Exception {
    String topic = topic(1), group = unique();
    Member first = member(group, List.of(topic), "group.instance.id", "a");
    Member.settle(all(topic, 1), List.of(1), first);
    Member second = member(group, List.of(topic), "group.instance.id", "a");
    until(first::hasEnded, "the first is told");
    assertInstanceOf(FencedInstanceIdException.class, first.failure);
    Member.settle(all(topic, 1), List.of(1), second);
  }

  @Test
  void assignorsThatDoNotAgree() throws Exception {
    String topic = topic(1), group = unique();
    Member one = member(group, List.of(topic), assignor("RangeAssignor"));
    Member.settle(all(topic, 1), List.of(1), one);
    Consumer<String, String> other = consumer(group, assignor("RoundRobinAssignor"));
    other.subscribe(List.of(topic));
    assertThrows(InconsistentGroupProtocolException.class, () -> take(other, 1));
  }

  @Test
  void patternSubscription() throws Exception {
    String prefix = unique(), group = unique();
    Member one = member(group, Pattern.compile(prefix + "-.*"), "metadata.max.age.ms", 300);
    // The names begin alike, so that the pattern finds them; they are not those of `topic`.
    List<String> names = List.of(prefix + "-1", prefix + "-2");
    try {
      for (int n = 0; n < 2; n++) {
        await(ADMIN.createTopics(List.of(new org.apache.kafka.clients.admin.NewTopic(names.get(n), 1, (short) 1))).all());
        Member.settle(names.subList(0, n + 1).stream().map(name -> at(name, 0)).toList(), List.of(n + 1), one);
      }
    } finally {
      ADMIN.deleteTopics(names);
    }
  }

  @Test
  void subscriptionsDiffer() throws Exception {
    String both = topic(2), only = topic(1), group = unique();
    Member one = member(group, List.of(both, only)), two = member(group, List.of(both));
    List<TopicPartition> all = new ArrayList<>(all(both, 2));
    all.add(at(only, 0));
    Member.settle(all, List.of(1, 2), one, two);
    assertTrue(one.assigned.contains(at(only, 0)));
  }

  @Test
  void partitionsAreAdded() throws Exception {
    String topic = topic(1), group = unique();
    Member one = member(group, List.of(topic), "metadata.max.age.ms", 300);
    Member.settle(all(topic, 1), List.of(1), one);
    await(ADMIN.createPartitions(Map.of(topic, org.apache.kafka.clients.admin.NewPartitions.increaseTo(3))).all());
    Member.settle(all(topic, 3), List.of(3), one);
  }

  @Test
  void memberThatDoesNotPollIsLeftOut() throws Exception {
    String topic = topic(1), group = unique();
    send(topic, "a");
    Consumer<String, String> slow = consumer(group, "max.poll.interval.ms", 1000);
    slow.subscribe(List.of(topic));
    take(slow, 1);
    Member other = member(group, List.of(topic));
    Member.settle(all(topic, 1), List.of(1), other);
    assertThrows(CommitFailedException.class, slow::commitSync);
    until(() -> other.got.size() == 1, "the record is read again");
  }

  @Test
  void subscriptionChanges() throws Exception {
    String one = topic(1), two = topic(1), group = unique();
    send(one, "1");
    send(two, "2");
    Consumer<String, String> reader = consumer(group);
    reader.subscribe(List.of(one));
    assertEquals(List.of("1"), values(take(reader, 1)));
    String id = reader.groupMetadata().memberId();
    assertFalse(id.isEmpty());
    reader.subscribe(List.of(two));
    assertEquals(List.of("2"), values(take(reader, 1)));
    assertEquals(id, reader.groupMetadata().memberId());
    reader.unsubscribe();
    assertEquals(Set.of(), reader.assignment());
    reader.subscribe(List.of(one));
    assertEquals(List.of("1"), values(take(reader, 1)));
  }

  @Test
  void enforcedRebalance() throws Exception {
    String topic = topic(1);
    Consumer<String, String> reader = consumer(unique());
    List<Integer> generations = new ArrayList<>();
    reader.subscribe(List.of(topic), new ConsumerRebalanceListener() {
      public void onPartitionsRevoked(Collection<TopicPartition> partitions) {}

      public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        generations.add(reader.groupMetadata().generationId());
      }
    });
    for (int n = 1; n <= 3; n++) {
      int rebalances = n;
      until(() -> {
        reader.poll(Duration.ofMillis(50));
        return generations.size() >= rebalances;
      }, "a rebalance");
      reader.enforceRebalance("the test wants it");
    }
    assertEquals(List.of(1, 2, 3), generations.subList(0, 3));
  }
}
