"""A disk that is full, runs full under a write, or refuses one: publishers wait, consumers go on, nothing confirmed is lost."""

import errno
import os
import re
import subprocess
import time

import pytest
from broker import eventually
from ledger import Consumer, Ledger, Publisher, prepare
from wire import Client, Closed

MIB = 1 << 20
FULL = "the disk is nearly full"


def free(folder):
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def fill(folder, leave, name="filler"):
    """Fills a file system so that `leave` bytes are left."""
    with open(folder / name, "wb", buffering=0) as file:
        try:
            while (room := free(folder) - leave) > 0:
                file.write(b"x" * min(room, MIB))
        except OSError as error:
            assert error.errno == errno.ENOSPC


def publish_until(client, stop, body=b"x" * 30_000, key="q", seconds=20):
    """Publishes with 50 unconfirmed until an event of that kind comes or nothing more is confirmed; gives the confirmed numbers."""
    confirmed, number, until = set(), client.published, time.monotonic() + seconds
    while time.monotonic() < until:
        if client.published - len(confirmed) < 50:
            number += 1
            client.publish("", key, b"%d:" % number + body)
        events = client.poll(0 if client.published - len(confirmed) < 50 else 1)
        for event in events:
            if event[0] == stop:
                return confirmed
            assert event[0] in ("ack", "blocked", "unblocked"), event
            if event[0] == "ack":
                confirmed |= set(range(1, event[1] + 1)) if event[2] else {event[1]}
        if not events and client.published - len(confirmed) >= 50:
            return confirmed
    raise AssertionError("the disk did not run full")


def drain(port, queue="q"):
    """Takes everything out of a queue; gives the numbers."""
    client, numbers = Client(port), []
    client.consume(queue, "c", 100)
    while events := client.poll(0.5):
        for event in events:
            if event[0] == "deliver":
                numbers.append(int(event[4].split(b":")[0]))
                client.ack(event[2])
    client.close()
    return numbers


@pytest.mark.parametrize("way", ["drain", "filler"])
def test_full_disk(broker, small_disk, way):
    disk = small_disk(64)
    one = broker(disk / "data", limits_disk_free_min="16 MiB", limits_memory="4 MiB").start()
    publisher, watcher = Client(one.port), Client(one.port)
    publisher.declare_queue("q")
    publisher.confirm()
    if way == "filler":
        confirmed = {n for n in range(1, 101) if publisher.publish_confirmed("", "q", b"%d:" % n)}
        fill(disk, 12 * MIB)
        assert publisher.poll(5) == [("blocked", "low on disk")]
    else:
        confirmed = publish_until(publisher, "blocked")
    # A fast publisher passes the mark before it is told, but not by much.
    assert free(disk) > 4 * MIB
    assert one.status()["blocked"]
    late = Client(one.port)
    late.confirm()
    number = late.publish("", "q", b"1000000:")
    assert late.poll(2) == [("blocked", "low on disk")]
    assert late.poll(0.5) == [], "confirmed while the disk was full"
    # Definitions and consumers go on.
    watcher.declare_queue("other")
    watcher.delete_queue("other")
    if way == "filler":
        watcher.consume("q", "c", 10)
        got = eventually(lambda: watcher.poll(1))
        for event in got:
            if event[0] == "deliver":
                watcher.ack(event[2])
        assert one.status()["blocked"]
        watcher.close()
        os.remove(disk / "filler")
        seen = {int(event[4].split(b":")[0]) for event in got if event[0] == "deliver"}
    else:
        seen = set(drain(one.port))
    events = []
    eventually(lambda: events.extend(late.poll(0.1)) or ("unblocked",) in events, 20, "it did not recover by itself")
    eventually(lambda: events.extend(late.poll(0.1)) or [e for e in events if e[0] == "ack" and e[1] == number])
    assert not one.status()["blocked"]
    seen |= set(drain(one.port))
    assert 1_000_000 in seen
    assert not confirmed - seen, f"lost: {sorted(confirmed - seen)[:10]}"
    publisher.drop()
    late.drop()
    one.stop()


def test_full_disk_again_and_again(broker, small_disk):
    """Publishers that are faster than their consumer on a disk that is too small for both: it is blocked and freed many times."""
    disk = small_disk(64)
    one = broker(disk / "data", limits_disk_free_min="16 MiB", limits_memory="4 MiB").start()
    ledger = Ledger()
    prepare(Client(one.port), ["q"])
    port = lambda: one.port
    publishers = [Publisher(port, ledger, f"p{n}", "ledger", "q", size=lambda _: 16_000) for n in range(2)]
    for worker in publishers:
        worker.start()
    eventually(lambda: one.status()["blocked"], what="it was never blocked")
    consumer = Consumer(port, ledger, "q", marks=False, pause=0.001)
    consumer.start()
    until = time.monotonic() + 4
    while time.monotonic() < until or (one.log().count(FULL) < 2 and time.monotonic() < until + 40):
        assert one.is_running(), one.log()
        time.sleep(0.1)
    for worker in publishers:
        worker.stop(30)
    eventually(lambda: not ledger.missing(), 20, f"lost: {sorted(ledger.missing())[:5]}")
    consumer.stop()
    assert not ledger.broken, ledger.broken[:10]
    assert one.log().count(FULL) > 1, one.log()
    one.stop()


def test_disk_runs_full_under_a_write(broker, small_disk):
    """Past the watermark the journal's own write fails: no confirm, an end with the reason, and a right recovery."""
    disk = small_disk(40)
    one = broker(disk / "data", limits_disk_free_min="0").start()
    client = Client(one.port)
    client.declare_queue("q")
    client.confirm()
    confirmed = set()
    try:
        for n in range(1, 100):
            confirmed |= {n} if client.publish_confirmed("", "q", b"%d:" % n + b"x" * 10_000) else set()
        fill(disk, 0)
        for n in range(100, 8000):
            confirmed |= {n} if client.publish_confirmed("", "q", b"%d:" % n + b"x" * 10_000) else set()
        raise AssertionError("the disk did not run full")
    except (Closed, TimeoutError):
        pass
    assert one.wait(5) == 1
    assert re.search(r"polybus: the broker has failed: the disk is full \(\w+ [^)]+\): free some space", one.log()), one.log()
    said = one.refuses_to_start() if free(disk) < 4096 else None
    assert said is None or "the disk is full" in said, said
    os.remove(disk / "filler")
    one.start()
    seen = drain(one.port)
    assert not confirmed - set(seen), f"lost: {sorted(confirmed - set(seen))[:10]}"
    assert seen == sorted(seen)
    one.stop()


def test_disk_refuses_a_write(broker, small_disk, tmp_path):
    """A file system whose disk gives an error for what is written: a sparse image on a disk that is full."""
    disk, mounted = small_disk(48), tmp_path / "loop"
    mounted.mkdir()
    image = disk / "image"
    with open(image, "wb") as file:
        file.truncate(512 * MIB)
    made = subprocess.run(f"mkfs.ext4 -q {image} && mount -o loop {image} {mounted}", shell=True, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no loop device: {made.stderr.strip()}")
    try:
        one = broker(mounted / "data", limits_disk_free_min="0").start()
        client = Client(one.port)
        client.declare_queue("q")
        client.confirm()
        confirmed, n = set(), 0
        try:
            while True:
                n += 1
                confirmed |= {n} if client.publish_confirmed("", "q", b"%d:" % n + b"x" * 100_000) else set()
        except (Closed, TimeoutError):
            pass
        assert one.wait(5) == 1
        assert "polybus: the broker has failed: " in one.log() and "mend the disk and start again" in one.log(), one.log()
        # The page cache has what the disk has not: it must go, as at a power cut.
        subprocess.run(["umount", mounted], check=True)
        subprocess.run(["mount", "-o", f"remount,size=600m", disk], check=True)
        subprocess.run(f"e2fsck -p {image}; mount -o loop {image} {mounted}", shell=True, check=True, capture_output=True)
        one.start()
        seen = set(drain(one.port))
        assert confirmed and not confirmed - seen, f"lost: {sorted(confirmed - seen)[:10]}"
        one.stop()
    finally:
        one.kill()
        subprocess.run(["umount", "-l", mounted], check=False)
