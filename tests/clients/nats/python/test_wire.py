"""The protocol's lines, said by hand: what the server answers, and what it does not stand."""

import pytest
from conftest import wire


def test_info_tells_what_clients_look_for():
    with wire() as one:
        info = one.info
        assert tuple(int(part) for part in info["version"].split("-")[0].split(".")) >= (2, 9, 0)
        for key, kind in {"server_id": str, "server_name": str, "proto": int, "host": str, "port": int, "headers": bool,
                          "max_payload": int, "client_id": int, "jetstream": bool}.items():
            assert isinstance(info[key], kind), key
        assert info["headers"] is True and info["jetstream"] is True and info["proto"] >= 1 and info["max_payload"] == 1 << 20


def test_ping_pong_and_case_of_verbs():
    with wire() as one:
        for ping in (b"PING\r\n", b"ping\r\n", b"Ping\r\n"):
            one.send(ping)
            assert one.line() == b"PONG"


def test_verbose_answers_each(name):
    with wire({"verbose": True}) as one:
        assert one.line() == b"+OK"
        subject = name.encode()
        for line in (b"SUB %s 1\r\n" % subject, b"UNSUB 1\r\n", b"PUB %s 2\r\nhi\r\n" % subject):
            one.send(line)
            assert one.line() == b"+OK", line


def test_message_lines(name):
    subject = name.encode()
    with wire() as one:
        one.send(b"SUB %s 7\r\nPUB %s 2\r\nhi\r\nPUB %s a.reply 3\r\nyou\r\nPUB %s 0\r\n\r\n" % ((subject,) * 4))
        assert one.message() == (subject, b"7", b"", b"", b"hi")
        assert one.message() == (subject, b"7", b"a.reply", b"", b"you")
        assert one.message() == (subject, b"7", b"", b"", b"")


def test_spaces_and_tabs_between_words(name):
    subject = name.encode()
    with wire() as one:
        one.send(b"SUB \t%s   7\r\nPUB  %s\t2\r\nhi\r\n" % (subject, subject))
        assert one.message() == (subject, b"7", b"", b"", b"hi")


def test_lines_split_at_every_byte(name):
    subject = name.encode()
    with wire() as one:
        one.socket.setsockopt(6, 1, 1)
        for byte in b"SUB %s 1\r\nPUB %s r 5\r\nhe\r\no\r\nHPUB %s 12 14\r\nNATS/1.0\r\n\r\nhi\r\n" % ((subject,) * 3):
            one.send(bytes([byte]))
        assert one.message() == (subject, b"1", b"r", b"", b"he\r\no")
        assert one.message() == (subject, b"1", b"", b"NATS/1.0\r\n\r\n", b"hi")


def test_headers_come_byte_for_byte(name):
    subject = name.encode()
    head = b"NATS/1.0\r\nFoo:  bar\r\nfoo:baz\r\nFoo: again \r\nEmpty:\r\n\r\n"
    with wire() as one:
        one.send(b"SUB %s 1\r\nHPUB %s %d %d\r\n%sbody\r\n" % (subject, subject, len(head), len(head) + 4, head))
        assert one.message() == (subject, b"1", b"", head, b"body")


def test_headers_are_dropped_for_who_does_not_know_them(name):
    subject = name.encode()
    with wire() as sender, wire({"headers": False, "no_responders": False}) as old:
        old.send(b"SUB %s 1\r\n" % subject)
        old.ping()
        sender.send(b"HPUB %s 17 19\r\nNATS/1.0\r\nA:b\r\n\r\nhi\r\n" % subject)
        sender.ping()
        assert old.message() == (subject, b"1", b"", b"", b"hi")


def test_no_responders(name):
    with wire() as one:
        one.send(b"SUB in.%s 3\r\nPUB none.%s in.%s 0\r\n\r\n" % ((name.encode(),) * 3))
        subject, sid, reply, headers, body = one.message()
        assert (subject, sid, reply, body) == (b"in." + name.encode(), b"3", b"", b"")
        assert headers.startswith(b"NATS/1.0 503")


def test_unsub_with_max(name):
    subject = name.encode()
    with wire() as one:
        one.send(b"SUB %s 1\r\nUNSUB 1 2\r\n" % subject + b"PUB %s 1\r\nx\r\n" % subject * 4)
        assert one.message()[4] == b"x"
        assert one.message()[4] == b"x"
        one.ping()
        # The number is free again.
        one.send(b"SUB %s 1\r\nPUB %s 1\r\ny\r\n" % (subject, subject))
        assert one.message()[4] == b"y"


def test_unsub_with_max_that_has_passed(name):
    subject = name.encode()
    with wire() as one:
        one.send(b"SUB %s 1\r\n" % subject + b"PUB %s 1\r\nx\r\n" % subject * 3)
        for _ in range(3):
            one.message()
        one.send(b"UNSUB 1 2\r\nPUB %s 1\r\nx\r\n" % subject)
        one.ping()


def test_echo_off(name):
    subject = name.encode()
    with wire({"echo": False}) as one, wire() as two:
        one.send(b"SUB %s 1\r\n" % subject)
        one.ping()
        two.send(b"SUB %s 1\r\n" % subject)
        two.ping()
        one.send(b"PUB %s 2\r\nhi\r\n" % subject)
        one.ping()
        assert two.message()[4] == b"hi"
        two.send(b"PUB %s 2\r\nyo\r\n" % subject)
        assert one.message()[4] == b"yo"


@pytest.mark.parametrize("line", [b"WHAT", b"PUB a", b"PUB a x", b"PUB a -1", b"HPUB a 20 10", b"HPUB a 5", b"SUB a", b"UNSUB", b"PUB a 99999999999999999999"])
def test_lines_that_cannot_be_cost_the_connection(line):
    with wire(timeout_s=3) as one:
        one.send(line + b"\r\n\r\n")
        said = one.line()
        assert said == b"" or said.startswith(b"-ERR ")
        assert one.is_cut()


@pytest.mark.parametrize("subject", [b"a..b", b"a.>.b", b".a", b"a."])
def test_filters_that_cannot_be_are_refused(subject):
    with wire(timeout_s=3) as one:
        one.send(b"SUB " + subject + b" 1\r\n")
        assert one.line().startswith(b"-ERR 'Invalid Subject'")
        one.ping()


@pytest.mark.parametrize("subject", [b"a.*", b"a.>", b"a..b", b".a", b"a."])
def test_pedantic_refuses_what_is_no_literal_subject(subject):
    with wire({"pedantic": True}, timeout_s=3) as one:
        one.send(b"PUB %s 0\r\n\r\n" % subject)
        assert one.line() == b"-ERR 'Invalid Publish Subject'"
        one.ping()


def test_payload_too_great():
    with wire(timeout_s=5) as one:
        one.send(b"PUB a %d\r\n" % ((1 << 20) + 1))
        assert one.line() == b"-ERR 'Maximum Payload Violation'"
        assert one.is_cut()


def test_payload_without_its_end(name):
    with wire(timeout_s=3) as one:
        one.send(b"PUB %s 2\r\nabcd\r\n" % name.encode())
        assert one.line().startswith(b"-ERR ")
        assert one.is_cut()


def test_line_too_long():
    with wire(timeout_s=5) as one:
        one.send(b"PUB " + b"a" * 100_000)
        assert one.line().lower() == b"-ERR 'maximum control line exceeded'".lower()
        assert one.is_cut()


def test_second_connect_is_taken(name):
    with wire() as one:
        one.ping()
        one.send(b'CONNECT {"verbose":true}\r\n')
        assert one.line() == b"+OK"


def test_queue_group_gets_each_once_and_fairly(name):
    subject = name.encode()
    with wire() as sender, wire() as a, wire() as b, wire() as all_:
        for one in (a, b):
            one.send(b"SUB %s workers 1\r\n" % subject)
            one.ping()
        all_.send(b"SUB %s 1\r\n" % subject)
        all_.ping()
        sender.send(b"PUB %s 1\r\nx\r\n" % subject * 1000)
        sender.ping()
        counts = []
        for one in (a, b, all_):
            one.send(b"PING\r\n")
            count = 0
            while (line := one.line()) != b"PONG":
                assert line.startswith(b"MSG")
                one.take(1)
                count += 1
            counts.append(count)
        assert counts[0] + counts[1] == 1000 and counts[2] == 1000
        assert min(counts[:2]) > 350, counts


def test_literal_subjects_of_other_protocols_wildcards(name):
    """`#` is a word like any other, and so is a star within a word."""
    with wire() as one:
        for sid, filter_ in enumerate((b"%s.#", b"%s.a*", b"%s.a.>"), 1):
            one.send(b"SUB " + filter_ % name.encode() + b" %d\r\n" % sid)
        for subject in (b"x", b"#", b"ab", b"a*", b"a", b"a.b.c"):
            one.send(b"PUB %s.%s 0\r\n\r\n" % (name.encode(), subject))
        got = [one.message()[:2] for _ in range(3)]
        one.ping()
        assert got == [(name.encode() + b".#", b"1"), (name.encode() + b".a*", b"2"), (name.encode() + b".a.b.c", b"3")]
