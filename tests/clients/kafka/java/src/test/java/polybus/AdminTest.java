package polybus;

import static org.junit.jupiter.api.Assertions.*;

import java.util.*;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.*;
import org.junit.jupiter.api.Test;

/** Topics, their settings and records, and the cluster, as an administrator sees them. */
class AdminTest extends Kafka {
  private static NewTopic of(String name, int partitions) {
    return new NewTopic(name, partitions, (short) 1);
  }

  private static ConfigResource config(String topic) {
    return new ConfigResource(ConfigResource.Type.TOPIC, topic);
  }

  private static ConfigEntry entry(String topic, String name) throws Exception {
    return await(ADMIN.describeConfigs(List.of(config(topic))).all()).get(config(topic)).get(name);
  }

  private static void alter(String topic, AlterConfigOp.OpType kind, String name, String value) throws Exception {
    await(ADMIN.incrementalAlterConfigs(Map.of(config(topic), List.of(new AlterConfigOp(new ConfigEntry(name, value), kind)))).all());
  }

  private static long offsetOf(TopicPartition partition, OffsetSpec what) throws Exception {
    return await(ADMIN.listOffsets(Map.of(partition, what)).partitionResult(partition)).offset();
  }

  @Test
  void topicsAreMadeAndDeleted() throws Exception {
    String name = nameOfTopic();
    CreateTopicsResult made = ADMIN.createTopics(List.of(of(name, 3).configs(Map.of("retention.ms", "1234567"))));
    await(made.all());
    assertEquals(3, await(made.numPartitions(name)));
    assertEquals(1, await(made.replicationFactor(name)));
    assertEquals("1234567", await(made.config(name)).get("retention.ms").value());
    Uuid id = await(made.topicId(name));
    until(() -> answer(() -> await(ADMIN.listTopics().names()).contains(name)), "it is listed");
    TopicDescription described = await(ADMIN.describeTopics(List.of(name)).allTopicNames()).get(name);
    assertEquals(id, described.topicId());
    assertFalse(described.isInternal());
    assertEquals(List.of(0, 1, 2), described.partitions().stream().map(TopicPartitionInfo::partition).toList());
    assertEquals(name, await(ADMIN.describeTopics(TopicCollection.ofTopicIds(List.of(id))).allTopicIds()).get(id).name());
    fails(TopicExistsException.class, ADMIN.createTopics(List.of(of(name, 1))).all());
    await(ADMIN.deleteTopics(List.of(name)).all());
    until(() -> answer(() -> !await(ADMIN.listTopics().names()).contains(name)), "it is gone");
    fails(UnknownTopicOrPartitionException.class, ADMIN.describeTopics(List.of(name)).allTopicNames());
    fails(UnknownTopicOrPartitionException.class, ADMIN.deleteTopics(List.of(name)).all());
  }

  @Test
  void topicIsDeletedByItsId() throws Exception {
    String name = topic(1);
    Uuid id = await(ADMIN.describeTopics(List.of(name)).allTopicNames()).get(name).topicId();
    await(ADMIN.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all());
    fails(UnknownTopicIdException.class, ADMIN.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all());
  }

  @Test
  void topicsThatCannotBe() throws Exception {
    String fine = nameOfTopic();
    Map<String, KafkaFuture<Void>> made = ADMIN.createTopics(List.of(of(fine, 1), of("no/slash", 1), of(fine + "-0", 0), of(fine + "-2", 1).configs(Map.of("retention.ms", "soon")),
        of(fine + "-3", 1).configs(Map.of("no.such.setting", "1")), new NewTopic(fine + "-4", 1, (short) 3))).values();
    await(made.get(fine));
    fails(InvalidTopicException.class, made.get("no/slash"));
    fails(InvalidPartitionsException.class, made.get(fine + "-0"));
    fails(InvalidConfigurationException.class, made.get(fine + "-2"));
    fails(InvalidConfigurationException.class, made.get(fine + "-3"));
    fails(InvalidReplicationFactorException.class, made.get(fine + "-4"));
  }

  @Test
  void defaultsAndTrials() throws Exception {
    String name = nameOfTopic(), trial = unique();
    await(ADMIN.createTopics(List.of(new NewTopic(trial, 2, (short) 1)), new CreateTopicsOptions().validateOnly(true)).all());
    await(ADMIN.createTopics(List.of(new NewTopic(name, Optional.empty(), Optional.empty()))).all());
    until(() -> answer(() -> await(ADMIN.listTopics().names()).contains(name)), "it is listed");
    assertFalse(await(ADMIN.listTopics().names()).contains(trial));
  }

  @Test
  void settingsOfATopic() throws Exception {
    String topic = topic(1, "max.message.bytes", "5000");
    assertEquals(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, entry(topic, "max.message.bytes").source());
    for (String[] one : new String[][] {{"retention.ms", "604800000"}, {"retention.bytes", "-1"}, {"cleanup.policy", "delete"}, {"message.timestamp.type", "CreateTime"}}) {
      assertEquals(one[1], entry(topic, one[0]).value(), one[0]);
      assertTrue(entry(topic, one[0]).isDefault(), one[0]);
    }
    alter(topic, AlterConfigOp.OpType.SET, "retention.ms", "60000");
    until(() -> answer(() -> entry(topic, "retention.ms").value().equals("60000") && !entry(topic, "retention.ms").isDefault()), "it is set");
    alter(topic, AlterConfigOp.OpType.APPEND, "cleanup.policy", "compact");
    until(() -> answer(() -> entry(topic, "cleanup.policy").value().equals("delete,compact")), "it is appended");
    alter(topic, AlterConfigOp.OpType.SUBTRACT, "cleanup.policy", "delete");
    until(() -> answer(() -> entry(topic, "cleanup.policy").value().equals("compact")), "it is taken away");
    alter(topic, AlterConfigOp.OpType.DELETE, "retention.ms", "");
    until(() -> answer(() -> entry(topic, "retention.ms").value().equals("604800000") && entry(topic, "retention.ms").isDefault()), "it is as before");
    assertEquals("5000", entry(topic, "max.message.bytes").value());
    assertThrows(InvalidConfigurationException.class, () -> alter(topic, AlterConfigOp.OpType.SET, "cleanup.policy", "keep"));
    assertThrows(InvalidConfigurationException.class, () -> alter(topic, AlterConfigOp.OpType.SET, "no.such.setting", "1"));
    assertThrows(UnknownTopicOrPartitionException.class, () -> entry(unique(), "retention.ms"));
    assertThrows(UnknownTopicOrPartitionException.class, () -> alter(unique(), AlterConfigOp.OpType.SET, "retention.ms", "1"));
  }

  @Test
  void settingsOfTheBroker() throws Exception {
    Node node = await(ADMIN.describeCluster().nodes()).iterator().next();
    ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, node.idString());
    Config config = await(ADMIN.describeConfigs(List.of(broker)).all()).get(broker);
    for (String name : List.of("log.retention.ms", "num.partitions", "auto.create.topics.enable", "message.max.bytes", "min.insync.replicas"))
      assertNotNull(config.get(name), name);
  }

  @Test
  void partitionsAreAdded() throws Exception {
    String topic = topic(1);
    await(ADMIN.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all());
    until(() -> answer(() -> await(ADMIN.describeTopics(List.of(topic)).allTopicNames()).get(topic).partitions().size() == 4), "four");
    sendTo(at(topic, 3), "x");
    assertEquals(1, read(at(topic, 3), 1).size());
    fails(InvalidPartitionsException.class, ADMIN.createPartitions(Map.of(topic, NewPartitions.increaseTo(2))).all());
    fails(InvalidPartitionsException.class, ADMIN.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all());
    fails(UnknownTopicOrPartitionException.class, ADMIN.createPartitions(Map.of(unique(), NewPartitions.increaseTo(2))).all());
    await(ADMIN.createPartitions(Map.of(topic, NewPartitions.increaseTo(9)), new CreatePartitionsOptions().validateOnly(true)).all());
    assertEquals(4, await(ADMIN.describeTopics(List.of(topic)).allTopicNames()).get(topic).partitions().size());
  }

  @Test
  void recordsAreDeleted() throws Exception {
    String topic = topic(2);
    send(topic, "a", "b", "c", "d", "e");
    TopicPartition one = at(topic, 0);
    assertEquals(3, await(ADMIN.deleteRecords(Map.of(one, RecordsToDelete.beforeOffset(3))).lowWatermarks().get(one)).lowWatermark());
    assertEquals(3, offsetOf(one, OffsetSpec.earliest()));
    assertEquals(List.of("d", "e"), values(read(one, 2)));
    fails(org.apache.kafka.common.errors.OffsetOutOfRangeException.class, ADMIN.deleteRecords(Map.of(one, RecordsToDelete.beforeOffset(99))).all());
    assertEquals(5, await(ADMIN.deleteRecords(Map.of(one, RecordsToDelete.beforeOffset(-1))).lowWatermarks().get(one)).lowWatermark());
    assertEquals(5, offsetOf(one, OffsetSpec.earliest()));
    send(topic, "f");
    assertEquals(5, read(one, 1).get(0).offset());
  }

  @Test
  void offsetsByWhatTheyMean() throws Exception {
    String topic = topic(1);
    TopicPartition one = at(topic, 0);
    assertEquals(-1, offsetOf(one, OffsetSpec.maxTimestamp()));
    long base = System.currentTimeMillis() - 100_000;
    for (long time : new long[] {base, base + 2000, base + 1000}) await(producer().send(record(topic, 0, time, null, "x")));
    assertEquals(0, offsetOf(one, OffsetSpec.earliest()));
    assertEquals(3, offsetOf(one, OffsetSpec.latest()));
    assertEquals(1, offsetOf(one, OffsetSpec.maxTimestamp()));
    assertEquals(1, offsetOf(one, OffsetSpec.forTimestamp(base + 500)));
    assertEquals(-1, offsetOf(one, OffsetSpec.forTimestamp(base + 5000)));
    assertEquals(0, offsetOf(one, OffsetSpec.earliestLocal()));
  }

  @Test
  void cluster() throws Exception {
    DescribeClusterResult cluster = ADMIN.describeCluster();
    assertFalse(await(cluster.clusterId()).isEmpty());
    Collection<Node> nodes = await(cluster.nodes());
    assertTrue(nodes.stream().map(Node::id).toList().contains(await(cluster.controller()).id()));
    // The address that is told is one that can be used.
    Node node = nodes.iterator().next();
    try (Admin other = Admin.create(Map.of("bootstrap.servers", node.host() + ":" + node.port()))) {
      assertEquals(await(cluster.clusterId()), await(other.describeCluster().clusterId()));
    }
  }

  @Test
  void foldersOfTheBroker() throws Exception {
    String topic = topic(2);
    sendTo(at(topic, 1), "x".repeat(5000));
    int node = await(ADMIN.describeCluster().nodes()).iterator().next().id();
    Map<String, LogDirDescription> folders = await(ADMIN.describeLogDirs(List.of(node)).allDescriptions()).get(node);
    Map<TopicPartition, ReplicaInfo> replicas = folders.values().stream().flatMap(folder -> folder.replicaInfos().entrySet().stream()).collect(Collectors.toMap(Map.Entry::getKey, Map.Entry::getValue));
    assertTrue(replicas.get(at(topic, 1)).size() >= 5000);
    assertEquals(0, replicas.get(at(topic, 0)).size());
    assertTrue(folders.values().stream().allMatch(folder -> folder.error() == null));
  }

  @Test
  void producersOfAPartition() throws Exception {
    String topic = topic(1);
    send(topic, "a", "b");
    List<ProducerState> states = await(ADMIN.describeProducers(List.of(at(topic, 0))).partitionResult(at(topic, 0))).activeProducers();
    assertEquals(1, states.size());
    assertEquals(1, states.get(0).lastSequence());
    assertEquals(OptionalLong.empty(), states.get(0).currentTransactionStartOffset());
  }

  @Test
  void resourcesWithSettings() throws Exception {
    String topic = topic(1);
    Collection<ConfigResource> topics = await(ADMIN.listConfigResources(Set.of(ConfigResource.Type.TOPIC), new ListConfigResourcesOptions()).all());
    assertTrue(topics.contains(config(topic)));
  }
}
