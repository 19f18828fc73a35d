"""The data folder: damaged, copied under load, taken, of a newer format, not to be written. It is refused with the file and the
reason, and nothing in it is changed; or it opens and holds all that was confirmed."""

import hashlib
import pathlib
import random
import re
import shutil
import struct

import pytest
from broker import eventually
from ledger import Consumer, Ledger, Publisher, prepare
from test_disk import drain
from wire import Client

COUNT = 300


def fingerprints(folder):
    """What is in the files, but the lock."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in pathlib.Path(folder).iterdir()
        if path.is_file() and path.name != "LOCK"
    }


@pytest.fixture
def filled(broker):
    """A stopped broker with 300 confirmed messages in `q`, of which 100 were acknowledged before its last clean stop, and 50
    that were confirmed after it."""
    one = broker().start()
    client = Client(one.port)
    client.declare_queue("q")
    client.confirm()
    for number in range(COUNT - 50):
        client.publish("", "q", b"%d:" % number + b"x" * 500)
    number = client.published
    eventually(lambda: any(event[0] == "ack" and event[1] == number for event in client.poll(1)))
    client.consume("q", "c", 100)
    last = None
    while last is None:
        last = next((event[2] for event in client.poll(1) if event[0] == "deliver" and event[4].startswith(b"99:")), None)
    client.ack(last, True)
    client.close()
    one.stop()
    one.start()
    client = Client(one.port)
    client.confirm()
    for number in range(COUNT - 50, COUNT):
        assert client.publish_confirmed("", "q", b"%d:" % number)
    client.close()
    # The mark that is written when the journal falls idle proves that the last frame was acknowledged.
    eventually(lambda: one.ask("queues", "list")[0]["ready"] == COUNT - 100)
    return one


def checked(one):
    one.start()
    assert drain(one.port) == list(range(100, COUNT))
    one.stop()


def frames(path):
    """Where the frames of a segment lie: (offset, records, bytes of records)."""
    data, found, at = path.read_bytes(), [], 4096
    while data[at : at + 4] == b"PBFr":
        count, length = struct.unpack_from("<II", data, at + 40)
        found.append((at, count, length))
        at += (72 + length + 4095) // 4096 * 4096
    return found


def segments(one):
    return sorted(path for path in pathlib.Path(one.data).glob("*.seg"))


def marked(one):
    """The youngest segment, once the journal is idle and has marked its end: the mark proves what came before."""
    is_marked = lambda found: frames(found) and frames(found)[-1][1] == 0 and found
    return eventually(lambda: is_marked(segments(one)[-1]), what="no mark was written")


def damage(path, at, change):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([change(byte[0])]))


@pytest.mark.parametrize("part", ["frame header", "frame body", "segment header", "sealed frame", "snapshot", "manifest"])
def test_flipped_bit(filled, part):
    filled.stop()
    folder = pathlib.Path(filled.data)
    # The frame with the messages that wait: not what the snapshot has made superfluous.
    sealed, last = segments(filled)[0], segments(filled)[-1]
    assert sealed != last
    first_frame = frames(last)[0][0]
    big = max(frames(sealed), key=lambda found: found[2])
    path, at = {
        "frame header": (last, first_frame + 20),
        "frame body": (last, first_frame + 80),
        "segment header": (last, 20),
        "sealed frame": (sealed, big[0] + 72 + big[2] // 2),
        "snapshot": (folder / "SNAPSHOT", 40),
        "manifest": (folder / "MANIFEST", 70),
    }[part]
    damage(path, at, lambda byte: byte ^ 0x10)
    # A start does not read a segment that has one: see test_outlines.py.
    for outline in folder.glob("*.outline"):
        outline.unlink()
    before = fingerprints(folder)
    said = filled.refuses_to_start()
    found = re.search(rf"polybus: {path.name} is damaged at byte (\d+): .+\. No data was changed", said)
    assert found, said
    assert path.suffix != ".seg" or abs(int(found[1]) - at) <= big[2] + 4096, said
    assert fingerprints(folder) == before, "something was changed"
    damage(path, at, lambda byte: byte ^ 0x10)
    checked(filled)


@pytest.mark.parametrize("part", ["segment", "sealed segment", "snapshot", "manifest", "missing segment", "missing manifest", "missing snapshot"])
def test_cut_file(filled, part):
    filled.stop()
    folder = pathlib.Path(filled.data)
    sealed, last = segments(filled)[0], segments(filled)[-1]
    path, length = {
        "segment": (last, frames(last)[0][0] + 4096),
        "sealed segment": (sealed, max(frames(sealed), key=lambda found: found[2])[0] + 4096),
        "snapshot": (folder / "SNAPSHOT", 60),
        "manifest": (folder / "MANIFEST", 100),
        "missing segment": (sealed, None),
        "missing manifest": (folder / "MANIFEST", None),
        "missing snapshot": (folder / "SNAPSHOT", None),
    }[part]
    whole = path.read_bytes()
    if length is None:
        path.unlink()
    else:
        path.write_bytes(whole[:length])
    before = fingerprints(folder)
    said = filled.refuses_to_start()
    assert f"polybus: {path.name} is damaged at byte " in said, said
    assert fingerprints(folder) == before, "something was changed"
    path.write_bytes(whole)
    checked(filled)


def test_damage_after_a_crash(filled):
    """Also where the end is not known from the manifest, a confirmed frame that is damaged is no torn tail."""
    last = marked(filled)
    filled.kill()
    at = frames(last)[-2][0]
    damage(last, at + 80, lambda byte: byte ^ 1)
    before = fingerprints(filled.data)
    said = filled.refuses_to_start()
    assert f"polybus: {last.name} is damaged at byte {at}: " in said, said
    assert fingerprints(filled.data) == before
    damage(last, at + 80, lambda byte: byte ^ 1)
    checked(filled)


def test_torn_tail(filled):
    """What was being written when the power went, and was not confirmed, is cut off."""
    marked(filled)
    client = Client(filled.port)
    client.publish("", "q", b"%d:" % COUNT + b"x" * 9000)
    # In the last segment, or in the next, if a zeroed file was ready for that.
    large = lambda: next(((path, at) for path in segments(filled)[-2:] for at, count, length in frames(path) if count == 1 and length > 9000), None)
    last, at = eventually(large)
    filled.kill()
    # Its first block came to the disk, the rest did not.
    with open(last, "r+b") as file:
        file.seek(at + 4096)
        file.write(bytes(4096))
    filled.start()
    assert "cut an unfinished write; nothing in it was confirmed" in filled.log() and last.name in filled.log(), filled.log()
    assert drain(filled.port) == list(range(100, COUNT))
    filled.stop()


def test_copied_while_running(broker, tmp_path):
    """Such a copy opens with whole turns, or is refused with the file that does not fit."""
    one = broker().start()
    prepare(Client(one.port), ["q"])
    ledger = Ledger()
    port = lambda: one.port
    workers = [Publisher(port, ledger, f"p{n}", "ledger", "q", size=lambda number: number * 37 % 5000) for n in range(2)]
    workers.append(Consumer(port, ledger, "q", marks=False))
    for worker in workers:
        worker.start()
    opened = 0
    for number in range(4):
        copied = tmp_path / f"copy{number}"
        until = len(ledger.confirmed) + 300
        eventually(lambda: len(ledger.confirmed) >= until)
        shutil.copytree(one.data, copied, ignore=shutil.ignore_patterns("*.sock", "*.free"))
        two = broker(data=copied)
        two.spawn()
        eventually(lambda: two.process.poll() is not None or "\nready\n" in two.log(), 20)
        if two.is_running():
            opened += 1
            two.port = int(re.search(r"amqp +\S+:(\d+)", two.log())[1])
            client, last = Client(two.port), {}
            client.consume("q", "c", 0, no_ack=True)
            while events := client.poll(0.3):
                for event in events:
                    publisher, at, body = event[4].split(b":", 2)
                    assert last.get(publisher, -1) < int(at), f"{publisher} {at} came after {last[publisher]}"
                    assert len(body) == int(at) * 37 % 5000
                    last[publisher] = int(at)
            client.drop()
            two.stop()
        else:
            assert two.process.returncode == 1
            assert re.search(r"polybus: \S+ is damaged at byte \d+: ", two.log()), two.log()
    for worker in workers:
        worker.stop()
    assert not ledger.broken, ledger.broken[:5]
    print(opened, "of 4 copies opened")
    one.stop()


def test_second_process_and_taken_port(broker, tmp_path):
    one = broker().start()
    said = broker(data=one.data).refuses_to_start()
    assert f"polybus: {one.data} is in use by another process: stop that one, or choose another folder" in said
    said = broker(data=tmp_path / "other").refuses_to_start(amqp_listen=f"127.0.0.1:{one.port}")
    assert f"polybus: amqp.listen: port {one.port} is taken by another program" in said
    assert "--amqp-listen" in said
    assert not (tmp_path / "other").exists()
    assert one.status()["queues"] == 0
    one.stop()


def crc32c(data, crc):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_newer_format(filled):
    filled.stop()
    manifest = pathlib.Path(filled.data) / "MANIFEST"
    whole = manifest.read_bytes()
    newer = bytearray(whole[:-4])
    struct.pack_into("<I", newer, 8, 2)
    manifest.write_bytes(newer + struct.pack("<I", crc32c(newer, 0x6D616E69)))
    assert struct.pack("<I", crc32c(whole[:-4], 0x6D616E69)) == whole[-4:]
    before = fingerprints(filled.data)
    said = filled.refuses_to_start()
    assert "polybus: MANIFEST has format 2, and this program reads up to 1: start the newer program that wrote it" in said
    assert fingerprints(filled.data) == before
    manifest.write_bytes(whole)
    checked(filled)


def test_folder_that_cannot_be_written(broker, small_disk, tmp_path):
    (tmp_path / "file").write_text("in the way")
    said = broker(data=tmp_path / "file" / "data").refuses_to_start()
    assert f"polybus: the data folder '{tmp_path}/file/data' cannot be made or opened: Not a directory" in said
    said = broker(data=tmp_path / "file").refuses_to_start()
    assert f"the data folder '{tmp_path}/file' cannot be made or opened: " in said and "--data" in said, said
    disk = small_disk(8, ",ro")
    said = broker(data=disk / "data").refuses_to_start()
    assert "cannot be made or opened: Read-only file system" in said and "--data" in said, said
    said = broker(data=disk).refuses_to_start()
    assert "Read-only file system" in said and str(disk) in said, said


def test_delivered_before_a_kill(filled):
    """Deliveries leave no trace on the disk: what may have been delivered comes again as redelivered, also when nothing else
    happened since a clean start. After a stop it is known."""
    filled.stop()

    def flags(count):
        client, got = Client(filled.port), []
        client.consume("q", "c", count)
        while len(got) < count:
            got += [event[3] for event in client.poll(1)]
        client.drop()
        eventually(lambda: filled.queue("q")["unacknowledged"] == 0)
        return got

    filled.start()
    assert "clean=true" in filled.log()
    assert flags(120)[100:] == [False] * 20
    filled.stop()
    filled.start()
    assert "clean=true" in filled.log()
    assert flags(140) == [True] * 120 + [False] * 20
    filled.kill()
    filled.start()
    assert "clean=false" in filled.log()
    assert flags(140) == [True] * 140
    filled.stop()
