package polybus;

import static org.junit.jupiter.api.Assertions.*;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.function.BooleanSupplier;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.*;
import org.junit.jupiter.api.*;

/** What every test gets: clients that are closed and topics that are deleted at its end, and names that no other test uses. */
@Timeout(60)
abstract class Kafka {
  static final String BOOTSTRAP =
      System.getenv().getOrDefault("KAFKA_HOST", "127.0.0.1") + ":" + System.getenv().getOrDefault("KAFKA_PORT", "9092");
  static final Duration LIMIT = Duration.ofSeconds(25);
  static final Admin ADMIN = Admin.create(Map.of("bootstrap.servers", BOOTSTRAP, "client.id", "java-admin"));

  private final Deque<AutoCloseable> open = new ConcurrentLinkedDeque<>();
  private final List<String> made = new CopyOnWriteArrayList<>();

  /** What expected_failures.txt names is left out; the reasons are in ../EXPECTED_FAILURES.md. */
  @BeforeEach
  void isBuilt(TestInfo test) throws Exception {
    Path list = Path.of("expected_failures.txt");
    if (!Files.exists(list)) return;
    String owner = test.getTestClass().orElseThrow().getSimpleName();
    Set<String> names = Set.of(owner, owner + "." + test.getTestMethod().orElseThrow().getName());
    Assumptions.assumeFalse(Files.readAllLines(list).stream().anyMatch(line -> names.contains(line.split("#")[0].strip())), "EXPECTED_FAILURES.md");
  }

  @AfterEach
  void close() throws Exception {
    while (!open.isEmpty()) open.pop().close();
    if (!made.isEmpty()) ADMIN.deleteTopics(made);
  }

  static String unique() {
    return "java-" + UUID.randomUUID().toString().substring(0, 8);
  }

  <C extends AutoCloseable> C closing(C client) {
    open.push(client);
    return client;
  }

  static Map<String, Object> settings(Object... pairs) {
    Map<String, Object> settings = new HashMap<>();
    for (int at = 0; at < pairs.length; at += 2) settings.put((String) pairs[at], pairs[at + 1]);
    return settings;
  }

  // Topics.

  String topic(int partitions, String... configs) throws Exception {
    Map<String, String> map = new HashMap<>();
    for (int at = 0; at < configs.length; at += 2) map.put(configs[at], configs[at + 1]);
    String name = nameOfTopic();
    await(ADMIN.createTopics(List.of(new NewTopic(name, partitions, (short) 1).configs(map))).all());
    // A broker may answer before it knows what it created.
    until(() -> answer(() -> ADMIN.describeTopics(List.of(name)).allTopicNames().get().get(name).partitions().stream().allMatch(p -> p.leader() != null)), "a leader");
    return name;
  }

  /** A topic's name, which is deleted at the end if someone has created it. */
  String nameOfTopic() {
    String name = unique();
    made.add(name);
    return name;
  }

  static TopicPartition at(String topic, int partition) {
    return new TopicPartition(topic, partition);
  }

  static List<TopicPartition> all(String topic, int partitions) {
    return IntStream.range(0, partitions).mapToObj(p -> at(topic, p)).toList();
  }

  // Producing.

  Producer<String, String> producer(Object... more) {
    Map<String, Object> settings = settings("bootstrap.servers", BOOTSTRAP, "linger.ms", 0, "delivery.timeout.ms", 20_000, "request.timeout.ms", 10_000, "max.block.ms", 20_000);
    settings.putAll(settings(more));
    return closing(new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer()));
  }

  void send(String topic, String... values) throws Exception {
    sendTo(at(topic, 0), values);
  }

  void sendTo(TopicPartition to, String... values) throws Exception {
    Producer<String, String> producer = producer();
    List<Future<RecordMetadata>> sent = new ArrayList<>();
    for (String value : values) sent.add(producer.send(new ProducerRecord<>(to.topic(), to.partition(), null, value)));
    for (Future<RecordMetadata> one : sent) await(one);
  }

  /** Records with the values 0, 1, 2, ... spread over the partitions. */
  void sendNumbers(String topic, int partitions, int count) throws Exception {
    for (int p = 0; p < partitions; p++) {
      int partition = p;
      sendTo(at(topic, p), IntStream.range(0, count).filter(n -> n % partitions == partition).mapToObj(String::valueOf).toArray(String[]::new));
    }
  }

  static ProducerRecord<String, String> record(String topic, Integer partition, Long timestamp, String key, String value, String... headers) {
    RecordHeaders all = new RecordHeaders();
    for (int at = 0; at < headers.length; at += 2) all.add(headers[at], headers[at + 1] == null ? null : headers[at + 1].getBytes());
    return new ProducerRecord<>(topic, partition, timestamp, key, value, all);
  }

  // Consuming.

  Consumer<String, String> consumer(String group, Object... more) {
    return closing(consumerThatStays(group, more));
  }

  /** One that the test itself closes. */
  static Consumer<String, String> consumerThatStays(String group, Object... more) {
    Map<String, Object> settings = settings("bootstrap.servers", BOOTSTRAP, "auto.offset.reset", "earliest", "enable.auto.commit", false,
        "default.api.timeout.ms", 20_000, "metadata.max.age.ms", 1000);
    if (group != null) settings.put("group.id", group);
    settings.putAll(settings(more));
    return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
  }

  /** Everything in a partition from its beginning, by a reader without a group. */
  List<ConsumerRecord<String, String>> read(TopicPartition partition, int count, Object... more) {
    Consumer<String, String> reader = consumer(null, more);
    reader.assign(List.of(partition));
    return take(reader, count);
  }

  static List<ConsumerRecord<String, String>> take(Consumer<String, String> from, int count) {
    List<ConsumerRecord<String, String>> taken = new ArrayList<>();
    long end = System.nanoTime() + LIMIT.toNanos();
    while (taken.size() < count) {
      assertTrue(System.nanoTime() < end, () -> "only " + taken.size() + " of " + count + " came");
      from.poll(Duration.ofMillis(100)).forEach(taken::add);
    }
    return taken;
  }

  static List<String> values(List<ConsumerRecord<String, String>> records) {
    return records.stream().map(ConsumerRecord::value).toList();
  }

  static void nothingComes(Consumer<String, String> to) {
    assertTrue(to.poll(Duration.ofMillis(400)).isEmpty());
  }

  static Map<TopicPartition, OffsetAndMetadata> offset(TopicPartition partition, long offset) {
    return Map.of(partition, new OffsetAndMetadata(offset));
  }

  // Waiting.

  static <T> T await(Future<T> future) throws Exception {
    try {
      return future.get(LIMIT.toSeconds(), TimeUnit.SECONDS);
    } catch (ExecutionException error) {
      if (error.getCause() instanceof Exception cause) throw cause;
      throw error;
    }
  }

  static <E extends Exception> E fails(Class<E> kind, Future<?> future) {
    return assertThrows(kind, () -> await(future));
  }

  /** What it answers; false if it is refused, since what it asks about may not be there yet. */
  static boolean answer(Callable<Boolean> question) {
    try {
      return question.call();
    } catch (Exception error) {
      if (error instanceof ApiException || error.getCause() instanceof ApiException) return false;
      throw new AssertionError(error);
    }
  }

  static void until(BooleanSupplier condition, String what) {
    long end = System.nanoTime() + LIMIT.toNanos();
    while (!condition.getAsBoolean()) {
      assertTrue(System.nanoTime() < end, "not in time: " + what);
      try {
        Thread.sleep(10);
      } catch (InterruptedException error) {
        throw new IllegalStateException(error);
      }
    }
  }
}
