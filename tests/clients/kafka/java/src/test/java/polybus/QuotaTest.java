package polybus;

import static org.junit.jupiter.api.Assertions.*;

import java.util.*;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.quota.*;
import org.junit.jupiter.api.Test;

/** Quotas: kept, told, and what clients are held to. */
class QuotaTest extends Kafka {
  private static ClientQuotaEntity client(String name) {
    return new ClientQuotaEntity(Collections.singletonMap(ClientQuotaEntity.CLIENT_ID, name));
  }

  private static void alter(ClientQuotaEntity whose, String key, Double rate) throws Exception {
    var change = new ClientQuotaAlteration(whose, List.of(new ClientQuotaAlteration.Op(key, rate)));
    await(ADMIN.alterClientQuotas(List.of(change)).all());
  }

  private static Map<ClientQuotaEntity, Map<String, Double>> of(String client) throws Exception {
    var filter = ClientQuotaFilter.containsOnly(List.of(ClientQuotaFilterComponent.ofEntity(ClientQuotaEntity.CLIENT_ID, client)));
    return await(ADMIN.describeClientQuotas(filter).entities());
  }

  private static double metric(Map<MetricName, ? extends Metric> metrics, String name) {
    return metrics.values().stream().filter(one -> one.metricName().name().equals(name)).mapToDouble(one -> (Double) one.metricValue()).max().orElseThrow();
  }

  @Test
  void quotasAreKeptAndTold() throws Exception {
    String name = unique();
    alter(client(name), "producer_byte_rate", 1e6);
    alter(client(name), "request_percentage", 12.5);
    assertEquals(Map.of(client(name), Map.of("producer_byte_rate", 1e6, "request_percentage", 12.5)), of(name));
    alter(client(name), "request_percentage", null);
    assertEquals(Map.of("producer_byte_rate", 1e6), of(name).get(client(name)));
    alter(client(name), "producer_byte_rate", null);
    assertEquals(Map.of(), of(name));
  }

  @Test
  void quotasThatCannotBe() throws Exception {
    for (var wrong : Map.of("producer_byte_rate", 0.0, "consumer_byte_rate", 0.5, "nothing", 1.0, "connection_creation_rate", 1.0).entrySet()) {
      var thrown = assertThrows(ExecutionException.class, () -> {
        var change = new ClientQuotaAlteration(client(unique()), List.of(new ClientQuotaAlteration.Op(wrong.getKey(), wrong.getValue())));
        ADMIN.alterClientQuotas(List.of(change)).all().get();
      });
      assertInstanceOf(InvalidRequestException.class, thrown.getCause(), wrong.getKey());
    }
  }

  @Test
  void clientsAreHeldBack() throws Exception {
    String topic = topic(1), name = unique();
    // What comes at once is ten seconds of the rate, and then one of them.
    alter(client(name), "producer_byte_rate", 10_000.0);
    alter(client(name), "consumer_byte_rate", 10_000.0);
    try (var producer = new KafkaProducer<String, String>(settings("bootstrap.servers", BOOTSTRAP, "client.id", name, "linger.ms", 0,
        "key.serializer", "org.apache.kafka.common.serialization.StringSerializer", "value.serializer", "org.apache.kafka.common.serialization.StringSerializer"))) {
      String value = "x".repeat(10_000);
      long from = System.nanoTime();
      for (int count = 0; count < 12; count++) await(producer.send(new ProducerRecord<>(topic, value)));
      producer.flush();
      assertTrue(System.nanoTime() - from > 500_000_000L, "a producer over its quota waits");
      assertTrue(metric(producer.metrics(), "produce-throttle-time-max") > 500, "and knows why");
    }
    try (var consumer = new KafkaConsumer<String, String>(settings("bootstrap.servers", BOOTSTRAP, "client.id", name, "auto.offset.reset", "earliest",
        "key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer", "value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer"))) {
      consumer.assign(List.of(at(topic, 0)));
      consumer.seekToBeginning(List.of(at(topic, 0)));
      assertEquals(12, take(consumer, 12).size());
      until(() -> {
        consumer.poll(java.time.Duration.ofMillis(50));
        return metric(consumer.metrics(), "fetch-throttle-time-max") > 500;
      }, "a consumer over its quota knows why it waits");
    } finally {
      alter(client(name), "producer_byte_rate", null);
      alter(client(name), "consumer_byte_rate", null);
    }
  }

  @Test
  void clientsAreHeldBackForTheirTime() throws Exception {
    String topic = topic(1), name = unique();
    // A thousandth of a percent of a second in each: what the first requests take is more than ten seconds of it.
    alter(client(name), "request_percentage", 0.001);
    try (var producer = new KafkaProducer<String, String>(settings("bootstrap.servers", BOOTSTRAP, "client.id", name, "linger.ms", 0,
        "key.serializer", "org.apache.kafka.common.serialization.StringSerializer", "value.serializer", "org.apache.kafka.common.serialization.StringSerializer"))) {
      until(() -> {
        answer(() -> producer.send(new ProducerRecord<>(topic, "x")).get() != null);
        return metric(producer.metrics(), "produce-throttle-time-max") > 100;
      }, "a producer that takes too much time knows why it waits");
      assertTrue(metric(producer.metrics(), "produce-throttle-time-max") <= 1000, "a second at once, at most");
    } finally {
      alter(client(name), "request_percentage", null);
    }
  }

  @Test
  void topicsAreMadeAsFarAsTheQuotaGoes() throws Exception {
    String name = unique();
    alter(client(name), "controller_mutation_rate", 1.0);
    try (var admin = Admin.create(Map.of("bootstrap.servers", BOOTSTRAP, "client.id", name))) {
      var refused = new CreateTopicsOptions().retryOnQuotaViolation(false);
      await(admin.createTopics(List.of(new NewTopic(nameOfTopic(), 12, (short) 1)), refused).all());
      var thrown = assertThrows(ExecutionException.class, () -> admin.createTopics(List.of(new NewTopic(nameOfTopic(), 1, (short) 1)), refused).all().get());
      var exceeded = assertInstanceOf(ThrottlingQuotaExceededException.class, thrown.getCause());
      assertTrue(exceeded.throttleTimeMs() > 500, "it says when to come again");
      long from = System.nanoTime();
      await(admin.createTopics(List.of(new NewTopic(nameOfTopic(), 1, (short) 1))).all());
      assertTrue(System.nanoTime() - from > 500_000_000L, "a client that comes again by itself gets what it asked for");
    } finally {
      alter(client(name), "controller_mutation_rate", null);
    }
  }
}
