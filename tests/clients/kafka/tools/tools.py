"""Judged by the console tools of Apache Kafka's distribution, run by their class names as its scripts do.

Prints `ok NAME`, `not ok NAME` with what it saw, or `skipped NAME` (expected_failures.txt, with the reason in
../EXPECTED_FAILURES.md). Most of what a tool takes is the start of its JVM: each of two threads has one that runs them all."""

import atexit
import base64
import concurrent.futures
import os
import pathlib
import re
import subprocess
import tempfile
import threading
import traceback
import uuid

BROKER = os.environ.get("KAFKA_HOST", "127.0.0.1") + ":" + os.environ.get("KAFKA_PORT", "9092")
JARS = os.environ["KAFKA_JARS"]
CLASSES = {
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-console-share-consumer": "org.apache.kafka.tools.consumer.ConsoleShareConsumer",
    "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-groups": "org.apache.kafka.tools.GroupsCommand",
    "kafka-configs": "kafka.admin.ConfigCommand",
    "kafka-producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
    "kafka-consumer-perf-test": "org.apache.kafka.tools.ConsumerPerformance",
    "kafka-get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "kafka-delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "kafka-transactions": "org.apache.kafka.tools.TransactionsCommand",
    "kafka-broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "kafka-log-dirs": "org.apache.kafka.tools.LogDirsCommand",
    "kafka-acls": "org.apache.kafka.tools.AclCommand",
    "kafka-cluster": "org.apache.kafka.tools.ClusterTool",
}
# A JVM that is to end soon need not be optimised.
JVM = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-cp", f"{JARS}/*"]


THREAD = threading.local()


def worker():
    """This thread's JVM."""
    if not hasattr(THREAD, "worker"):
        source = pathlib.Path(__file__).with_name("Worker.java")
        THREAD.worker = subprocess.Popen([*JVM, source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        atexit.register(THREAD.worker.kill)
    return THREAD.worker


def run(tool, *arguments, input="", fails=False, server="--bootstrap-server", command=()):
    """What the tool says on its standard output; all it says if it is to fail."""
    words = [CLASSES[tool], input, *command, *([] if server is None else [server, BROKER]), *map(str, arguments)]
    jvm = worker()
    print(*(base64.b64encode(word.encode()).decode() for word in words), file=jvm.stdin, flush=True)
    code, out, err = (jvm.stdout.readline().removesuffix("\n").split(" ") + ["", ""])[:3]
    out, err = (base64.b64decode(text).decode() for text in (out, err))
    assert (code != "0") == fails, f"{tool} {' '.join(map(str, arguments))} ended with {code or 'its JVM'}:\n{out}{err}"
    return out + err if fails else out


def has(pattern, said):
    assert re.search(pattern, said, re.M), f"no {pattern!r} in:\n{said}"


def unique():
    return f"tools-{uuid.uuid4().hex[:8]}"


def topics(*arguments, **more):
    return run("kafka-topics", *arguments, **more)


def produce(topic, text, *arguments):
    run("kafka-console-producer", "--topic", topic, *arguments, input=text)


def consume(topic, count, *arguments):
    return run("kafka-console-consumer", "--topic", topic, "--max-messages", count, "--timeout-ms", 20000, *arguments).splitlines()


def test_topics():
    topic = unique()
    has(f"Created topic {topic}", topics("--create", "--topic", topic, "--partitions", 3, "--config", "retention.ms=1234567"))
    has("already exists", topics("--create", "--topic", topic, fails=True))
    topics("--alter", "--topic", topic, "--partitions", 4)
    described = topics("--describe", "--topic", topic)
    has(rf"Topic: {topic}\s+TopicId: \S{{22}}\s+PartitionCount: 4\s+ReplicationFactor: 1\s+Configs: .*retention.ms=1234567", described)
    assert len(re.findall(r"Partition: \d\s+Leader: \d+\s+Replicas: \d+\s+Isr: \d+", described)) == 4, described
    assert topic in topics("--list").splitlines()
    assert topics("--describe", "--under-replicated-partitions", "--topic", topic).strip() == ""
    topics("--delete", "--topic", topic)
    has("does not exist", topics("--describe", "--topic", topic, fails=True))


def test_console():
    topic = unique()
    topics("--create", "--topic", topic)
    produce(topic, "a:1\nb:2\n", "--property", "parse.key=true", "--property", "key.separator=:", "--compression-codec", "zstd")
    produce(topic, "h:x\tk:v\n", "--property", "parse.headers=true", "--property", "parse.key=true", "--property", "key.separator=:", "--sync")
    seen = consume(topic, 3, "--from-beginning", *(word for name in ("key", "offset", "headers", "partition") for word in ("--property", f"print.{name}=true")))
    assert seen == ["Partition:0\tOffset:0\tNO_HEADERS\ta\t1", "Partition:0\tOffset:1\tNO_HEADERS\tb\t2", "Partition:0\tOffset:2\th:x\tk\tv"], seen
    assert consume(topic, 1, "--partition", 0, "--offset", 1) == ["2"]


def test_groups():
    topic, group = unique(), unique()
    groups = lambda *arguments, **more: run("kafka-consumer-groups", *arguments, **more)
    topics("--create", "--topic", topic)
    produce(topic, "".join(f"{n}\n" for n in range(10)))
    assert consume(topic, 4, "--group", group, "--from-beginning") == list("0123")
    described = groups("--describe", "--group", group)
    has(rf"^{group}\s+{topic}\s+0\s+4\s+10\s+6\s+-", described)
    assert group in groups("--list").splitlines()
    has(rf"^{group}\s.*\sEmpty\s+0", groups("--describe", "--group", group, "--state"))
    reset = groups("--reset-offsets", "--group", group, "--topic", topic, "--to-offset", 8, "--execute")
    has(rf"^{group}\s+{topic}\s+0\s+8", reset)
    assert consume(topic, 2, "--group", group) == list("89")
    has(rf"^{group}\s+{topic}\s+0\s+7", groups("--reset-offsets", "--group", group, "--all-topics", "--shift-by", -3, "--dry-run"))
    has(rf"^{group}\s+{topic}\s+0\s+0", groups("--reset-offsets", "--group", group, "--all-topics", "--to-datetime", "2020-01-01T00:00:00.000", "--execute"))
    has("was successful", groups("--delete", "--group", group))
    assert group not in groups("--list").splitlines()


def test_group_with_members():
    topic, group = unique(), unique()
    topics("--create", "--topic", topic, "--partitions", 2)
    member = subprocess.Popen([*JVM, CLASSES["kafka-console-consumer"], "--bootstrap-server", BROKER, "--topic", topic, "--group", group, "--from-beginning"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        produce(topic, "x\n")
        assert member.stdout.readline() == "x\n"
        said = run("kafka-consumer-groups", "--describe", "--group", group, "--members", "--verbose")
        has(rf"^{group}\s+\S+\s+/127.0.0.1\s+console-consumer\s+2\s.*{topic}[:(]0,\s?1", said)
        has("can only be reset if the group .* is inactive, but the current state is Stable", run("kafka-consumer-groups", "--reset-offsets", "--group", group, "--topic", topic, "--to-earliest", "--execute"))
    finally:
        member.terminate()
        member.wait()


def test_configs():
    topic = unique()
    topics("--create", "--topic", topic)
    of = ("--entity-type", "topics", "--entity-name", topic)
    run("kafka-configs", *of, "--alter", "--add-config", "retention.ms=60000,cleanup.policy=[compact,delete]")
    said = run("kafka-configs", *of, "--describe")
    has(r"retention.ms=60000 .*DYNAMIC_TOPIC_CONFIG:retention.ms=60000", said)
    has("cleanup.policy=compact,delete", said)
    run("kafka-configs", *of, "--alter", "--delete-config", "retention.ms")
    has(r"retention.ms=604800000 .*synonyms=\{.*\}", run("kafka-configs", *of, "--describe", "--all"))
    has("InvalidConfigurationException|Invalid", run("kafka-configs", *of, "--alter", "--add-config", "retention.ms=soon", fails=True))
    node = re.search(r"id: (\d+)", run("kafka-broker-api-versions"))[1]
    has("num.partitions=", run("kafka-configs", "--entity-type", "brokers", "--entity-name", node, "--describe", "--all"))


def test_performance():
    topic = unique()
    topics("--create", "--topic", topic, "--partitions", 4)
    said = run("kafka-producer-perf-test", "--topic", topic, "--num-records", 50000, "--record-size", 100, "--throughput", -1, "--producer-props", f"bootstrap.servers={BROKER}", "compression.type=lz4", server=None)
    has("^50000 records sent, .* 99.9th", said)
    said = run("kafka-consumer-perf-test", "--topic", topic, "--messages", 50000, "--timeout", 20000)
    assert int(said.splitlines()[1].split(", ")[4]) >= 50000, said


def test_offsets_and_records():
    topic = unique()
    topics("--create", "--topic", topic, "--partitions", 2)
    produce(topic, "".join(f"{n}\n" for n in range(100)))
    offsets = lambda *arguments: {line.rsplit(":", 2)[1]: int(line.rsplit(":", 2)[2]) for line in run("kafka-get-offsets", "--topic", topic, *arguments).split()}
    ends = offsets()
    assert sum(ends.values()) == 100, ends
    assert offsets("--time", "earliest") == {"0": 0, "1": 0}
    full = max(ends, key=ends.get)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write('{"version": 1, "partitions": [{"topic": "%s", "partition": %s, "offset": 3}]}' % (topic, full))
        file.flush()
        has(f"partition: {topic}-{full}\\s+low_watermark: 3", run("kafka-delete-records", "--offset-json-file", file.name))
    assert offsets("--time", -2)[full] == 3


def test_broker():
    said = run("kafka-broker-api-versions")
    for name in ("Produce", "Fetch", "ListOffsets", "Metadata", "OffsetCommit", "JoinGroup", "CreateTopics", "InitProducerId"):
        has(rf"^\s+{name}\(\d+\): \d+ to \d+ \[usable: \d+\]", said)
    topic = unique()
    topics("--create", "--topic", topic)
    produce(topic, "x" * 1000 + "\n")
    said = run("kafka-log-dirs", "--describe", "--topic-list", topic)
    has(rf'"partition":"{topic}-0","size":1\d\d\d', said)
    has("Cluster ID: \\S+", run("kafka-cluster", command=["cluster-id"]))
    has("^\\s*\\d+\\s", run("kafka-cluster", command=["list-endpoints"]))


def test_transactions():
    topic = unique()
    topics("--create", "--topic", topic)
    said = run("kafka-producer-perf-test", "--topic", topic, "--num-records", 1000, "--record-size", 100, "--throughput", -1, "--transactional-id", topic, "--producer-props", f"bootstrap.servers={BROKER}", server=None)
    has("^1000 records sent", said)
    has(rf"^{topic}\s+\d+\s+\d+\s+CompleteCommit", run("kafka-transactions", "list"))
    has(rf"^\d+\s+{topic}\s+\d+\s+\d+\s+CompleteCommit", run("kafka-transactions", "describe", "--transactional-id", topic))
    assert len(consume(topic, 1000, "--from-beginning", "--isolation-level", "read_committed")) == 1000


def test_acls():
    topic, group = unique(), unique()
    acls = lambda *arguments, **more: run("kafka-acls", *arguments, **more)
    acls("--add", "--allow-principal", "User:ada", "--producer", "--topic", topic)
    acls("--add", "--allow-principal", "User:ada", "--consumer", "--topic", topic, "--group", group)
    acls("--add", "--deny-principal", "User:eve", "--deny-host", "10.0.0.1", "--operation", "All", "--topic", topic, "--resource-pattern-type", "prefixed")
    listed = acls("--list", "--topic", topic, "--resource-pattern-type", "match")
    has(rf"resourceType=TOPIC, name={topic}, patternType=PREFIXED", listed)
    has(r"principal=User:eve, host=10.0.0.1, operation=ALL, permissionType=DENY", listed)
    assert len(re.findall("principal=User:ada", listed)) == 4, listed
    acls("--remove", "--force", "--topic", topic, "--resource-pattern-type", "any")
    acls("--remove", "--force", "--group", group)
    assert "principal" not in acls("--list", "--topic", topic)


def test_scram_users():
    user = unique()
    configs = lambda *arguments, **more: run("kafka-configs", *arguments, "--entity-type", "users", "--entity-name", user, **more)
    configs("--alter", "--add-config", "SCRAM-SHA-256=[iterations=8192,password=secret],SCRAM-SHA-512=[password=secret]")
    has(r"SCRAM-SHA-256=iterations=8192, SCRAM-SHA-512=iterations=4096", configs("--describe"))
    configs("--alter", "--delete-config", "SCRAM-SHA-256,SCRAM-SHA-512")
    assert "SCRAM" not in configs("--describe")


def test_quotas():
    user, client = unique(), unique()
    configs = lambda *arguments, **more: run("kafka-configs", *arguments, **more)
    of_user = ("--entity-type", "users", "--entity-name", user)
    # The tool itself does not take both in one call.
    configs("--alter", "--add-config", "producer_byte_rate=1048576,consumer_byte_rate=2097152,request_percentage=12.5", *of_user)
    configs("--alter", "--add-config", "SCRAM-SHA-256=[password=secret]", *of_user)
    said = configs("--describe", *of_user)
    has(rf"Quota configs for user-principal '{user}' are .*producer_byte_rate=1048576", said)
    has("consumer_byte_rate=2097152", said)
    has("request_percentage=12.5", said)
    has(rf"SCRAM credential configs for user-principal '{user}' are SCRAM-SHA-256=iterations=4096", said)
    of_both = (*of_user, "--entity-type", "clients", "--entity-name", client)
    configs("--alter", "--add-config", "producer_byte_rate=1024", *of_both)
    has(rf"Quota configs for user-principal '{user}', client-id '{client}' are producer_byte_rate=1024", configs("--describe", *of_both))
    of_default = (*of_user, "--entity-type", "clients", "--entity-default")
    configs("--alter", "--add-config", "consumer_byte_rate=4096", *of_default)
    has(rf"user-principal '{user}', the default client-id are consumer_byte_rate=4096", configs("--describe", *of_default))
    of_ip = ("--entity-type", "ips", "--entity-name", "10.1.2.3")
    configs("--alter", "--add-config", "connection_creation_rate=7", *of_ip)
    has("Quota configs for ip '10.1.2.3' are connection_creation_rate=7", configs("--describe", *of_ip))
    configs("--alter", "--delete-config", "connection_creation_rate", *of_ip)
    configs("--alter", "--delete-config", "producer_byte_rate", *of_both)
    configs("--alter", "--delete-config", "consumer_byte_rate", *of_default)
    configs("--alter", "--delete-config", "producer_byte_rate,consumer_byte_rate,request_percentage", *of_user)
    assert "byte_rate" not in configs("--describe", *of_user)
    has("greater than 0", configs("--alter", "--add-config", "producer_byte_rate=0", *of_user, fails=True))


def test_share_groups():
    topic, group = unique(), unique()
    topics("--create", "--topic", topic)
    run("kafka-configs", "--entity-type", "groups", "--entity-name", group, "--alter", "--add-config", "share.auto.offset.reset=earliest")
    produce(topic, "a\nb\n")
    seen = run("kafka-console-share-consumer", "--topic", topic, "--group", group, "--max-messages", 2, "--timeout-ms", 20000).splitlines()
    assert seen == ["a", "b"], seen
    has(rf"^{group}\s+Share", run("kafka-groups", "--list"))


def one(name, test):
    try:
        test()
        return f"ok {name}"
    except Exception:
        return f"not ok {name}\n" + "".join(f"  {line}\n" for line in traceback.format_exc(limit=-2).splitlines())


def main():
    path = pathlib.Path(__file__).with_name("expected_failures.txt")
    left_out = {line.split("#")[0].strip() for line in path.read_text().splitlines()} if path.exists() else set()
    tests = {name.removeprefix("test_"): test for name, test in globals().items() if name.startswith("test_")}
    if picked := os.environ.get("TESTS", "").split():
        tests = {name: tests[name] for name in picked}
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("JOBS", "2"))) as pool:
        running = [pool.submit(one, name, test) for name, test in tests.items() if name not in left_out]
        for name in left_out & tests.keys():
            print(f"skipped {name}: EXPECTED_FAILURES.md")
        for done in concurrent.futures.as_completed(running):
            print(done.result(), flush=True)


main()
