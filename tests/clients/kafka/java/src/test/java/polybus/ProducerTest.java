package polybus;

import static org.junit.jupiter.api.Assertions.*;

import java.util.*;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.InvalidRecordException;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.record.TimestampType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Producers: what is stored is what was sent, in the order it was sent, and the producer is told where. */
class ProducerTest extends Kafka {
  @Test
  void idempotentByDefault() throws Exception {
    String topic = topic(3);
    Producer<String, String> producer = producer();
    Map<String, Integer> partitionOf = new HashMap<>();
    long[] next = new long[3];
    List<Future<RecordMetadata>> sent = IntStream.range(0, 300).mapToObj(n -> producer.send(new ProducerRecord<>(topic, "k" + n % 7, "" + n))).toList();
    for (int n = 0; n < sent.size(); n++) {
      RecordMetadata where = await(sent.get(n));
      assertEquals(next[where.partition()]++, where.offset());
      assertEquals(where.partition(), partitionOf.computeIfAbsent("k" + n % 7, key -> where.partition()));
    }
    assertTrue(new HashSet<>(partitionOf.values()).size() > 1, "the keys are spread");
    for (int partition = 0; partition < 3; partition++) {
      List<Integer> numbers = read(at(topic, partition), (int) next[partition]).stream().map(r -> Integer.valueOf(r.value())).toList();
      assertEquals(numbers.stream().sorted().toList(), numbers);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"0", "1", "all"})
  void acks(String acks) throws Exception {
    String topic = topic(1);
    Producer<String, String> producer = producer("acks", acks, "enable.idempotence", false);
    for (int n = 0; n < 20; n++) {
      RecordMetadata where = await(producer.send(new ProducerRecord<>(topic, "" + n)));
      assertEquals(acks.equals("0") ? -1 : n, where.offset());
    }
    assertEquals(IntStream.range(0, 20).mapToObj(String::valueOf).toList(), values(read(at(topic, 0), 20)));
  }

  @ParameterizedTest
  @ValueSource(strings = {"none", "gzip", "snappy", "lz4", "zstd"})
  void compressions(String compression) throws Exception {
    String topic = topic(1);
    Producer<String, String> producer = producer("compression.type", compression, "linger.ms", 20, "batch.size", 65536);
    List<String> values = IntStream.range(0, 300).mapToObj(n -> (n + " the same words again ").repeat(40)).toList();
    for (String value : values) producer.send(record(topic, 0, null, value.substring(0, 5), value, "h", compression));
    producer.flush();
    List<ConsumerRecord<String, String>> got = read(at(topic, 0), values.size());
    assertEquals(values, values(got));
    for (ConsumerRecord<String, String> one : got) assertEquals(compression, new String(one.headers().lastHeader("h").value()));
  }

  @Test
  void keysHeadersAndTimestamps() throws Exception {
    String topic = topic(1);
    long now = System.currentTimeMillis();
    List<ProducerRecord<String, String>> records = List.of(
        record(topic, 0, now - 5000, "key", "value", "a", "1", "a", "2", "none", null, "empty", ""),
        record(topic, 0, now - 9000, null, "no key"),
        record(topic, 0, now - 7000, "tombstone", null),
        record(topic, 0, now - 1000, "", ""),
        record(topic, 0, now, "käse", "日本語 \0 \uD83D\uDE00"));
    Producer<String, String> producer = producer();
    for (ProducerRecord<String, String> one : records) assertEquals(one.timestamp(), await(producer.send(one)).timestamp());
    List<ConsumerRecord<String, String>> got = read(at(topic, 0), records.size());
    for (int n = 0; n < records.size(); n++) {
      assertEquals(records.get(n).key(), got.get(n).key());
      assertEquals(records.get(n).value(), got.get(n).value());
      assertEquals(records.get(n).timestamp(), got.get(n).timestamp());
      assertEquals(TimestampType.CREATE_TIME, got.get(n).timestampType());
      assertEquals(n, got.get(n).offset());
      Header[] sent = records.get(n).headers().toArray(), came = got.get(n).headers().toArray();
      assertEquals(sent.length, came.length);
      for (int h = 0; h < sent.length; h++) {
        assertEquals(sent[h].key(), came[h].key());
        assertArrayEquals(sent[h].value(), came[h].value());
      }
    }
  }

  @Test
  void appendTime() throws Exception {
    String topic = topic(1, "message.timestamp.type", "LogAppendTime");
    long before = System.currentTimeMillis();
    RecordMetadata where = await(producer().send(record(topic, 0, 1000L, null, "x")));
    assertTrue(where.timestamp() >= before - 1000 && where.timestamp() <= System.currentTimeMillis() + 1000, "" + where.timestamp());
    ConsumerRecord<String, String> got = read(at(topic, 0), 1).get(0);
    assertEquals(TimestampType.LOG_APPEND_TIME, got.timestampType());
    assertEquals(where.timestamp(), got.timestamp());
  }

  @Test
  void timestampTooFarAhead() throws Exception {
    String topic = topic(1, "message.timestamp.after.max.ms", "3600000");
    fails(InvalidTimestampException.class, producer().send(record(topic, 0, System.currentTimeMillis() + 86_400_000, null, "tomorrow")));
    assertEquals(0, await(producer().send(record(topic, 0, System.currentTimeMillis() + 60_000, null, "soon"))).offset());
  }

  @Test
  void largeRecords() throws Exception {
    String topic = topic(1);
    Producer<String, String> producer = producer("max.request.size", 8 << 20, "buffer.memory", 64 << 20);
    String value = "0123456789".repeat(100_000);
    await(producer.send(new ProducerRecord<>(topic, value)));
    fails(RecordTooLargeException.class, producer.send(new ProducerRecord<>(topic, value + value)));
    assertEquals(1, await(producer.send(new ProducerRecord<>(topic, "after it"))).offset());
    // A record comes whole, whatever the reader's limit is.
    assertEquals(List.of(value, "after it"), values(read(at(topic, 0), 2, "max.partition.fetch.bytes", 1000, "fetch.max.bytes", 1000)));
    String large = topic(1, "max.message.bytes", "6000000");
    await(producer.send(new ProducerRecord<>(large, value.repeat(5))));
    assertEquals(5_000_000, read(at(large, 0), 1).get(0).value().length());
  }

  @Test
  void callbacksComeInOrder() throws Exception {
    String topic = topic(1);
    Producer<String, String> producer = producer("batch.size", 200);
    List<Long> told = Collections.synchronizedList(new ArrayList<>());
    for (int n = 0; n < 500; n++)
      producer.send(new ProducerRecord<>(topic, "" + n), (where, error) -> told.add(error == null ? where.offset() : -1));
    producer.flush();
    assertEquals(IntStream.range(0, 500).mapToObj(Long::valueOf).toList(), told);
  }

  @Test
  void manyBatchesInFlightStayInOrder() throws Exception {
    String topic = topic(1);
    Producer<String, String> producer = producer("batch.size", 100, "max.in.flight.requests.per.connection", 5);
    for (int n = 0; n < 3000; n++) producer.send(new ProducerRecord<>(topic, "" + n));
    producer.flush();
    assertEquals(IntStream.range(0, 3000).mapToObj(String::valueOf).toList(), values(read(at(topic, 0), 3000)));
  }

  @Test
  void topicIsCreatedByUse() throws Exception {
    String topic = nameOfTopic();
    assertEquals(0, await(producer().send(new ProducerRecord<>(topic, "first"))).offset());
    assertEquals(List.of("first"), values(read(at(topic, 0), 1)));
  }

  @Test
  void nameThatNoTopicCanHave() {
    fails(InvalidTopicException.class, producer().send(new ProducerRecord<>("not a name", "x")));
  }

  @Test
  void compactedTopicWantsKeys() throws Exception {
    String topic = topic(1, "cleanup.policy", "compact");
    fails(InvalidRecordException.class, producer().send(new ProducerRecord<>(topic, "no key")));
    assertEquals(0, await(producer().send(new ProducerRecord<>(topic, "key", "x"))).offset());
  }

  @Test
  void partitionThatIsNotThere() throws Exception {
    String topic = topic(2);
    assertThrows(TimeoutException.class, () -> await(producer("max.block.ms", 1000).send(new ProducerRecord<>(topic, 2, "k", "x"))));
  }

  @Test
  void partitionsOfATopic() throws Exception {
    String topic = topic(4);
    List<PartitionInfo> partitions = producer().partitionsFor(topic);
    assertEquals(Set.of(0, 1, 2, 3), new HashSet<>(partitions.stream().map(PartitionInfo::partition).toList()));
    for (PartitionInfo one : partitions) {
      assertEquals(1, one.replicas().length);
      assertEquals(one.leader(), one.inSyncReplicas()[0]);
    }
  }
}
