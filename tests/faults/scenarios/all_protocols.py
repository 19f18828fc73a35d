"""Kafka, NATS and AMQP on one broker at once: nothing that was acknowledged is lost or comes twice, and the memory stays flat."""

import time

import test_kafka_kill as kafka
import test_nats_kill as nats
from broker import eventually
from kafka_wire import Kafka
from ledger import Consumer, Ledger, Publisher, prepare
from stage import MIB
from wire import Client

NAME = "all-protocols"
LIMIT = 64 * MIB
QUEUE = "beside"
# A log's index and a stream's, for each record of theirs; the ids of messages that may come again.
RECORD_BYTES = 512


def play(stage):
    seconds = stage.seconds or (3 if stage.quick else 120)
    stage.outcome.did = f"Kafka producers and readers, a NATS publisher and consumer of a stream, and AMQP publishers and consumers for {seconds:g} s, on one broker"
    one = stage.start(limits_memory=LIMIT, kafka_listen="127.0.0.1:0", nats_listen="127.0.0.1:0")
    stage.bound("the 64 MiB of limits.memory + 128 MiB + 512 bytes a record", LIMIT + 128 * MIB)
    # The batches say that they are years old.
    Kafka(one.kafka_port).create(kafka.TOPIC, kafka.PARTITIONS, [("retention.ms", "-1")])
    client = nats.Client(one.nats_port)
    assert "error" not in client.ask("STREAM.CREATE.KILLS", {"name": "KILLS", "subjects": ["kills.>"]})
    assert "error" not in client.ask("CONSUMER.CREATE.KILLS.d", {"stream_name": "KILLS", "config": {"durable_name": "d", "name": "d", "ack_policy": "explicit", "max_ack_pending": 1_000}})
    client.drop()
    prepare(Client(one.port), [QUEUE])
    ledger = Ledger()
    producers = [kafka.Producer(lambda: one.kafka_port, f"p{at}", at) for at in range(kafka.PARTITIONS)]
    readers = [kafka.Reader(lambda: one.kafka_port, at) for at in range(kafka.PARTITIONS)]
    publisher, puller = nats.Publisher(one), nats.Reader(one)
    senders = [Publisher(lambda: one.port, ledger, f"a{at}", "ledger", QUEUE) for at in range(2)]
    consumer = Consumer(lambda: one.port, ledger, QUEUE)
    workers = [*producers, *readers, publisher, puller, *senders, consumer]
    for worker in workers:
        worker.start()
    time.sleep(seconds)
    stage.phase("publishing ends")
    for worker in [*producers, publisher, *senders]:
        worker.stop()
    records = sum(producer.next for producer in producers) + publisher.next
    stage.bound("the 64 MiB of limits.memory + 128 MiB + 512 bytes a record", LIMIT + 128 * MIB + RECORD_BYTES * records)
    for at, (producer, reader) in enumerate(zip(producers, readers)):
        eventually(lambda: len(reader.seen) >= producer.next, 60, f"Kafka's reader of {at} does not come to the end")
        numbers = [int(value.split(b":")[1]) for _, value in reader.seen]
        stage.check(numbers == list(range(producer.next)), f"Kafka, partition {at}: lost, twice or out of order near {kafka.wrong(numbers)}")
    sent = set(range(publisher.next))
    stage.check(publisher.acknowledged.keys() == sent, "a publish to the stream was not acknowledged")
    eventually(lambda: puller.done >= sent, 60, "NATS' consumer does not come to the end")
    stage.check(not puller.again, f"acknowledged, and delivered again: {puller.again[:5]}")
    eventually(lambda: not ledger.missing(), 60, f"confirmed and lost: {sorted(ledger.missing())[:5]}")
    stage.check(not ledger.broken, f"{ledger.broken[:3]}")
    for worker in [*readers, puller, consumer]:
        worker.stop()
    stage.check(not any(worker.failure for worker in workers), f"{[worker.failure for worker in workers if worker.failure]}")
    stage.found(f"{sum(p.next for p in producers):,} records through Kafka, {publisher.next:,} through NATS, {len(ledger.confirmed):,} messages through AMQP")
    # What is in the logs stays there.
    stage.over(gives_back=False)
