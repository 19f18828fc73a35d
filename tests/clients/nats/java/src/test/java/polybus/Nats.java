package polybus;

import static org.junit.jupiter.api.Assertions.*;

import io.nats.client.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.*;

/** What every test gets: clients that are closed at its end, and names that no other test uses. */
@Timeout(60)
abstract class Nats {
  static final String URL = "nats://" + System.getenv().getOrDefault("NATS_HOST", "127.0.0.1") + ":" + System.getenv().getOrDefault("NATS_PORT", "4222");
  static final Duration LIMIT = Duration.ofSeconds(20);

  private final Deque<Connection> open = new ConcurrentLinkedDeque<>();

  /** What expected_failures.txt names is left out against polybus; the reasons are in ../EXPECTED_FAILURES.md. */
  @BeforeEach
  void isBuilt(TestInfo test) throws Exception {
    Path standIn = Path.of("..", "nats-server").toRealPath(), server = Path.of(System.getenv().getOrDefault("NATS_SERVER", standIn.toString()));
    Path list = Path.of("expected_failures.txt");
    if (!Files.exists(list) || !server.toRealPath().equals(standIn)) return;
    String owner = test.getTestClass().orElseThrow().getSimpleName();
    Set<String> names = Set.of(owner, owner + "." + test.getTestMethod().orElseThrow().getName());
    Assumptions.assumeFalse(Files.readAllLines(list).stream().anyMatch(line -> names.contains(line.split("#")[0].strip())), "EXPECTED_FAILURES.md");
  }

  @AfterEach
  void close() throws Exception {
    while (!open.isEmpty()) open.pop().close();
  }

  static String unique() {
    return "java" + UUID.randomUUID().toString().substring(0, 8);
  }

  Connection connect() throws Exception {
    Connection made = io.nats.client.Nats.connect(new Options.Builder().server(URL).errorListener(new ErrorListener() {}).build());
    open.push(made);
    return made;
  }

  static byte[] bytes(Object text) {
    return text.toString().getBytes(StandardCharsets.UTF_8);
  }

  static String text(Message message) {
    assertNotNull(message, "no message came in time");
    return new String(message.getData(), StandardCharsets.UTF_8);
  }

  static void until(String what, BooleanSupplier condition) throws Exception {
    for (long end = System.nanoTime() + LIMIT.toNanos(); !condition.getAsBoolean(); Thread.sleep(10))
      assertTrue(System.nanoTime() < end, "not in time: " + what);
  }
}
