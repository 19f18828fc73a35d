package polybus;

import static org.junit.jupiter.api.Assertions.*;

import io.nats.client.*;
import io.nats.client.api.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/** Streams, consumers, Key/Value and Object Store, by jnats. */
class JetStreamTest extends Nats {
  private String stream(Connection nc) throws Exception {
    String name = unique();
    nc.jetStreamManagement().addStream(StreamConfiguration.builder().name(name).subjects(name + ".>").allowDirect(true).build());
    return name;
  }

  private String filled(Connection nc, int count) throws Exception {
    String name = stream(nc);
    for (int i = 0; i < count; i++) nc.jetStream().publish(name + ".a", bytes(i));
    return name;
  }

  @Test
  void publish() throws Exception {
    Connection nc = connect();
    String name = stream(nc);
    JetStream js = nc.jetStream();
    PublishOptions once = PublishOptions.builder().messageId("1").expectedStream(name).build();
    assertEquals(1, js.publish(name + ".a", bytes("x"), once).getSeqno());
    assertTrue(js.publish(name + ".a", bytes("x"), once).isDuplicate());
    var error = assertThrows(JetStreamApiException.class, () -> js.publish(name + ".a", null, PublishOptions.builder().expectedLastSequence(7).build()));
    assertEquals(10071, error.getApiErrorCode());
    List<CompletableFuture<PublishAck>> acks = new ArrayList<>();
    for (int i = 0; i < 1000; i++) acks.add(js.publishAsync(name + ".b", bytes(i)));
    for (int i = 0; i < 1000; i++) assertEquals(i + 2, acks.get(i).get(20, TimeUnit.SECONDS).getSeqno());
    StreamInfo info = nc.jetStreamManagement().getStreamInfo(name, StreamInfoOptions.allSubjects());
    assertEquals(1001, info.getStreamState().getMsgCount());
    assertEquals(2, info.getStreamState().getSubjectCount());
  }

  @Test
  void management() throws Exception {
    Connection nc = connect();
    String name = filled(nc, 10);
    JetStreamManagement jsm = nc.jetStreamManagement();
    assertEquals("4", new String(jsm.getMessage(name, 5).getData()));
    assertEquals("9", new String(jsm.getLastMessage(name, name + ".a").getData()));
    assertTrue(jsm.deleteMessage(name, 5));
    assertEquals(10037, assertThrows(JetStreamApiException.class, () -> jsm.getMessage(name, 5)).getApiErrorCode());
    assertEquals(7, jsm.purgeStream(name, PurgeOptions.builder().keep(2).build()).getPurged());
    assertTrue(jsm.getStreamNames().contains(name));
    assertTrue(jsm.deleteStream(name));
    assertEquals(10059, assertThrows(JetStreamApiException.class, () -> jsm.getStreamInfo(name)).getApiErrorCode());
  }

  @Test
  void pull() throws Exception {
    Connection nc = connect();
    String name = filled(nc, 20);
    JetStreamSubscription sub = nc.jetStream().subscribe(name + ".>", PullSubscribeOptions.builder().durable("d").build());
    List<Message> messages = sub.fetch(5, LIMIT);
    assertEquals(5, messages.size());
    messages.get(0).nakWithDelay(Duration.ofMillis(200));
    messages.get(1).term();
    for (Message message : messages.subList(2, 5)) message.ackSync(LIMIT);
    Set<String> rest = new HashSet<>();
    while (rest.size() < 16) for (Message message : sub.fetch(16, Duration.ofSeconds(1))) {
      rest.add(text(message));
      message.ackSync(LIMIT);
    }
    assertTrue(rest.contains("0"));
    assertEquals(0, sub.getConsumerInfo().getNumAckPending());
  }

  @Test
  void pushAndOrdered() throws Exception {
    Connection nc = connect();
    String name = filled(nc, 200);
    JetStreamSubscription ordered = nc.jetStream().subscribe(name + ".>", PushSubscribeOptions.builder().ordered(true).build());
    for (int i = 0; i < 200; i++) assertEquals(String.valueOf(i), text(ordered.nextMessage(LIMIT)));
    AtomicInteger seen = new AtomicInteger();
    nc.jetStream().subscribe(name + ".>", nc.createDispatcher(), message -> seen.incrementAndGet(), true, PushSubscribeOptions.builder().durable("push").build());
    until("all came", () -> seen.get() == 200);
    until("all are acknowledged", () -> {
      try {
        return nc.jetStreamManagement().getConsumerInfo(name, "push").getNumAckPending() == 0;
      } catch (Exception error) {
        return false;
      }
    });
  }

  @Test
  void simplified() throws Exception {
    Connection nc = connect();
    String name = filled(nc, 100);
    ConsumerContext consumer = nc.getStreamContext(name).createOrUpdateConsumer(ConsumerConfiguration.builder().durable("c").build());
    assertEquals("0", text(consumer.next(5000)));
    AtomicInteger seen = new AtomicInteger();
    try (MessageConsumer consuming = consumer.consume(ConsumeOptions.builder().batchSize(10).build(), message -> {
      message.ack();
      seen.incrementAndGet();
    })) {
      until("all came", () -> seen.get() == 99);
    }
  }

  @Test
  void keyValue() throws Exception {
    Connection nc = connect();
    String name = unique();
    nc.keyValueManagement().create(KeyValueConfiguration.builder().name(name).maxHistoryPerKey(5).build());
    KeyValue kv = nc.keyValue(name);
    long revision = kv.create("k", bytes("1"));
    assertThrows(JetStreamApiException.class, () -> kv.create("k", bytes("2")));
    kv.update("k", bytes("2"), revision);
    assertEquals("2", kv.get("k").getValueAsString());
    kv.delete("k");
    assertNull(kv.get("k"));
    assertEquals(3, kv.history("k").size());
    kv.put("other", bytes("3"));
    assertEquals(List.of("other"), kv.keys());
    nc.keyValueManagement().delete(name);
  }

  @Test
  void objectStore() throws Exception {
    Connection nc = connect();
    String name = unique();
    nc.objectStoreManagement().create(ObjectStoreConfiguration.builder(name).build());
    ObjectStore store = nc.objectStore(name);
    byte[] data = new byte[400_000];
    new Random(1).nextBytes(data);
    store.put("big", data);
    var got = new java.io.ByteArrayOutputStream();
    store.get("big", got);
    assertArrayEquals(data, got.toByteArray());
    assertEquals(1, store.getList().size());
    store.delete("big");
    nc.objectStoreManagement().delete(name);
  }
}
