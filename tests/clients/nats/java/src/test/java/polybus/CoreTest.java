package polybus;

import static org.junit.jupiter.api.Assertions.*;

import io.nats.client.*;
import io.nats.client.impl.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/** Live subscribers, by jnats. */
class CoreTest extends Nats {
  @Test
  void wildcardsAndHeaders() throws Exception {
    Connection nc = connect();
    String name = unique();
    Subscription sub = nc.subscribe(name + ".*.>");
    nc.publish(name + ".a", bytes("no"));
    Headers headers = new Headers().add("K", "1", "2");
    nc.publish(NatsMessage.builder().subject(name + ".a.b").headers(headers).data(bytes("yes")).build());
    Message message = sub.nextMessage(LIMIT);
    assertEquals("yes", text(message));
    assertEquals(List.of("1", "2"), message.getHeaders().get("K"));
  }

  @Test
  void manyInOrder() throws Exception {
    Connection sender = connect(), receiver = connect();
    String name = unique();
    Subscription sub = receiver.subscribe(name);
    sub.setPendingLimits(-1, -1);
    receiver.flush(LIMIT);
    for (int i = 0; i < 50_000; i++) sender.publish(name, bytes(i));
    for (int i = 0; i < 50_000; i++) assertEquals(String.valueOf(i), text(sub.nextMessage(LIMIT)));
  }

  @Test
  void queueGroup() throws Exception {
    String name = unique();
    AtomicInteger[] counts = {new AtomicInteger(), new AtomicInteger(), new AtomicInteger()};
    for (AtomicInteger count : counts) {
      Connection nc = connect();
      nc.createDispatcher(message -> count.incrementAndGet()).subscribe(name, "workers");
      nc.flush(LIMIT);
    }
    Connection sender = connect();
    for (int i = 0; i < 1500; i++) sender.publish(name, null);
    until("all came", () -> Arrays.stream(counts).mapToInt(AtomicInteger::get).sum() == 1500);
    for (AtomicInteger count : counts) assertTrue(count.get() > 300, Arrays.toString(counts));
  }

  @Test
  void requests() throws Exception {
    Connection asker = connect(), service = connect();
    String name = unique();
    service.createDispatcher(message -> service.publish(message.getReplyTo(), bytes("re:" + text(message)))).subscribe(name);
    service.flush(LIMIT);
    List<CompletableFuture<Message>> answers = new ArrayList<>();
    for (int i = 0; i < 500; i++) answers.add(asker.request(name, bytes(i)));
    for (int i = 0; i < 500; i++) assertEquals("re:" + i, text(answers.get(i).get(20, TimeUnit.SECONDS)));
    assertThrows(CancellationException.class, () -> asker.request(unique(), null).get(5, TimeUnit.SECONDS));
  }

  @Test
  void unsubscribeAfterAndDrain() throws Exception {
    Connection nc = connect(), other = connect();
    String name = unique();
    AtomicInteger seen = new AtomicInteger(), drained = new AtomicInteger();
    Dispatcher few = nc.createDispatcher(message -> seen.incrementAndGet());
    few.subscribe(name);
    few.unsubscribe(name, 3);
    other.createDispatcher(message -> drained.incrementAndGet()).subscribe(name);
    other.flush(LIMIT);
    for (int i = 0; i < 100; i++) nc.publish(name, null);
    nc.flush(LIMIT);
    other.flush(LIMIT);
    assertTrue(other.drain(Duration.ofSeconds(10)).get(20, TimeUnit.SECONDS));
    assertEquals(100, drained.get());
    assertEquals(3, seen.get());
  }

  @Test
  void serverInfo() throws Exception {
    Connection nc = connect();
    assertTrue(nc.RTT().toNanos() > 0);
    assertTrue(nc.getServerInfo().isHeadersSupported());
    assertEquals(1 << 20, nc.getMaxPayload());
    assertThrows(IllegalArgumentException.class, () -> nc.publish("a", new byte[(1 << 20) + 1]));
  }
}
