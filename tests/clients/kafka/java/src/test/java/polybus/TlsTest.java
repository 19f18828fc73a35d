package polybus;

import static org.junit.jupiter.api.Assertions.*;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.*;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.errors.*;
import org.junit.jupiter.api.*;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** TLS and SASL_SSL, with certificates in PEM. */
class TlsTest extends Kafka {
  @BeforeEach
  void isSpoken() {
    assumeTrue(System.getenv("KAFKAS_PORT") != null, "no listener with TLS (KAFKAS_PORT)");
  }

  private static Object[] tls(Object... more) {
    var settings = settings("bootstrap.servers", "127.0.0.1:" + System.getenv("KAFKAS_PORT"), "security.protocol", "SSL",
        "ssl.truststore.type", "PEM", "ssl.truststore.location", System.getenv("KAFKA_CA"));
    settings.putAll(settings(more));
    return settings.entrySet().stream().flatMap(one -> java.util.stream.Stream.of(one.getKey(), one.getValue())).toArray();
  }

  private static Object[] login(String mechanism, String password) {
    String module = mechanism.equals("PLAIN") ? "plain.PlainLoginModule" : "scram.ScramLoginModule";
    return tls("security.protocol", "SASL_SSL", "sasl.mechanism", mechanism, "sasl.jaas.config",
        "org.apache.kafka.common.security." + module + " required username=\"guest\" password=\"" + password + "\";");
  }

  private void works(Object[] how) throws Exception {
    String topic = topic(1);
    await(producer(how).send(new ProducerRecord<>(topic, "a")));
    Consumer<String, String> consumer = consumer(unique(), how);
    consumer.subscribe(List.of(topic));
    assertEquals(List.of("a"), values(take(consumer, 1)));
    consumer.commitSync();
  }

  @Test
  void plainTls() throws Exception {
    works(tls("ssl.keystore.type", "PEM", "ssl.keystore.certificate.chain", Files.readString(Path.of(System.getenv("KAFKA_CERT"))),
        "ssl.keystore.key", Files.readString(Path.of(System.getenv("KAFKA_KEY")))));
  }

  @ParameterizedTest
  @ValueSource(strings = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"})
  void logins(String mechanism) throws Exception {
    works(login(mechanism, "guest"));
  }

  @Test
  void whoIsNotTrusted() {
    var wrong = assertThrows(Exception.class, () -> await(producer(login("PLAIN", "wrong")).send(new ProducerRecord<>("t", "a"))));
    assertInstanceOf(SaslAuthenticationException.class, wrong);
    var stranger = tls("ssl.truststore.location", System.getenv("KAFKA_CERT"));
    wrong = assertThrows(Exception.class, () -> await(producer(stranger).send(new ProducerRecord<>("t", "a"))));
    assertInstanceOf(SslAuthenticationException.class, wrong);
  }
}
