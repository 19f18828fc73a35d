package polybus;

import static org.junit.jupiter.api.Assertions.*;

import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.junit.jupiter.api.Test;

/** Consumers that are assigned their partitions: where they stand, and what they are given from there. */
class ConsumerTest extends Kafka {
  /** A reader of partition 0 of a new topic with these values. */
  private Consumer<String, String> reader(String topic, Object... more) {
    Consumer<String, String> reader = consumer(null, more);
    reader.assign(List.of(at(topic, 0)));
    return reader;
  }

  @Test
  void seek() throws Exception {
    String topic = topic(1);
    send(topic, "a", "b", "c", "d", "e");
    Consumer<String, String> reader = reader(topic);
    reader.seek(at(topic, 0), 3);
    assertEquals(List.of("d", "e"), values(take(reader, 2)));
    assertEquals(5, reader.position(at(topic, 0)));
    reader.seek(at(topic, 0), new OffsetAndMetadata(1, "where I was"));
    assertEquals("b", take(reader, 4).get(0).value());
    reader.seekToBeginning(List.of(at(topic, 0)));
    assertEquals(0, reader.position(at(topic, 0)));
    reader.seekToEnd(List.of(at(topic, 0)));
    assertEquals(5, reader.position(at(topic, 0)));
    nothingComes(reader);
    send(topic, "f");
    assertEquals(List.of("f"), values(take(reader, 1)));
  }

  @Test
  void beginningAndEndOffsets() throws Exception {
    String topic = topic(2);
    sendTo(at(topic, 1), "a", "b", "c");
    Consumer<String, String> reader = consumer(null);
    assertEquals(Map.of(at(topic, 0), 0L, at(topic, 1), 0L), reader.beginningOffsets(all(topic, 2)));
    assertEquals(Map.of(at(topic, 0), 0L, at(topic, 1), 3L), reader.endOffsets(all(topic, 2)));
  }

  @Test
  void offsetsForTimes() throws Exception {
    String topic = topic(2);
    long base = System.currentTimeMillis() - 1_000_000;
    Producer<String, String> producer = producer("linger.ms", 50);
    // Two batches; within them the search has to look at the records.
    for (int batch = 0; batch < 2; batch++) {
      for (int n = 0; n < 10; n++) producer.send(record(topic, 0, base + batch * 10_000 + n * 1000, null, "" + n));
      producer.flush();
    }
    Consumer<String, String> reader = consumer(null);
    TopicPartition one = at(topic, 0);
    for (int n = 0; n < 20; n++) {
      OffsetAndTimestamp exact = reader.offsetsForTimes(Map.of(one, base + n * 1000L)).get(one);
      assertEquals(List.of((long) n, base + n * 1000L), List.of(exact.offset(), exact.timestamp()));
      assertEquals(n, reader.offsetsForTimes(Map.of(one, base + n * 1000L - 500)).get(one).offset());
    }
    Map<TopicPartition, OffsetAndTimestamp> none = reader.offsetsForTimes(Map.of(one, base + 19_001, at(topic, 1), base));
    assertNull(none.get(one));
    assertNull(none.get(at(topic, 1)));
  }

  @Test
  void whereAReaderBegins() throws Exception {
    String topic = topic(1);
    await(producer().send(record(topic, 0, System.currentTimeMillis() - 7_200_000, null, "old")));
    send(topic, "new");
    assertEquals(List.of("old", "new"), values(take(reader(topic, "auto.offset.reset", "earliest"), 2)));
    assertEquals(List.of("new"), values(take(reader(topic, "auto.offset.reset", "by_duration:PT1H"), 1)));
    Consumer<String, String> latest = reader(topic, "auto.offset.reset", "latest");
    assertEquals(2, latest.position(at(topic, 0)));
    assertThrows(NoOffsetForPartitionException.class, () -> reader(topic, "auto.offset.reset", "none").poll(Duration.ofSeconds(10)));
  }

  @Test
  void offsetThatIsNotThere() throws Exception {
    String topic = topic(1);
    send(topic, "a");
    Consumer<String, String> strict = reader(topic, "auto.offset.reset", "none");
    strict.seek(at(topic, 0), 1000);
    assertThrows(OffsetOutOfRangeException.class, () -> take(strict, 1));
    Consumer<String, String> reset = reader(topic);
    reset.seek(at(topic, 0), 1000);
    assertEquals(List.of("a"), values(take(reset, 1)));
  }

  @Test
  void pauseAndResume() throws Exception {
    String topic = topic(2);
    sendTo(at(topic, 0), "0");
    sendTo(at(topic, 1), "1");
    Consumer<String, String> reader = consumer(null);
    reader.assign(all(topic, 2));
    reader.pause(List.of(at(topic, 0)));
    assertEquals(List.of("1"), values(take(reader, 1)));
    nothingComes(reader);
    reader.resume(List.of(at(topic, 0)));
    assertEquals(List.of("0"), values(take(reader, 1)));
  }

  @Test
  void maxPollRecords() throws Exception {
    String topic = topic(1);
    send(topic, IntStream.range(0, 25).mapToObj(String::valueOf).toArray(String[]::new));
    Consumer<String, String> reader = reader(topic, "max.poll.records", 10);
    List<Integer> sizes = new ArrayList<>();
    until(() -> {
      int size = reader.poll(Duration.ofMillis(100)).count();
      if (size > 0) sizes.add(size);
      return sizes.stream().mapToInt(n -> n).sum() == 25;
    }, "all of them");
    assertEquals(List.of(10, 10, 5), sizes);
  }

  @Test
  void smallFetches() throws Exception {
    String topic = topic(3);
    Producer<String, String> producer = producer("batch.size", 1);
    for (int n = 0; n < 30; n++) producer.send(new ProducerRecord<>(topic, n % 3, null, "x".repeat(300)));
    producer.flush();
    Consumer<String, String> reader = consumer(null, "max.partition.fetch.bytes", 500, "fetch.max.bytes", 700);
    reader.assign(all(topic, 3));
    Map<Integer, Long> next = new HashMap<>();
    for (ConsumerRecord<String, String> one : take(reader, 30))
      assertEquals(next.merge(one.partition(), 1L, Long::sum) - 1, one.offset());
  }

  @Test
  void longPollIsWokenByARecord() throws Exception {
    String topic = topic(1);
    Consumer<String, String> reader = reader(topic, "fetch.max.wait.ms", 20_000, "request.timeout.ms", 40_000);
    nothingComes(reader);
    long before = System.nanoTime();
    send(topic, "wake");
    assertEquals(List.of("wake"), values(take(reader, 1)));
    assertTrue(System.nanoTime() - before < 10_000_000_000L, "it waited for its time to run out");
    reader.close(CloseOptions.timeout(Duration.ZERO));
  }

  @Test
  void longPollWaitsForBytes() throws Exception {
    String topic = topic(1);
    send(topic, "small");
    Consumer<String, String> reader = reader(topic, "fetch.min.bytes", 100_000, "fetch.max.wait.ms", 800);
    reader.position(at(topic, 0));
    long before = System.nanoTime();
    assertEquals(List.of("small"), values(take(reader, 1)));
    assertTrue(System.nanoTime() - before > 600_000_000L, "it did not wait");
  }

  @Test
  void lag() throws Exception {
    String topic = topic(1);
    send(topic, "a", "b", "c");
    Consumer<String, String> reader = reader(topic, "max.poll.records", 1);
    take(reader, 1);
    assertEquals(OptionalLong.of(2), reader.currentLag(at(topic, 0)));
  }

  @Test
  void topicsAndPartitions() throws Exception {
    String topic = topic(3);
    Consumer<String, String> reader = consumer(null);
    assertEquals(3, reader.listTopics().get(topic).size());
    assertEquals(3, reader.partitionsFor(topic).size());
    assertEquals(List.of(), Objects.requireNonNullElse(consumer(null, "allow.auto.create.topics", false).partitionsFor(unique()), List.of()));
  }

  @Test
  void manyPartitions() throws Exception {
    String topic = topic(50);
    Producer<String, String> producer = producer();
    for (int n = 0; n < 1000; n++) producer.send(new ProducerRecord<>(topic, n % 50, null, "" + n));
    producer.flush();
    Consumer<String, String> reader = consumer(null);
    reader.assign(all(topic, 50));
    Set<String> got = new HashSet<>(values(take(reader, 1000)));
    assertEquals(1000, got.size());
  }

  @Test
  void assignedPartitionsChange() throws Exception {
    String one = topic(1), two = topic(1);
    send(one, "1");
    send(two, "2");
    Consumer<String, String> reader = reader(one);
    assertEquals(List.of("1"), values(take(reader, 1)));
    // A fetch session forgets the one and learns the other.
    reader.assign(List.of(at(two, 0)));
    assertEquals(List.of("2"), values(take(reader, 1)));
    send(one, "more");
    nothingComes(reader);
    reader.assign(List.of(at(one, 0), at(two, 0)));
    reader.seek(at(one, 0), 1);
    assertEquals(List.of("more"), values(take(reader, 1)));
  }

  @Test
  void wakeup() throws Exception {
    String topic = topic(1);
    Consumer<String, String> reader = reader(topic);
    CompletableFuture.runAsync(reader::wakeup, CompletableFuture.delayedExecutor(100, TimeUnit.MILLISECONDS));
    assertThrows(WakeupException.class, () -> reader.poll(LIMIT));
  }

  @Test
  void topicThatIsMadeAgain() throws Exception {
    String topic = topic(1);
    send(topic, "old", "older");
    Consumer<String, String> reader = reader(topic);
    take(reader, 2);
    await(ADMIN.deleteTopics(List.of(topic)).all());
    until(() -> answer(() -> {
      await(ADMIN.createTopics(List.of(new org.apache.kafka.clients.admin.NewTopic(topic, 1, (short) 1))).all());
      return true;
    }), "it can be made again");
    send(topic, "new");
    assertEquals(List.of("new"), values(read(at(topic, 0), 1)));
    assertEquals("new", take(reader, 1).get(0).value());
  }
}
