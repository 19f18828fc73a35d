"""Several messages with one direct get, asked for by hand: no client library here has a call for each of its forms."""

import asyncio
import json

import pytest
from conftest import client


async def got(nc, stream, request):
    """What answers a request: [(subject, sequence, pending, last before, body)] and the headers of the status that ends it."""
    inbox = nc.new_inbox()
    answers = await nc.subscribe(inbox)
    await nc.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(request).encode(), reply=inbox)
    told = []
    while True:
        message = await answers.next_msg(5)
        headers = message.headers or {}
        if headers.get("Status"):
            await answers.unsubscribe()
            return told, headers
        told.append((headers["Nats-Subject"], int(headers["Nats-Sequence"]), int(headers["Nats-Num-Pending"]), int(headers["Nats-Last-Sequence"]), message.data))


def ended(headers, pending, last, up_to=None):
    assert (headers["Status"], headers["Description"]) == ("204", "EOB")
    assert (headers["Nats-Num-Pending"], headers["Nats-Last-Sequence"]) == (str(pending), str(last))
    assert headers.get("Nats-UpTo-Sequence") == (str(up_to) if up_to else None)


async def filled(nc, name, subjects, **config):
    js = nc.jetstream()
    await js.add_stream(name=name, subjects=[f"{name}.>"], allow_direct=True, **config)
    for number, subject in enumerate(subjects, 1):
        await js.publish(f"{name}.{subject}", b"%d" % number, headers={"h": str(number)} if number % 2 else None)
    return js


async def test_the_next_ones(name):
    async with client() as nc:
        js = await filled(nc, name, ["a", "b", "a", "c", "a", "b"])
        told, end = await got(nc, name, {"seq": 1, "batch": 3})
        assert told == [(f"{name}.a", 1, 5, 0, b"1"), (f"{name}.b", 2, 4, 1, b"2"), (f"{name}.a", 3, 3, 2, b"3")]
        ended(end, 3, 3)
        told, end = await got(nc, name, {"next_by_subj": f"{name}.a", "batch": 10})
        assert [one[1:4] for one in told] == [(1, 2, 0), (3, 1, 1), (5, 0, 3)]
        ended(end, 0, 5)
        told, end = await got(nc, name, {"next_by_subj": f"{name}.*", "seq": 4, "batch": 2})
        assert [one[1:4] for one in told] == [(4, 2, 0), (5, 1, 4)]
        ended(end, 1, 5)
        # What was removed is stepped over.
        await js.delete_msg(name, 2)
        told, end = await got(nc, name, {"seq": 2, "batch": 2})
        assert [one[1:4] for one in told] == [(3, 3, 0), (4, 2, 3)]
        ended(end, 2, 4)


async def test_bytes_end_a_batch(name):
    async with client() as nc:
        js = await filled(nc, name, [])
        for _ in range(4):
            await js.publish(f"{name}.a", b"x" * 1000)
        told, end = await got(nc, name, {"seq": 1, "batch": 4, "max_bytes": 1500})
        assert [one[1:4] for one in told] == [(1, 3, 0), (2, 2, 1)]
        ended(end, 2, 2)


async def test_many_come_in_one_batch(name):
    async with client() as nc:
        js = await filled(nc, name, [])
        for number in range(2500):
            await nc.publish(f"{name}.{number % 7}", b"%d" % number)
        await nc.flush()
        while (await js.stream_info(name)).state.messages < 2500:
            await asyncio.sleep(0.02)
        told, end = await got(nc, name, {"seq": 1, "batch": 2400})
        assert [(one[1], one[2]) for one in told] == [(n, 2500 - n) for n in range(1, 2401)]
        ended(end, 100, 2400)


async def test_by_time(name):
    async with client() as nc:
        js = await filled(nc, name, ["a", "b"])
        await asyncio.sleep(0.3)
        await js.publish(f"{name}.a", b"3")
        await js.publish(f"{name}.c", b"4")
        inbox = nc.new_inbox()
        answers = await nc.subscribe(inbox)
        await nc.publish(f"$JS.API.DIRECT.GET.{name}", b'{"seq":3}', reply=inbox)
        time = (await answers.next_msg(5)).headers["Nats-Time-Stamp"]
        told, end = await got(nc, name, {"start_time": time, "batch": 5})
        assert [one[1] for one in told] == [3, 4]
        told, end = await got(nc, name, {"multi_last": [f"{name}.>"], "up_to_time": time})
        assert [one[1] for one in told] == [1, 2]
        ended(end, 0, 2, 2)


async def test_the_last_of_each(name):
    async with client() as nc:
        await filled(nc, name, ["a", "b", "a", "c", "b", "d.e"])
        told, end = await got(nc, name, {"multi_last": [f"{name}.*", f"{name}.a"]})
        assert told == [(f"{name}.a", 3, 2, 0, b"3"), (f"{name}.c", 4, 1, 3, b"4"), (f"{name}.b", 5, 0, 4, b"5")]
        ended(end, 0, 5, 6)
        told, end = await got(nc, name, {"multi_last": [f"{name}.>"], "up_to_seq": 3})
        assert [one[1] for one in told] == [2, 3]
        ended(end, 0, 3, 3)
        told, end = await got(nc, name, {"multi_last": [f"{name}.>"], "batch": 2})
        assert [one[1:4] for one in told] == [(3, 3, 0), (4, 2, 3)]
        ended(end, 2, 4, 6)
        # The next page: from behind the last, as of the same moment.
        told, end = await got(nc, name, {"multi_last": [f"{name}.>"], "batch": 2, "seq": 5, "up_to_seq": 6})
        assert [one[1:4] for one in told] == [(5, 1, 0), (6, 0, 5)]
        ended(end, 0, 6, 6)


@pytest.mark.parametrize(("request_", "status"), [
    ({}, ("408", "Empty Request")),
    ({"seq": 1, "last_by_subj": "a"}, ("408", "Bad Request")),
    ({"last_by_subj": "a", "batch": 2}, ("408", "Bad Request")),
    ({"multi_last": ["a"], "next_by_subj": "a"}, ("408", "Bad Request")),
    ({"multi_last": ["nothing.here"]}, ("404", "No Results")),
    ({"seq": 100, "batch": 2}, ("404", "Message Not Found")),
    ({"next_by_subj": "nothing.here", "batch": 2}, ("404", "Message Not Found")),
])
async def test_what_is_refused(name, request_, status):
    async with client() as nc:
        await filled(nc, name, ["a"])
        told, end = await got(nc, name, request_)
        assert (told, (end["Status"], end["Description"])) == ([], status)


async def test_too_many_subjects(name):
    async with client() as nc:
        js = await filled(nc, name, [])
        for number in range(1025):
            await nc.publish(f"{name}.{number}", b"")
        await nc.flush()
        while (await js.stream_info(name)).state.messages < 1025:
            await asyncio.sleep(0.02)
        told, end = await got(nc, name, {"multi_last": [f"{name}.>"]})
        assert (told, end["Status"], end["Description"]) == ([], "413", "Too Many Results")
