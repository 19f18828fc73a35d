"""Kafka over a plain socket, no more than the faults need: batches whose every byte the test decides, and requests that are wrong."""

import socket
import struct

PRODUCE, FETCH, METADATA, API_VERSIONS, CREATE_TOPICS, INIT_PRODUCER_ID = 0, 1, 3, 18, 19, 22


def crc_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


CRC = crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def varint(value):
    value = value << 1 ^ value >> 63
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def string(text):
    return struct.pack(">h", -1) if text is None else struct.pack(">h", len(text)) + text.encode()


def array(items):
    return struct.pack(">i", len(items)) + b"".join(items)


def batch(values, producer=(-1, -1), sequence=-1, attributes=0, count=None, body=None):
    """A record batch; `count` and `body` may lie about what is in it."""
    records = b""
    for at, value in enumerate(values):
        record = b"\0" + varint(0) + varint(at) + varint(-1) + varint(len(value)) + value + varint(0)
        records += varint(len(record)) + record
    count = len(values) if count is None else count
    head = struct.pack(">hiqqqhii", attributes, count - 1, 1_700_000_000_000, 1_700_000_000_000, *producer, sequence, count)
    checked = head + (records if body is None else body)
    rest = struct.pack(">ibI", 0, 2, crc32c(checked)) + checked
    return struct.pack(">qi", 0, len(rest)) + rest


def values_of(data):
    """The offset and value of each record in batches that are not compressed; what is cut off at the end is left out."""
    at, found = 0, []
    while len(data) - at >= 61:
        base, size = struct.unpack_from(">qi", data, at)
        if at + 12 + size > len(data):
            break
        assert crc32c(data[at + 21 : at + 12 + size]) == struct.unpack_from(">I", data, at + 17)[0], "a batch came with a wrong CRC"
        place = at + 61
        for number in range(struct.unpack_from(">i", data, at + 57)[0]):
            length, place = read_varint(data, place)
            end, place = place + length, place + 1
            for _ in range(2):
                _, place = read_varint(data, place)
            key, place = read_varint(data, place)
            assert key == -1
            size_of_value, place = read_varint(data, place)
            found.append((base + number, bytes(data[place : place + size_of_value])))
            place = end
        at += 12 + size
    return found


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value >> 1 ^ -(value & 1), at


def produce_body(topic, partition, records, acks=-1):
    return string(None) + struct.pack(">hi", acks, 10_000) + array([string(topic) + array([struct.pack(">ii", partition, len(records)) + records])])


def fetch_body(topic, partition, offset, max_bytes=1 << 20, wait_ms=100, min_bytes=1):
    partitions = array([struct.pack(">iqi", partition, offset, max_bytes)])
    return struct.pack(">iiiib", -1, wait_ms, min_bytes, max_bytes, 0) + array([string(topic) + partitions])


class Kafka:
    """A connection. Requests may be sent ahead; answers come in their order."""

    def __init__(self, port, timeout=10):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number = 0

    def send_raw(self, data):
        self.socket.sendall(data)

    def send(self, api, version, body):
        self.number += 1
        head = struct.pack(">hhi", api, version, self.number) + string("faults")
        self.send_raw(struct.pack(">i", len(head + body)) + head + body)
        return self.number

    def exactly(self, count):
        data = bytearray()
        while len(data) < count:
            more = self.socket.recv(min(count - len(data), 1 << 20))
            if not more:
                raise ConnectionError("end of input")
            data += more
        return bytes(data)

    def answer(self):
        """The next answer: its number and body."""
        data = self.exactly(struct.unpack(">i", self.exactly(4))[0])
        return struct.unpack_from(">i", data)[0], data[4:]

    def call(self, api, version, body):
        number = self.send(api, version, body)
        answered, data = self.answer()
        assert answered == number
        return data

    def create(self, topic, partitions=1, configs=()):
        settings = array([string(key) + string(value) for key, value in configs])
        named = string(topic) + struct.pack(">ih", partitions, 1) + array([]) + settings
        error = self.call(CREATE_TOPICS, 2, array([named]) + struct.pack(">ib", 10_000, 0))
        code = struct.unpack_from(">h", error, 8 + 2 + len(topic))[0]
        assert code in (0, 36), code

    def producer_id(self):
        """A producer's id and epoch."""
        data = self.call(INIT_PRODUCER_ID, 1, string(None) + struct.pack(">i", 60_000))
        _, code, number, epoch = struct.unpack_from(">ihqh", data)
        assert code == 0, code
        return number, epoch

    def send_produce(self, topic, partition, records, acks=-1):
        return self.send(PRODUCE, 7, produce_body(topic, partition, records, acks))

    @staticmethod
    def produced(topic, data):
        """The error and base offset that one partition's produce is answered with."""
        return struct.unpack_from(">hq", data, 4 + 2 + len(topic) + 4 + 4)

    def produce(self, topic, partition, records):
        return self.produced(topic, self.call(PRODUCE, 7, produce_body(topic, partition, records)))

    def fetch(self, topic, partition, offset, **more):
        """The error, the end, and the batches from there."""
        data = self.call(FETCH, 4, fetch_body(topic, partition, offset, **more))
        at = 4 + 4 + 2 + len(topic) + 4
        _, code, end, _, aborted = struct.unpack_from(">ihqqi", data, at)
        at += 26 + 16 * max(aborted, 0)
        size = struct.unpack_from(">i", data, at)[0]
        return code, end, data[at + 4 : at + 4 + max(size, 0)]

    def read(self, topic, partition, offset=0):
        """All there is from an offset on: (offset, value) of each."""
        found = []
        while True:
            code, end, data = self.fetch(topic, partition, offset)
            assert code == 0, code
            found += [one for one in values_of(data) if one[0] >= offset]
            offset = found[-1][0] + 1 if found else offset
            if offset >= end:
                return found

    def is_closed(self):
        """Whether the broker has closed it, which it has some time for."""
        try:
            while self.socket.recv(1 << 16):
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True

    def drop(self):
        self.socket.close()
