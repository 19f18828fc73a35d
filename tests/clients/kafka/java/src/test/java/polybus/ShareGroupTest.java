package polybus;

import static org.junit.jupiter.api.Assertions.*;

import java.time.Duration;
import java.util.*;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.junit.jupiter.api.Test;

/** Share groups: each record to one member at a time, until it is accepted, or given back too often. */
class ShareGroupTest extends Kafka {
  /** A group that begins at the beginning. */
  private static String group() throws Exception {
    String group = unique();
    ConfigResource resource = new ConfigResource(ConfigResource.Type.GROUP, group);
    await(ADMIN.incrementalAlterConfigs(Map.of(resource, List.of(new AlterConfigOp(new ConfigEntry("share.auto.offset.reset", "earliest"), AlterConfigOp.OpType.SET)))).all());
    return group;
  }

  private ShareConsumer<String, String> member(String group, String topic, boolean explicit) {
    ShareConsumer<String, String> member = closing(new KafkaShareConsumer<>(
        settings("bootstrap.servers", BOOTSTRAP, "group.id", group, "share.acknowledgement.mode", explicit ? "explicit" : "implicit"), new StringDeserializer(), new StringDeserializer()));
    member.subscribe(List.of(topic));
    return member;
  }

  private static List<ConsumerRecord<String, String>> next(ShareConsumer<String, String> member) {
    List<ConsumerRecord<String, String>> got = new ArrayList<>();
    until(() -> {
      member.poll(Duration.ofMillis(100)).forEach(got::add);
      return !got.isEmpty();
    }, "a record");
    return got;
  }

  @Test
  void recordsAreTakenByPollingOn() throws Exception {
    String topic = topic(1), group = group();
    send(topic, "a", "b", "c");
    try (ShareConsumer<String, String> first = member(group, topic, false)) {
      List<String> got = new ArrayList<>();
      while (got.size() < 3) next(first).forEach(record -> got.add(record.value()));
      assertEquals(List.of("a", "b", "c"), got);
      assertTrue(first.commitSync(LIMIT).values().stream().allMatch(Optional::isEmpty));
    }
    send(topic, "d");
    assertEquals(List.of("d"), next(member(group, topic, false)).stream().map(ConsumerRecord::value).toList());
  }

  @Test
  void recordsAreReleasedAndRejected() throws Exception {
    String topic = topic(1), group = group();
    send(topic, "give back", "refuse", "take");
    ShareConsumer<String, String> member = member(group, topic, true);
    List<ConsumerRecord<String, String>> first = next(member);
    assertEquals(3, first.size());
    AcknowledgeType[] types = {AcknowledgeType.RELEASE, AcknowledgeType.REJECT, AcknowledgeType.ACCEPT};
    for (int n = 0; n < 3; n++) {
      assertEquals(Optional.of((short) 1), first.get(n).deliveryCount());
      member.acknowledge(first.get(n), types[n]);
    }
    member.commitSync(LIMIT);
    ConsumerRecord<String, String> again = next(member).get(0);
    assertEquals(List.of("give back", Optional.of((short) 2)), List.of(again.value(), again.deliveryCount()));
    member.acknowledge(again);
    member.commitSync(LIMIT);
    assertTrue(member.poll(Duration.ofMillis(500)).isEmpty());
  }

  @Test
  void recordThatIsGivenBackTooOften() throws Exception {
    String topic = topic(1), group = group();
    send(topic, "poison");
    ShareConsumer<String, String> member = member(group, topic, true);
    for (short n = 1; n <= 5; n++) {
      ConsumerRecord<String, String> record = next(member).get(0);
      assertEquals(Optional.of(n), record.deliveryCount());
      member.acknowledge(record, AcknowledgeType.RELEASE);
      member.commitSync(LIMIT);
    }
    send(topic, "next");
    assertEquals("next", next(member).get(0).value());
  }

  @Test
  void membersShareAPartition() throws Exception {
    String topic = topic(1), group = group();
    ShareConsumer<String, String> one = member(group, topic, false), two = member(group, topic, false);
    one.poll(Duration.ofMillis(500));
    two.poll(Duration.ofMillis(500));
    send(topic, IntStream.range(0, 100).mapToObj(String::valueOf).toArray(String[]::new));
    List<String> got = new ArrayList<>();
    until(() -> {
      one.poll(Duration.ofMillis(50)).forEach(record -> got.add(record.value()));
      two.poll(Duration.ofMillis(50)).forEach(record -> got.add(record.value()));
      return got.size() >= 100;
    }, "all of them");
    assertEquals(100, new HashSet<>(got).size());
  }

  @Test
  void whatAMemberHadWhenItLeftComesAgain() throws Exception {
    String topic = topic(1), group = group();
    send(topic, "a");
    try (ShareConsumer<String, String> first = member(group, topic, true)) {
      assertEquals("a", next(first).get(0).value());
    }
    ConsumerRecord<String, String> again = next(member(group, topic, true)).get(0);
    assertEquals("a", again.value());
  }

  @Test
  void groupIsDescribed() throws Exception {
    String topic = topic(1), group = group();
    send(topic, "a");
    ShareConsumer<String, String> member = member(group, topic, false);
    next(member);
    assertTrue(await(ADMIN.listGroups(new ListGroupsOptions().withTypes(Set.of(GroupType.SHARE))).all()).stream().anyMatch(g -> g.groupId().equals(group)));
    ShareGroupDescription described = await(ADMIN.describeShareGroups(List.of(group)).all()).get(group);
    assertEquals(GroupState.STABLE, described.groupState());
    assertEquals(Set.of(at(topic, 0)), described.members().iterator().next().assignment().topicPartitions());
  }
}
