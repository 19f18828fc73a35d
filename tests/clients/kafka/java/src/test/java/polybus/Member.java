package polybus;

import static org.junit.jupiter.api.Assertions.*;

import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;

/** A member of a group: a consumer with a thread of its own, which tells what it is assigned and what it got. */
final class Member implements AutoCloseable, ConsumerRebalanceListener {
  final Consumer<String, String> consumer;
  final Queue<ConsumerRecord<String, String>> got = new ConcurrentLinkedQueue<>();
  final Queue<Set<TopicPartition>> revoked = new ConcurrentLinkedQueue<>(), given = new ConcurrentLinkedQueue<>();
  volatile Set<TopicPartition> assigned = Set.of();
  volatile String id;
  volatile Exception failure;
  private final Set<TopicPartition> held = new HashSet<>();
  private final CountDownLatch ended = new CountDownLatch(1);
  private volatile boolean stopping;

  /** Subscribes to topics; `what` may be a collection of names, a Pattern or a SubscriptionPattern. */
  Member(Consumer<String, String> consumer, Object what) {
    this.consumer = consumer;
    Thread thread = new Thread(() -> run(what), "member");
    thread.setDaemon(true);
    thread.start();
  }

  private void run(Object what) {
    try (consumer) {
      if (what instanceof Pattern pattern) consumer.subscribe(pattern, this);
      else if (what instanceof SubscriptionPattern pattern) consumer.subscribe(pattern, this);
      else consumer.subscribe(((Collection<?>) what).stream().map(String::valueOf).toList(), this);
      while (!stopping) {
        ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(100));
        records.forEach(got::add);
        if (!records.isEmpty()) consumer.commitSync();
      }
    } catch (WakeupException end) {
      // Stopped.
    } catch (Exception error) {
      failure = error;
    } finally {
      assigned = Set.of();
      ended.countDown();
    }
  }

  @Override
  public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
    revoked.add(Set.copyOf(partitions));
    held.removeAll(partitions);
    assigned = Set.copyOf(held);
  }

  @Override
  public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
    id = consumer.groupMetadata().memberId();
    given.add(Set.copyOf(partitions));
    held.addAll(partitions);
    assigned = Set.copyOf(held);
  }

  @Override
  public void onPartitionsLost(Collection<TopicPartition> partitions) {
    onPartitionsRevoked(partitions);
  }

  List<String> values() {
    return got.stream().map(ConsumerRecord::value).toList();
  }

  /** Leaves as its settings say: a member that does not leave on close is, to its group, one that died. */
  @Override
  public void close() throws InterruptedException {
    stopping = true;
    consumer.wakeup();
    assertTrue(ended.await(20, TimeUnit.SECONDS), "the member does not end");
  }

  boolean hasEnded() {
    return ended.getCount() == 0;
  }

  /** Waits until all of these partitions are assigned, each to one of the members, and each member has as many as `shares` says. */
  static void settle(Collection<TopicPartition> partitions, List<Integer> shares, Member... members) {
    Set<TopicPartition> wanted = new HashSet<>(partitions);
    Kafka.until(() -> {
      for (Member member : members) if (member.failure != null) throw new AssertionError(member.failure);
      List<TopicPartition> all = Arrays.stream(members).flatMap(member -> member.assigned.stream()).toList();
      return all.size() == wanted.size() && wanted.equals(new HashSet<>(all))
          && Arrays.stream(members).map(member -> member.assigned.size()).sorted().toList().equals(shares);
    }, "the group is settled as " + shares);
  }
}
