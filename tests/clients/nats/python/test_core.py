"""Live subscribers, by nats-py: wildcards, groups, requests, headers, drains, slow ones."""

import asyncio

import nats
import pytest
from conftest import client, until
from nats.errors import NoRespondersError, TimeoutError as NatsTimeout


async def got(sub, count, timeout_s=10):
    return [await sub.next_msg(timeout_s) for _ in range(count)]


@pytest.mark.parametrize("filter_, subjects", [
    ("a.*", ["a.b"]),
    ("a.>", ["a.b", "a.b.c", "a.b.c.d"]),
    ("*.b", ["a.b"]),
    ("*.*.c", ["a.b.c"]),
    ("*.>", ["a.b", "a.b.c", "a.b.c.d"]),
    ("a.*.c.>", ["a.b.c.d"]),
    ("a", ["a"]),
    (">", ["a", "a.b", "a.b.c", "a.b.c.d"]),
])
async def test_wildcards(name, filter_, subjects):
    async with client() as nc:
        sub = await nc.subscribe(f"{name}.{filter_}")
        for subject in ("a", "a.b", "a.b.c", "a.b.c.d"):
            await nc.publish(f"{name}.{subject}", subject.encode())
        await nc.flush()
        assert [m.data.decode() for m in await got(sub, len(subjects))] == subjects
        assert sub.pending_msgs == 0


async def test_overlapping_subscriptions_get_each(name):
    async with client() as nc:
        subs = [await nc.subscribe(f"{name}.{filter_}") for filter_ in ("a", "*", ">", "a")]
        await nc.publish(f"{name}.a", b"x")
        for sub in subs:
            assert (await sub.next_msg(5)).data == b"x"


async def test_order_and_all_of_many(name):
    async with client() as a, client() as b:
        sub = await b.subscribe(name)
        await b.flush()
        for i in range(20_000):
            await a.publish(name, b"%d" % i)
        assert [int(m.data) for m in await got(sub, 20_000)] == list(range(20_000))


async def test_queue_groups(name):
    async with client() as sender, client() as one, client() as two:
        workers = [await nc.subscribe(name, queue=group) for nc in (one, two) for group in ("a", "a", "b")]
        await one.flush()
        await two.flush()
        for i in range(600):
            await sender.publish(name, b"%d" % i)
        await sender.flush()
        await until(lambda: sum(sub.pending_msgs for sub in workers) == 1200)
        await asyncio.sleep(0.1)
        counts = [sub.pending_msgs for sub in workers]
        assert counts[0] + counts[1] + counts[3] + counts[4] == 600
        assert counts[2] + counts[5] == 600
        assert min(counts[2], counts[5]) > 150 and min(counts[:2] + counts[3:5]) > 50, counts


async def test_queue_group_goes_on_when_a_member_leaves(name):
    async with client() as sender, client() as one:
        stays = await one.subscribe(name, queue="g")
        async with client() as two:
            await two.subscribe(name, queue="g")
            await two.flush()
        await one.flush()
        for _ in range(100):
            await sender.publish(name, b"x")
        await sender.flush()
        await until(lambda: stays.pending_msgs == 100)


async def test_requests(name):
    async with client() as asker, client() as service:
        async def answer(message):
            await message.respond(b"re:" + message.data)

        await service.subscribe(name, cb=answer)
        await service.flush()
        answers = await asyncio.gather(*(asker.request(name, b"%d" % i, timeout=10) for i in range(500)))
        assert [m.data for m in answers] == [b"re:%d" % i for i in range(500)]


async def test_requests_the_old_way(name):
    async with client() as nc:
        async def answer(message):
            await message.respond(b"yes")

        await nc.subscribe(name, cb=answer)
        assert (await nc.request(name, b"?", old_style=True, timeout=5)).data == b"yes"


async def test_requests_to_nobody_and_to_the_silent(name):
    async with client() as nc:
        with pytest.raises(NoRespondersError):
            await nc.request(name, b"?", timeout=5)
        await nc.subscribe(name)
        with pytest.raises(NatsTimeout):
            await nc.request(name, b"?", timeout=0.3)


async def test_headers(name):
    async with client() as nc:
        sub = await nc.subscribe(name)
        headers = {"One": "1", "two": "zwei", "Empty": "", "Colon": "a:b:c"}
        await nc.publish(name, b"x", headers=headers)
        await nc.publish(name, b"", headers={"only": "headers"})
        first, second = await got(sub, 2)
        assert first.headers == headers and first.data == b"x"
        assert second.headers == {"only": "headers"} and second.data == b""


async def test_unsubscribe_after_so_many(name):
    async with client() as nc:
        seen = []

        async def keep(message):
            seen.append(message.data)

        sub = await nc.subscribe(name, cb=keep)
        await sub.unsubscribe(limit=3)
        for i in range(6):
            await nc.publish(name, b"%d" % i)
        await nc.flush()
        await until(lambda: len(seen) == 3)
        await asyncio.sleep(0.1)
        assert seen == [b"0", b"1", b"2"]


async def test_drain_lets_what_came_be_worked_on(name):
    async with client() as sender:
        seen, nc = [], await nats.connect(f"nats://127.0.0.1:{sender.connected_url.port}")

        async def work(message):
            await asyncio.sleep(0.002)
            seen.append(message.data)

        await nc.subscribe(name, cb=work)
        await nc.flush()
        for i in range(100):
            await sender.publish(name, b"%d" % i)
        await sender.flush()
        # nats-py forgets what its task has not begun with when it drains: with nats-server, too.
        while not seen:
            await asyncio.sleep(0.001)
        await nc.drain()
        assert nc.is_closed and len(seen) == 100


async def test_greatest_payload(name):
    async with client() as nc:
        assert nc.max_payload == 1 << 20
        sub = await nc.subscribe(name)
        body = bytes(range(256)) * 4096
        await nc.publish(name, body)
        assert (await sub.next_msg(10)).data == body
        with pytest.raises(nats.errors.MaxPayloadError):
            await nc.publish(name, body + b"x")


async def test_no_echo(name):
    async with client(no_echo=True) as one, client() as two:
        mine, theirs = await one.subscribe(name), await two.subscribe(name)
        await one.flush()
        await two.flush()
        await one.publish(name, b"x")
        await one.flush()
        assert (await theirs.next_msg(5)).data == b"x"
        assert mine.pending_msgs == 0


async def test_pedantic_and_verbose(name):
    async with client(pedantic=True, verbose=True) as nc:
        sub = await nc.subscribe(f"{name}.>")
        await nc.publish(f"{name}.a.b", b"x", headers={"a": "b"})
        assert (await sub.next_msg(5)).data == b"x"


async def test_rtt_and_many_clients(name):
    async with client() as nc:
        clients = [await nats.connect(f"nats://127.0.0.1:{nc.connected_url.port}") for _ in range(50)]
        subs = [await one.subscribe(name) for one in clients]
        await asyncio.gather(*(one.flush() for one in clients))
        await nc.publish(name, b"x")
        for sub in subs:
            assert (await sub.next_msg(10)).data == b"x"
        await asyncio.gather(*(one.close() for one in clients))
