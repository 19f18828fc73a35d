package polybus;

import static org.junit.jupiter.api.Assertions.*;

import com.rabbitmq.client.*;
import com.rabbitmq.client.impl.recovery.AutorecoveringConnection;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.*;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** Judged by com.rabbitmq:amqp-client: what a Java application does with RabbitMQ. */
@Timeout(30)
@Execution(ExecutionMode.CONCURRENT)
class AmqpTest {
  static final String HOST = System.getenv().getOrDefault("AMQP_HOST", "127.0.0.1");
  static final int PORT = Integer.parseInt(System.getenv().getOrDefault("AMQP_PORT", "5672"));
  static final Map<String, Object> NONE = Map.of();
  static final AMQP.BasicProperties PLAIN = new AMQP.BasicProperties();

  Connection connection;
  Channel channel;

  static ConnectionFactory factory() {
    ConnectionFactory factory = new ConnectionFactory();
    factory.setHost(HOST);
    factory.setPort(PORT);
    factory.setNetworkRecoveryInterval(100);
    return factory;
  }

  static String unique() {
    return "java-" + UUID.randomUUID().toString().substring(0, 8);
  }

  /** Names in expected_failures.txt are left out; the reasons are in ../EXPECTED_FAILURES.md. */
  @BeforeEach
  void connect(TestInfo test) throws Exception {
    Path list = Path.of("expected_failures.txt");
    if (Files.exists(list)) {
      String name = test.getTestMethod().orElseThrow().getName();
      Assumptions.assumeFalse(Files.readAllLines(list).stream().anyMatch(line -> line.split("#")[0].strip().equals(name)), "EXPECTED_FAILURES.md");
    }
    connection = factory().newConnection();
    channel = connection.createChannel();
  }

  @AfterEach
  void disconnect() {
    if (connection != null) connection.abort(2000);
  }

  static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  static String text(byte[] body) {
    return new String(body, StandardCharsets.UTF_8);
  }

  String queue(Map<String, Object> arguments) throws IOException {
    return channel.queueDeclare(unique(), false, true, false, arguments).getQueue();
  }

  void send(String queue, String body) throws IOException {
    channel.basicPublish("", queue, PLAIN, bytes(body));
  }

  BlockingQueue<Delivery> consume(Channel on, String queue, boolean autoAck) throws IOException {
    BlockingQueue<Delivery> inbox = new LinkedBlockingQueue<>();
    on.basicConsume(queue, autoAck, (tag, delivery) -> inbox.add(delivery), tag -> {});
    return inbox;
  }

  static Delivery next(BlockingQueue<Delivery> inbox) throws InterruptedException {
    return Objects.requireNonNull(inbox.poll(15, TimeUnit.SECONDS), "no delivery in time");
  }

  static void expect(BlockingQueue<Delivery> inbox, String... bodies) throws InterruptedException {
    for (String body : bodies) assertEquals(body, text(next(inbox).getBody()));
  }

  static void expectNone(BlockingQueue<Delivery> inbox) throws InterruptedException {
    assertNull(inbox.poll(150, TimeUnit.MILLISECONDS));
  }

  interface Action {
    void run() throws Exception;
  }

  /** The channel is closed with this code and text, the connection is not. */
  void refuses(int code, String text, Action action) {
    IOException error = assertThrows(IOException.class, action::run);
    ShutdownSignalException signal = (ShutdownSignalException) error.getCause();
    assertFalse(signal.isHardError());
    AMQP.Channel.Close close = (AMQP.Channel.Close) signal.getReason();
    assertEquals(code, close.getReplyCode());
    assertTrue(close.getReplyText().startsWith(text), close.getReplyText());
    assertTrue(connection.isOpen());
  }

  @Test
  void serverProperties() {
    Map<?, ?> capabilities = (Map<?, ?>) connection.getServerProperties().get("capabilities");
    for (String name : List.of("publisher_confirms", "basic.nack", "consumer_cancel_notify", "connection.blocked", "authentication_failure_close"))
      assertEquals(true, capabilities.get(name), name);
  }

  @Test
  void badPassword() {
    ConnectionFactory factory = factory();
    factory.setPassword("wrong");
    AuthenticationFailureException error = assertThrows(AuthenticationFailureException.class, factory::newConnection);
    assertTrue(error.getMessage().contains("ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN"), error.getMessage());
  }

  @Test
  void unknownVhost() {
    ConnectionFactory factory = factory();
    factory.setVirtualHost("nowhere");
    IOException error = assertThrows(IOException.class, factory::newConnection);
    ShutdownSignalException signal = (ShutdownSignalException) error.getCause();
    AMQP.Connection.Close close = (AMQP.Connection.Close) signal.getReason();
    assertEquals(530, close.getReplyCode());
    assertEquals("NOT_ALLOWED - vhost nowhere not found", close.getReplyText());
  }

  @Test
  void negotiatedLimits() throws Exception {
    ConnectionFactory factory = factory();
    factory.setRequestedChannelMax(5);
    factory.setRequestedFrameMax(8192);
    factory.setRequestedHeartbeat(7);
    try (Connection limited = factory.newConnection()) {
      assertEquals(5, limited.getChannelMax());
      assertEquals(8192, limited.getFrameMax());
      assertEquals(7, limited.getHeartbeat());
      Channel small = limited.createChannel();
      String queue = small.queueDeclare().getQueue();
      byte[] body = new byte[100_000];
      new Random(1).nextBytes(body);
      small.basicPublish("", queue, PLAIN, body);
      assertArrayEquals(body, next(consume(small, queue, true)).getBody());
    }
  }

  @Test
  void channelErrors() throws Exception {
    String name = unique();
    refuses(404, "NOT_FOUND - no queue '" + name + "' in vhost '/'", () -> channel.queueDeclarePassive(name));
    channel = connection.createChannel();
    refuses(404, "NOT_FOUND - no exchange '" + name + "' in vhost '/'", () -> channel.exchangeDeclarePassive(name));
    channel = connection.createChannel();
    refuses(406, "PRECONDITION_FAILED - invalid arg 'x-expires' for queue '" + name + "' in vhost '/': {value_zero,0}",
        () -> channel.queueDeclare(name, false, true, false, Map.of("x-expires", 0)));
    channel = connection.createChannel();
    refuses(403, "ACCESS_REFUSED - operation not permitted on the default exchange", () -> channel.exchangeDelete(""));
    channel = connection.createChannel();
    String queue = queue(NONE);
    Channel other = connection.createChannel();
    refuses(406, "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '" + queue + "' in vhost '/': received the value '5' of type 'signedint' but current is none",
        () -> other.queueDeclare(queue, false, true, false, Map.of("x-max-length", 5)));
  }

  @Test
  void connectionErrorClosesAll() throws Exception {
    CompletableFuture<ShutdownSignalException> closed = new CompletableFuture<>();
    connection.addShutdownListener(closed::complete);
    assertThrows(IOException.class, () -> channel.exchangeDeclare(unique(), "x-nonsense-type"));
    ShutdownSignalException signal = closed.get(10, TimeUnit.SECONDS);
    assertTrue(signal.isHardError() && !signal.isInitiatedByApplication());
    assertEquals("COMMAND_INVALID - unknown exchange type 'x-nonsense-type'", ((AMQP.Connection.Close) signal.getReason()).getReplyText());
  }

  @Test
  void unknownDeliveryTagIsToldToTheShutdownListener() throws Exception {
    CompletableFuture<ShutdownSignalException> closed = new CompletableFuture<>();
    channel.addShutdownListener(closed::complete);
    channel.basicAck(42, false);
    AMQP.Channel.Close close = (AMQP.Channel.Close) closed.get(10, TimeUnit.SECONDS).getReason();
    assertEquals(406, close.getReplyCode());
    assertEquals("PRECONDITION_FAILED - unknown delivery tag 42", close.getReplyText());
    assertEquals(List.of(60, 80), List.of(close.getClassId(), close.getMethodId()));
  }

  @Test
  void confirmListener() throws Exception {
    channel.confirmSelect();
    String queue = queue(NONE);
    ConcurrentNavigableMap<Long, Boolean> waiting = new ConcurrentSkipListMap<>();
    CountDownLatch all = new CountDownLatch(1);
    AtomicInteger nacks = new AtomicInteger();
    channel.addConfirmListener((tag, multiple) -> {
      if (multiple) waiting.headMap(tag, true).clear();
      else assertNotNull(waiting.remove(tag));
      if (waiting.isEmpty()) all.countDown();
    }, (tag, multiple) -> nacks.incrementAndGet());
    for (int i = 0; i < 500; i++) waiting.put(channel.getNextPublishSeqNo() + i, true);
    for (int i = 0; i < 500; i++) channel.basicPublish("", queue, MessageProperties.PERSISTENT_TEXT_PLAIN, bytes("" + i));
    assertTrue(all.await(15, TimeUnit.SECONDS), waiting.toString());
    assertEquals(0, nacks.get());
    assertEquals(500, channel.messageCount(queue));
  }

  @Test
  void waitForConfirmsTellsOfNacks() throws Exception {
    channel.confirmSelect();
    String queue = queue(Map.of("x-max-length", 1, "x-overflow", "reject-publish"));
    send(queue, "1");
    assertTrue(channel.waitForConfirms(10_000));
    send(queue, "2");
    assertFalse(channel.waitForConfirms(10_000));
  }

  @Test
  void returnListenerBeforeConfirm() throws Exception {
    channel.confirmSelect();
    List<String> events = new CopyOnWriteArrayList<>();
    CountDownLatch confirmed = new CountDownLatch(1);
    channel.addReturnListener(r -> events.add(r.getReplyCode() + " " + r.getReplyText() + " " + text(r.getBody())));
    channel.addConfirmListener((tag, multiple) -> { events.add("ack " + tag); confirmed.countDown(); }, (tag, multiple) -> events.add("nack"));
    channel.basicPublish("", unique(), true, PLAIN, bytes("lost"));
    assertTrue(confirmed.await(10, TimeUnit.SECONDS));
    assertEquals(List.of("312 NO_ROUTE lost", "ack 1"), events);
  }

  @Test
  void propertiesAndHeaders() throws Exception {
    String queue = queue(NONE);
    Date time = new Date(1_700_000_000_000L);
    Map<String, Object> headers = new LinkedHashMap<>();
    headers.put("bool", true);
    headers.put("byte", (byte) -5);
    headers.put("short", (short) -300);
    headers.put("int", 70_000);
    headers.put("long", Long.MIN_VALUE);
    headers.put("float", 0.5f);
    headers.put("double", 3.25);
    headers.put("decimal", new java.math.BigDecimal("3.14"));
    headers.put("date", time);
    headers.put("nothing", null);
    headers.put("table", Map.of("inner", Map.of("innermost", 1)));
    headers.put("list", List.of(1, true, List.of(2), Map.of("k", 3L)));
    AMQP.BasicProperties sent = new AMQP.BasicProperties("text/plain", "identity", headers, 2, 7, "c", "r", "60000", "m", time, "t", "guest", "a", "cl");
    channel.basicPublish("", queue, sent, bytes("x"));
    AMQP.BasicProperties got = next(consume(channel, queue, true)).getProperties();
    assertEquals(headers, got.getHeaders());
    assertEquals(
        Arrays.asList("text/plain", "identity", 2, 7, "c", "r", "60000", "m", time, "t", "guest", "a", "cl"),
        Arrays.asList(got.getContentType(), got.getContentEncoding(), got.getDeliveryMode(), got.getPriority(), got.getCorrelationId(), got.getReplyTo(),
            got.getExpiration(), got.getMessageId(), got.getTimestamp(), got.getType(), got.getUserId(), got.getAppId(), got.getClusterId()));
  }

  @Test
  void rpcClientAndServer() throws Exception {
    String queue = queue(NONE);
    Channel serverChannel = connection.createChannel();
    RpcServer server = new RpcServer(serverChannel, queue) {
      @Override
      public byte[] handleCall(Delivery request, AMQP.BasicProperties reply) {
        return bytes("re: " + text(request.getBody()));
      }
    };
    Thread loop = new Thread(() -> {
      try {
        server.mainloop();
      } catch (IOException | ShutdownSignalException ignored) {
      }
    });
    loop.start();
    RpcClient client = new RpcClient(new RpcClientParams().channel(channel).exchange("").routingKey(queue).timeout(10_000));
    for (int i = 0; i < 50; i++) assertEquals("re: " + i, client.stringCall("" + i));
    client.close();
    server.terminateMainloop();
    loop.join(5000);
  }

  @Test
  void exchangesOfEveryType() throws Exception {
    Object[][] cases = {
      {"direct", "k", "k", NONE, NONE, true}, {"direct", "k", "j", NONE, NONE, false}, {"fanout", "", "any", NONE, NONE, true},
      {"topic", "*.b.#", "a.b", NONE, NONE, true}, {"topic", "*.b.#", "b", NONE, NONE, false},
      {"headers", "", "", Map.of("x-match", "all", "a", 1, "b", "2"), Map.of("a", 1, "b", "2", "c", 3), true},
      {"headers", "", "", Map.of("x-match", "all", "a", 1, "b", "2"), Map.of("a", 1), false},
      {"headers", "", "", Map.of("x-match", "any", "a", 1, "b", "2"), Map.of("a", 1), true},
    };
    for (Object[] c : cases) {
      String exchange = unique(), queue = queue(NONE);
      channel.exchangeDeclare(exchange, (String) c[0], false, true, null);
      @SuppressWarnings("unchecked")
      Map<String, Object> arguments = (Map<String, Object>) c[3], headers = (Map<String, Object>) c[4];
      channel.queueBind(queue, exchange, (String) c[1], arguments);
      BlockingQueue<Delivery> inbox = consume(channel, queue, true);
      channel.basicPublish(exchange, (String) c[2], new AMQP.BasicProperties.Builder().headers(headers).build(), bytes("x"));
      if ((boolean) c[5]) expect(inbox, "x");
      else expectNone(inbox);
    }
  }

  @Test
  void exchangeToExchangeAndAlternate() throws Exception {
    String back = unique(), front = unique(), queue = queue(NONE);
    channel.exchangeDeclare(back, "fanout", false, true, null);
    channel.queueBind(queue, back, "");
    channel.exchangeDeclare(front, "direct", false, false, Map.of("alternate-exchange", back));
    try {
      channel.exchangeBind(back, front, "bound");
      BlockingQueue<Delivery> inbox = consume(channel, queue, true);
      channel.basicPublish(front, "bound", PLAIN, bytes("1"));
      channel.basicPublish(front, "unbound", PLAIN, bytes("2"));
      expect(inbox, "1", "2");
      channel.exchangeUnbind(back, front, "bound");
    } finally {
      channel.exchangeDelete(front);
    }
  }

  @Test
  void getAndCounts() throws Exception {
    channel.confirmSelect();
    String queue = queue(NONE);
    assertNull(channel.basicGet(queue, true));
    send(queue, "1");
    send(queue, "2");
    channel.waitForConfirmsOrDie(10_000);
    GetResponse response = channel.basicGet(queue, false);
    assertEquals("1", text(response.getBody()));
    assertEquals(1, response.getMessageCount());
    channel.basicNack(response.getEnvelope().getDeliveryTag(), false, true);
    assertTrue(channel.basicGet(queue, true).getEnvelope().isRedeliver());
    assertEquals(1, channel.queuePurge(queue).getMessageCount());
    assertEquals(0, channel.consumerCount(queue));
  }

  @Test
  void prefetchAndRequeueInPlace() throws Exception {
    String queue = queue(NONE);
    for (int i = 0; i < 6; i++) send(queue, "" + i);
    channel.basicQos(2);
    BlockingQueue<Delivery> inbox = consume(channel, queue, false);
    Delivery first = next(inbox), second = next(inbox);
    expectNone(inbox);
    channel.basicNack(first.getEnvelope().getDeliveryTag(), false, true);
    Delivery again = next(inbox);
    assertEquals("0", text(again.getBody()));
    assertTrue(again.getEnvelope().isRedeliver());
    channel.basicReject(second.getEnvelope().getDeliveryTag(), false);
    expect(inbox, "2");
    channel.basicAck(0, true);
    expect(inbox, "3", "4");
  }

  @Test
  void recover() throws Exception {
    String queue = queue(NONE);
    send(queue, "x");
    BlockingQueue<Delivery> inbox = consume(channel, queue, false);
    next(inbox);
    channel.basicRecover(true);
    assertTrue(next(inbox).getEnvelope().isRedeliver());
  }

  @Test
  void cancelByServerAndClient() throws Exception {
    String queue = queue(NONE);
    CompletableFuture<String> cancelled = new CompletableFuture<>();
    String tag = channel.basicConsume(queue, true, (t, d) -> {}, cancelled::complete);
    connection.createChannel().queueDelete(queue);
    assertEquals(tag, cancelled.get(10, TimeUnit.SECONDS));
    CompletableFuture<String> ok = new CompletableFuture<>();
    tag = channel.basicConsume(queue(NONE), true, new DefaultConsumer(channel) {
      @Override
      public void handleCancelOk(String t) {
        ok.complete(t);
      }
    });
    channel.basicCancel(tag);
    assertEquals(tag, ok.get(10, TimeUnit.SECONDS));
  }

  @Test
  void transactions() throws Exception {
    String queue = queue(NONE);
    BlockingQueue<Delivery> inbox = consume(connection.createChannel(), queue, true);
    channel.txSelect();
    send(queue, "undone");
    channel.txRollback();
    send(queue, "done");
    expectNone(inbox);
    channel.txCommit();
    expect(inbox, "done");
  }

  @Test
  void deadLetters() throws Exception {
    String dead = queue(NONE);
    String queue = queue(Map.of("x-dead-letter-exchange", "", "x-dead-letter-routing-key", dead, "x-message-ttl", 50));
    send(queue, "old");
    Map<String, Object> headers = next(consume(channel, dead, true)).getProperties().getHeaders();
    Map<?, ?> death = (Map<?, ?>) ((List<?>) headers.get("x-death")).get(0);
    assertEquals(1L, death.get("count"));
    assertEquals("expired", death.get("reason").toString());
    assertEquals(queue, death.get("queue").toString());
    assertEquals("", death.get("exchange").toString());
    assertInstanceOf(Date.class, death.get("time"));
    assertEquals(List.of(queue), ((List<?>) death.get("routing-keys")).stream().map(Object::toString).toList());
    assertEquals("expired", headers.get("x-first-death-reason").toString());
  }

  @Test
  void singleActiveConsumerAndPriorities() throws Exception {
    String queue = queue(Map.of("x-single-active-consumer", true));
    Channel one = connection.createChannel();
    BlockingQueue<Delivery> first = consume(one, queue, true), second = consume(channel, queue, true);
    send(queue, "1");
    expect(first, "1");
    one.close();
    send(queue, "2");
    expect(second, "2");
    String ranked = queue(Map.of("x-max-priority", 5));
    channel.confirmSelect();
    for (int priority : List.of(1, 5, 3))
      channel.basicPublish("", ranked, new AMQP.BasicProperties.Builder().priority(priority).build(), bytes("" + priority));
    channel.waitForConfirmsOrDie(10_000);
    expect(consume(channel, ranked, true), "5", "3", "1");
  }

  @Test
  void quorumQueue() throws Exception {
    String queue = unique();
    channel.queueDeclare(queue, true, false, false, Map.of("x-queue-type", "quorum"));
    try {
      send(queue, "x");
      BlockingQueue<Delivery> inbox = consume(channel, queue, false);
      channel.basicReject(next(inbox).getEnvelope().getDeliveryTag(), true);
      Delivery again = next(inbox);
      assertEquals(1L, again.getProperties().getHeaders().get("x-delivery-count"));
      channel.basicAck(again.getEnvelope().getDeliveryTag(), false);
    } finally {
      channel.queueDelete(queue);
    }
  }

  @Test
  void blockedListenerIsAccepted() throws Exception {
    connection.addBlockedListener(reason -> {}, () -> {});
    send(queue(NONE), "x");
  }

  @Test
  void automaticRecoveryBringsBackTopologyAndConsumers() throws Exception {
    try (Cut cut = new Cut(HOST, PORT)) {
      ConnectionFactory factory = factory();
      factory.setHost("127.0.0.1");
      factory.setPort(cut.port());
      AutorecoveringConnection recovering = (AutorecoveringConnection) factory.newConnection();
      CountDownLatch recovered = new CountDownLatch(1);
      recovering.addRecoveryListener(new RecoveryListener() {
        @Override
        public void handleRecovery(Recoverable recoverable) {
          recovered.countDown();
        }

        @Override
        public void handleRecoveryStarted(Recoverable recoverable) {}
      });
      Channel own = recovering.createChannel();
      String exchange = unique();
      own.exchangeDeclare(exchange, "topic", false, true, null);
      String queue = own.queueDeclare().getQueue();
      own.queueBind(queue, exchange, "a.#");
      own.basicQos(10);
      BlockingQueue<Delivery> inbox = consume(own, queue, true);
      own.basicPublish(exchange, "a.1", PLAIN, bytes("before"));
      expect(inbox, "before");
      cut.cut();
      assertTrue(recovered.await(15, TimeUnit.SECONDS));
      own.confirmSelect();
      own.basicPublish(exchange, "a.2", PLAIN, bytes("after"));
      own.waitForConfirmsOrDie(10_000);
      expect(inbox, "after");
      recovering.abort(2000);
    }
  }

  @Test
  void acknowledgementsOfBeforeTheRecoveryAreNoError() throws Exception {
    String queue = unique();
    channel.queueDeclare(queue, false, false, false, null);
    try (Cut cut = new Cut(HOST, PORT)) {
      ConnectionFactory factory = factory();
      factory.setHost("127.0.0.1");
      factory.setPort(cut.port());
      Connection recovering = factory.newConnection();
      Channel own = recovering.createChannel();
      BlockingQueue<Delivery> inbox = consume(own, queue, false);
      send(queue, "x");
      Delivery first = next(inbox);
      cut.cut();
      Delivery second = next(inbox);
      assertTrue(second.getEnvelope().isRedeliver());
      own.basicAck(first.getEnvelope().getDeliveryTag(), false);
      own.basicAck(second.getEnvelope().getDeliveryTag(), false);
      own.basicQos(1);
      assertTrue(own.isOpen());
      recovering.abort(2000);
    } finally {
      channel.queueDelete(queue);
    }
  }

  @Test
  void heartbeatsKeepAnIdleConnection() throws Exception {
    ConnectionFactory factory = factory();
    factory.setRequestedHeartbeat(1);
    try (Connection idle = factory.newConnection()) {
      CountDownLatch closed = new CountDownLatch(1);
      idle.addShutdownListener(signal -> closed.countDown());
      assertFalse(closed.await(3500, TimeUnit.MILLISECONDS));
      idle.createChannel().queueDeclare();
    }
  }

  @Test
  void manyChannelsOfOneConnectionInParallel() throws Exception {
    String queue = queue(NONE);
    BlockingQueue<Delivery> inbox = consume(channel, queue, true);
    ExecutorService pool = Executors.newFixedThreadPool(8);
    List<Future<?>> tasks = new ArrayList<>();
    for (int task = 0; task < 8; task++) {
      int number = task;
      tasks.add(pool.submit(() -> {
        Channel own = connection.createChannel();
        own.confirmSelect();
        for (int i = 0; i < 100; i++) own.basicPublish("", queue, PLAIN, bytes(number + "-" + i));
        own.waitForConfirmsOrDie(10_000);
        own.close();
        return null;
      }));
    }
    for (Future<?> task : tasks) task.get(20, TimeUnit.SECONDS);
    pool.shutdown();
    Set<String> seen = new HashSet<>();
    for (int i = 0; i < 800; i++) assertTrue(seen.add(text(next(inbox).getBody())));
  }

  /** Begins at the place, holds two messages at a time and acknowledges each; each says its own offset. */
  BlockingQueue<Long> streamReader(String stream, Object place) throws IOException {
    BlockingQueue<Long> offsets = new LinkedBlockingQueue<>();
    Channel own = connection.createChannel();
    own.basicQos(2);
    own.basicConsume(stream, false, Map.of("x-stream-offset", place), (tag, delivery) -> {
      assertEquals(text(delivery.getBody()), "" + delivery.getProperties().getHeaders().get("x-stream-offset"));
      offsets.add((Long) delivery.getProperties().getHeaders().get("x-stream-offset"));
      own.basicAck(delivery.getEnvelope().getDeliveryTag(), false);
    }, tag -> {});
    return offsets;
  }

  @Test
  void streamIsReadFromAnyPlace() throws Exception {
    String stream = channel.queueDeclare(unique(), true, false, false, Map.of("x-queue-type", "stream")).getQueue();
    try {
      channel.confirmSelect();
      for (int i = 0; i < 10; i++) send(stream, "" + i);
      channel.waitForConfirmsOrDie(10_000);
      BlockingQueue<Long> first = streamReader(stream, "first"), seventh = streamReader(stream, 7L), coming = streamReader(stream, "next");
      send(stream, "10");
      for (long offset = 0; offset <= 10; offset++) assertEquals(offset, first.poll(15, TimeUnit.SECONDS));
      for (long offset = 7; offset <= 10; offset++) assertEquals(offset, seventh.poll(15, TimeUnit.SECONDS));
      assertEquals(10L, coming.poll(15, TimeUnit.SECONDS));
    } finally {
      channel.queueDelete(stream);
    }
  }

  @Test
  void orderOf50000Messages() throws Exception {
    String queue = queue(NONE);
    BlockingQueue<Delivery> inbox = consume(connection.createChannel(), queue, true);
    for (int i = 0; i < 50_000; i++) send(queue, "" + i);
    for (int i : IntStream.range(0, 50_000).toArray()) assertEquals("" + i, text(next(inbox).getBody()));
  }
}
