package polybus;

import static org.junit.jupiter.api.Assertions.*;

import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.errors.*;
import org.junit.jupiter.api.Test;

/** Transactions: all of one is seen or nothing of it, once, and only by the producer that owns its name. */
class TransactionTest extends Kafka {
  private static final Object[] COMMITTED = {"isolation.level", "read_committed"};

  private Producer<String, String> transactional(String id, Object... more) {
    Map<String, Object> settings = settings(more);
    settings.putAll(Map.of("transactional.id", id));
    Producer<String, String> producer = producer(settings.entrySet().stream().flatMap(e -> java.util.stream.Stream.of(e.getKey(), e.getValue())).toArray());
    producer.initTransactions();
    return producer;
  }

  private static void transaction(Producer<String, String> producer, boolean commit, TopicPartition to, String... values) {
    producer.beginTransaction();
    for (String value : values) producer.send(new ProducerRecord<>(to.topic(), to.partition(), null, value));
    producer.flush();
    if (commit) producer.commitTransaction();
    else producer.abortTransaction();
  }

  private static long end(TopicPartition partition, IsolationLevel level) throws Exception {
    return await(ADMIN.listOffsets(Map.of(partition, OffsetSpec.latest()), new ListOffsetsOptions(level)).partitionResult(partition)).offset();
  }

  @Test
  void committedAndAborted() throws Exception {
    String topic = topic(2);
    Producer<String, String> producer = transactional(unique());
    transaction(producer, true, at(topic, 0), "a", "b");
    transaction(producer, false, at(topic, 0), "no", "neither");
    transaction(producer, true, at(topic, 0), "c");
    producer.beginTransaction();
    producer.send(new ProducerRecord<>(topic, 0, null, "d"));
    producer.send(new ProducerRecord<>(topic, 1, null, "e"));
    producer.commitTransaction();
    List<ConsumerRecord<String, String>> got = read(at(topic, 0), 4, COMMITTED);
    assertEquals(List.of("a", "b", "c", "d"), values(got));
    // The markers take an offset each.
    assertEquals(List.of(0L, 1L, 6L, 8L), got.stream().map(ConsumerRecord::offset).toList());
    assertEquals(List.of("e"), values(read(at(topic, 1), 1, COMMITTED)));
    assertEquals(List.of("a", "b", "no", "neither", "c", "d"), values(read(at(topic, 0), 6)));
  }

  @Test
  void openTransactionHoldsReaders() throws Exception {
    String topic = topic(1);
    TopicPartition partition = at(topic, 0);
    Producer<String, String> producer = transactional(unique());
    send(topic, "before");
    producer.beginTransaction();
    await(producer.send(new ProducerRecord<>(topic, "within")));
    send(topic, "after");
    Consumer<String, String> reader = consumer(null, COMMITTED);
    reader.assign(List.of(partition));
    assertEquals(List.of("before"), values(take(reader, 1)));
    nothingComes(reader);
    assertEquals(1, end(partition, IsolationLevel.READ_COMMITTED));
    assertEquals(3, end(partition, IsolationLevel.READ_UNCOMMITTED));
    producer.commitTransaction();
    assertEquals(List.of("within", "after"), values(take(reader, 2)));
    assertEquals(4, end(partition, IsolationLevel.READ_COMMITTED));
  }

  @Test
  void offsetsAreCommittedWithIt() throws Exception {
    String from = topic(1), to = topic(1), group = unique();
    send(from, "1", "2", "3");
    Producer<String, String> producer = transactional(unique());
    Consumer<String, String> reader = consumer(group, "max.poll.records", 1);
    reader.subscribe(List.of(from));
    for (int n = 0; n < 3; n++) {
      ConsumerRecord<String, String> one = take(reader, 1).get(0);
      producer.beginTransaction();
      producer.send(new ProducerRecord<>(to, "did " + one.value()));
      producer.sendOffsetsToTransaction(offset(at(from, 0), one.offset() + 1), reader.groupMetadata());
      if (n < 2) producer.commitTransaction();
      else producer.abortTransaction();
    }
    assertEquals(2, reader.committed(Set.of(at(from, 0))).get(at(from, 0)).offset());
    assertEquals(List.of("did 1", "did 2"), values(read(at(to, 0), 2, COMMITTED)));
  }

  @Test
  void offsetsOfAMemberThatIsGone() throws Exception {
    String topic = topic(1), group = unique();
    Producer<String, String> producer = transactional(unique());
    Member member = closing(new Member(consumerThatStays(group), List.of(topic)));
    Member.settle(all(topic, 1), List.of(1), member);
    producer.beginTransaction();
    ConsumerGroupMetadata stale = new ConsumerGroupMetadata(group, 77, "someone", Optional.empty());
    assertThrows(CommitFailedException.class, () -> {
      producer.sendOffsetsToTransaction(offset(at(topic, 0), 1), stale);
      producer.commitTransaction();
    });
    producer.abortTransaction();
  }

  @Test
  void newerProducerFencesTheOlder() throws Exception {
    String topic = topic(1), id = unique();
    Producer<String, String> older = transactional(id);
    older.beginTransaction();
    await(older.send(new ProducerRecord<>(topic, "lost")));
    Producer<String, String> newer = transactional(id);
    older.send(new ProducerRecord<>(topic, "lost too"));
    KafkaException error = assertThrows(KafkaException.class, older::commitTransaction);
    assertTrue(error instanceof ProducerFencedException || error.getCause() instanceof ProducerFencedException || error instanceof InvalidProducerEpochException
        || error.getCause() instanceof InvalidProducerEpochException, () -> "" + error);
    transaction(newer, true, at(topic, 0), "kept");
    assertEquals(List.of("kept"), values(read(at(topic, 0), 1, COMMITTED)));
  }

  @Test
  void transactionThatTakesTooLong() throws Exception {
    String topic = topic(1);
    Producer<String, String> producer = transactional(unique(), "transaction.timeout.ms", 1000);
    producer.beginTransaction();
    await(producer.send(new ProducerRecord<>(topic, "late")));
    until(() -> answer(() -> end(at(topic, 0), IsolationLevel.READ_COMMITTED) == 2), "it is aborted");
    assertThrows(KafkaException.class, producer::commitTransaction);
    send(topic, "next");
    assertEquals(List.of("next"), values(read(at(topic, 0), 1, COMMITTED)));
  }

  @Test
  void manyTransactions() throws Exception {
    String topic = topic(3);
    Producer<String, String> producer = transactional(unique());
    List<String> wanted = new ArrayList<>();
    for (int n = 0; n < 30; n++) {
      transaction(producer, n % 3 != 0, at(topic, 0), n + "a", n + "b");
      if (n % 3 != 0) wanted.addAll(List.of(n + "a", n + "b"));
    }
    assertEquals(wanted, values(read(at(topic, 0), wanted.size(), COMMITTED)));
  }

  @Test
  void transactionsAreListedAndAborted() throws Exception {
    String topic = topic(1), id = unique();
    Producer<String, String> producer = transactional(id);
    producer.beginTransaction();
    await(producer.send(new ProducerRecord<>(topic, "x")));
    TransactionListing listed = await(ADMIN.listTransactions().all()).stream().filter(t -> t.transactionalId().equals(id)).findFirst().orElseThrow();
    assertEquals(TransactionState.ONGOING, listed.state());
    TransactionDescription described = await(ADMIN.describeTransactions(List.of(id)).description(id));
    assertEquals(Set.of(at(topic, 0)), described.topicPartitions());
    assertEquals(listed.producerId(), described.producerId());
    fails(TransactionalIdNotFoundException.class, ADMIN.describeTransactions(List.of(unique())).all());
    ProducerState state = await(ADMIN.describeProducers(List.of(at(topic, 0))).partitionResult(at(topic, 0))).activeProducers().get(0);
    assertEquals(OptionalLong.of(0), state.currentTransactionStartOffset());
    await(ADMIN.abortTransaction(new AbortTransactionSpec(at(topic, 0), state.producerId(), (short) state.producerEpoch(), state.coordinatorEpoch().orElse(-1))).all());
    until(() -> answer(() -> end(at(topic, 0), IsolationLevel.READ_COMMITTED) == 2), "it is aborted");
  }

  @Test
  void producerIsFencedByTheAdministrator() throws Exception {
    String topic = topic(1), id = unique();
    Producer<String, String> producer = transactional(id);
    producer.beginTransaction();
    await(producer.send(new ProducerRecord<>(topic, "x")));
    await(ADMIN.fenceProducers(List.of(id)).all());
    assertThrows(KafkaException.class, producer::commitTransaction);
    until(() -> answer(() -> end(at(topic, 0), IsolationLevel.READ_COMMITTED) == 2), "it is aborted");
  }
}
