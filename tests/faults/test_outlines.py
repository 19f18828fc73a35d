"""Outlines, which a start reads instead of segments: the broker is killed while they are written, they are damaged and lost, the
disk has no room for them. Nothing depends on them. And damage that a start does not look for: it is found by who reads."""

import os
import re
import time

from broker import eventually
from kafka_wire import Kafka, batch
from test_disk import drain, fill, free
from test_folder import damage, frames, segments
from wire import Client

MIB = 1 << 20
TOPIC = "outlined"
# Of a disk of 256 MiB a segment is 8 MiB.
DISK_MIB, SEGMENT_BYTES = 256, 8 << 20
BATCHES = [batch([b"%d:" % number + b"x" * (512 << 10)]) for number in range(4)]
PER_SEGMENT = SEGMENT_BYTES // len(BATCHES[0])


def produce(client, count, first):
    """Appends so many runs; the broker says where."""
    for number in range(first, first + count):
        assert client.produce(TOPIC, 0, BATCHES[number % len(BATCHES)]) == (0, number)
    return first + count


def holds(one, count):
    """All of them are there, as they were written."""
    client = Kafka(one.kafka_port)
    for offset in range(count):
        code, end, data = client.fetch(TOPIC, 0, offset, max_bytes=1)
        assert (code, end) == (0, count)
        assert data[20:] == BATCHES[offset % len(BATCHES)][20:], f"the record at {offset} is another"
    client.drop()


def outlines(one):
    found = {}
    for name in sorted(os.listdir(one.data)):
        if name.endswith(".outline"):
            with open(os.path.join(one.data, name), "rb") as file:
                found[name] = file.read()
    return found


def recovered(one):
    """Of how many segments the start read the outline, and of how many all."""
    found = re.search(r"segments_outlined=(\d+) segments_read=(\d+)", one.log())
    assert found, one.log()
    return int(found[1]), int(found[2])


def filled(broker, small_disk, count=6):
    """A broker with so many segments of runs and a queue, all but the last outlined."""
    one = broker(small_disk(DISK_MIB) / "data", kafka_listen="127.0.0.1:0", limits_disk_free_min="4 MiB").start()
    client = Kafka(one.kafka_port)
    client.create(TOPIC)
    there = produce(client, count * PER_SEGMENT, 0)
    client.drop()
    client = Client(one.port)
    client.declare_queue("q")
    client.confirm()
    for number in range(100):
        assert client.publish_confirmed("", "q", b"%d:" % number)
    client.close()
    eventually(lambda: len(outlines(one)) >= count - 1, what="no outlines were written")
    return one, there


def test_kill_while_outlines_are_written(broker, small_disk):
    one, there = filled(broker, small_disk, 3)
    caught = 0
    for _ in range(8):
        client = Kafka(one.kafka_port)
        there = produce(client, PER_SEGMENT, there)
        client.drop()
        before, until = len(outlines(one)), time.monotonic() + 3
        while time.monotonic() < until:
            names = os.listdir(one.data)
            if any(name.endswith(".outline.tmp") for name in names):
                caught += 1
                break
            if sum(name.endswith(".outline") for name in names) > before:
                break
        one.kill()
        one.start()
        assert "instead of its outline" not in one.log(), one.log()
        assert not any(name.endswith(".outline.tmp") for name in os.listdir(one.data))
        assert recovered(one)[0] >= before - 1
        holds(one, there)
    print(f"killed {caught} times while an outline was written")
    assert drain(one.port) == list(range(100))


def test_damaged_outlines(broker, small_disk):
    one, there = filled(broker, small_disk)
    one.stop()
    sound = outlines(one)
    names = list(sound)
    spoilt = {
        names[0]: sound[names[0]][:-5],
        names[1]: bytes([sound[names[1]][70] ^ 4]).join([sound[names[1]][:70], sound[names[1]][71:]]),
        names[2]: sound[names[0]],
        names[3]: b"",
        "0000000999.outline": sound[names[0]],
    }
    for name, data in spoilt.items():
        with open(os.path.join(one.data, name), "wb") as file:
            file.write(data)
    os.unlink(os.path.join(one.data, names[4]))
    one.start()
    outlined, whole = recovered(one)
    assert outlined == len(sound) - 5 and whole >= 5, (outlined, whole)
    assert one.log().count("instead of its outline") == 4, one.log()
    holds(one, there)
    # They are written again, the same; what is of no segment goes.
    eventually(lambda: {name: data for name, data in outlines(one).items() if name in sound} == sound, what="they were not written again")
    assert "0000000999.outline" not in outlines(one)
    one.kill()
    one.start()
    assert recovered(one)[0] >= len(sound)
    assert drain(one.port) == list(range(100))


def test_damage_that_a_start_does_not_look_for(broker, small_disk):
    one, there = filled(broker, small_disk)
    one.stop()
    path = next(path for path in segments(one)[1:] if path.with_suffix(".outline").exists())
    offset, _, length = max(frames(path), key=lambda found: found[2])
    at = offset + 72 + length // 2
    damage(path, at, lambda byte: byte ^ 1)
    one.start()
    try:
        holds(one, there)
        raise AssertionError("damaged bytes were handed out")
    except (ConnectionError, TimeoutError, OSError):
        pass
    assert one.wait(10) == 1, one.log()
    found = re.search(rf"{path.name} is damaged at byte (\d+): ", one.log())
    assert found and offset <= int(found[1]) <= at, one.log()
    # Without its outline it is read, and refused.
    path.with_suffix(".outline").unlink()
    assert f"polybus: {path.name} is damaged at byte {offset}: " in one.refuses_to_start()
    damage(path, at, lambda byte: byte ^ 1)
    one.start()
    holds(one, there)


def test_no_room_for_outlines(broker, small_disk):
    disk = small_disk(DISK_MIB)
    one = broker(disk / "data", kafka_listen="127.0.0.1:0", limits_disk_free_min="4 MiB").start()
    client = Kafka(one.kafka_port)
    client.create(TOPIC)
    there = produce(client, 3 * PER_SEGMENT, 0)
    fill(disk, 7 * MIB)
    before = len(outlines(one))
    for _ in range(6):
        there = produce(client, 1, there)
        time.sleep(0.4)  # Steps of the upkeep, in which it must not write any.
    assert len(outlines(one)) <= before + 1 and free(disk) > 0
    assert one.is_running(), one.log()
    (disk / "filler").unlink()
    eventually(lambda: len(outlines(one)) >= 3, what="no outlines were written")
    one.kill()
    one.start()
    assert recovered(one)[0] >= 3
    holds(one, there)
