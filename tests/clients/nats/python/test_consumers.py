"""Consumers, by nats-py: push, pull, ordered; what is acknowledged how, and what comes again."""

import asyncio
import json
import time

import nats
import pytest
from conftest import client, until
from nats.js import api
from nats.js.errors import APIError, NotFoundError
from test_streams import made


async def filled(nc, name, count=10, **config):
    js = await made(nc, name, **config)
    for i in range(count):
        await js.publish(f"{name}.{'ab'[i % 2]}", b"%d" % i)
    return js


def numbers(messages):
    return [int(message.data) for message in messages]


async def test_pull_durable_goes_on_where_it_was(name):
    async with client() as nc:
        js = await filled(nc, name)
        sub = await js.pull_subscribe(f"{name}.>", durable="d")
        first = await sub.fetch(4, timeout=5)
        for message in first:
            await message.ack_sync()
        again = await js.pull_subscribe(f"{name}.>", durable="d")
        rest = await again.fetch(6, timeout=5)
        assert numbers(first + rest) == list(range(10))
        info = await sub.consumer_info()
        assert (info.num_ack_pending, info.num_pending, info.ack_floor.stream_seq) == (6, 0, 4)


async def test_what_is_told_with_a_message(name):
    async with client() as nc:
        js = await filled(nc, name)
        sub = await js.pull_subscribe(f"{name}.b", durable="d")
        message = (await sub.fetch(1, timeout=5))[0]
        told = message.metadata
        assert (told.stream, told.consumer, told.sequence.stream, told.sequence.consumer, told.num_pending, told.num_delivered) == (name, "d", 2, 1, 4, 1)
        assert message.subject == f"{name}.b"


async def test_pull_of_nothing_ends_in_time(name):
    async with client() as nc:
        js = await made(nc, name)
        sub = await js.pull_subscribe(f"{name}.>", durable="d")
        begin = time.monotonic()
        with pytest.raises(nats.errors.TimeoutError):
            await sub.fetch(1, timeout=0.5)
        assert time.monotonic() - begin < 3


async def test_pull_waits_for_what_comes(name):
    async with client() as nc:
        js = await made(nc, name)
        sub = await js.pull_subscribe(f"{name}.>", durable="d")
        waiting = asyncio.create_task(sub.fetch(1, timeout=10))
        await asyncio.sleep(0.2)
        await js.publish(f"{name}.a", b"now")
        assert (await waiting)[0].data == b"now"


async def test_nak_term_wpi_and_max_deliver(name):
    async with client() as nc:
        js = await filled(nc, name, 3)
        config = api.ConsumerConfig(ack_wait=1, max_deliver=3)
        sub = await js.pull_subscribe(f"{name}.>", durable="d", config=config)
        nak, term, late = await sub.fetch(3, timeout=5)
        await nak.nak()
        await term.term()
        again = (await sub.fetch(1, timeout=5))[0]
        assert (again.data, again.metadata.num_delivered) == (nak.data, 2)
        for _ in range(4):
            await late.in_progress()
            await asyncio.sleep(0.4)
        await late.ack_sync()
        third = (await sub.fetch(1, timeout=5))[0]
        assert (third.data, third.metadata.num_delivered) == (nak.data, 3)
        await third.nak()
        with pytest.raises(nats.errors.TimeoutError):
            await sub.fetch(1, timeout=1.5)


async def test_nak_with_delay(name):
    async with client() as nc:
        js = await filled(nc, name, 1)
        sub = await js.pull_subscribe(f"{name}.>", durable="d")
        message = (await sub.fetch(1, timeout=5))[0]
        await message.nak(delay=1)
        begin = time.monotonic()
        again = (await sub.fetch(1, timeout=5))[0]
        assert 0.7 < time.monotonic() - begin < 3 and again.metadata.num_delivered == 2


async def test_ack_wait_and_backoff(name):
    async with client() as nc:
        js = await filled(nc, name, 1)
        sub = await js.pull_subscribe(f"{name}.>", durable="d", config=api.ConsumerConfig(backoff=[0.2, 1], max_deliver=4))
        times = []
        for _ in range(3):
            await sub.fetch(1, timeout=5)
            times.append(time.monotonic())
        assert times[1] - times[0] < 0.9 < times[2] - times[1] + 0.2


async def test_ack_all(name):
    async with client() as nc:
        js = await filled(nc, name)
        sub = await js.pull_subscribe(f"{name}.>", durable="d", config=api.ConsumerConfig(ack_policy=api.AckPolicy.ALL))
        messages = await sub.fetch(10, timeout=5)
        await messages[6].ack_sync()
        info = await sub.consumer_info()
        assert (info.ack_floor.stream_seq, info.num_ack_pending) == (7, 3)


async def test_max_ack_pending(name):
    async with client() as nc:
        js = await filled(nc, name)
        sub = await js.pull_subscribe(f"{name}.>", durable="d", config=api.ConsumerConfig(max_ack_pending=3))
        first = await sub.fetch(10, timeout=1)
        assert len(first) == 3
        with pytest.raises(nats.errors.TimeoutError):
            await sub.fetch(1, timeout=0.5)
        await first[0].ack_sync()
        assert numbers(await sub.fetch(1, timeout=5)) == [3]


@pytest.mark.parametrize("policy, more, wanted", [
    (api.DeliverPolicy.ALL, {}, list(range(10))),
    (api.DeliverPolicy.LAST, {}, [9]),
    (api.DeliverPolicy.NEW, {}, []),
    (api.DeliverPolicy.BY_START_SEQUENCE, {"opt_start_seq": 7}, [6, 7, 8, 9]),
    (api.DeliverPolicy.LAST_PER_SUBJECT, {"filter_subject": "*"}, [8, 9]),
])
async def test_deliver_policies(name, policy, more, wanted):
    async with client() as nc:
        js = await filled(nc, name)
        if "filter_subject" in more:
            more = {"filter_subject": f"{name}.*"}
        await js.add_consumer(name, durable_name="d", deliver_policy=policy, ack_policy=api.AckPolicy.EXPLICIT, **more)
        sub = await js.pull_subscribe_bind("d", name)
        await js.publish(f"{name}.z", b"99")
        messages = await sub.fetch(len(wanted) + 1, timeout=5)
        assert numbers(messages) == wanted + [99]


async def test_several_filters(name):
    async with client() as nc:
        js = await made(nc, name)
        for subject in "abcabc":
            await js.publish(f"{name}.{subject}", subject.encode())
        await js.add_consumer(name, durable_name="d", filter_subjects=[f"{name}.a", f"{name}.c"], ack_policy=api.AckPolicy.EXPLICIT)
        sub = await js.pull_subscribe_bind("d", name)
        assert [m.data for m in await sub.fetch(4, timeout=5)] == [b"a", b"c", b"a", b"c"]


async def test_push_to_a_callback(name):
    async with client() as nc:
        js = await filled(nc, name)
        seen = []

        async def keep(message):
            seen.append(int(message.data))
            await message.ack()

        await js.subscribe(f"{name}.>", durable="d", cb=keep, manual_ack=True)
        await until(lambda: seen == list(range(10)))

        async def is_acked():
            return (await js.consumer_info(name, "d")).num_ack_pending == 0

        await until(is_acked)


async def test_push_to_a_queue_group(name):
    async with client() as nc, client() as other:
        js = await made(nc, name)
        seen = [[], []]

        def keep(index):
            async def work(message):
                seen[index].append(int(message.data))
                await message.ack()
            return work

        await js.subscribe(f"{name}.>", queue="workers", durable="workers", cb=keep(0), manual_ack=True)
        await other.jetstream().subscribe(f"{name}.>", queue="workers", durable="workers", cb=keep(1), manual_ack=True)
        for i in range(100):
            await js.publish(f"{name}.a", b"%d" % i)
        await until(lambda: len(seen[0]) + len(seen[1]) == 100)
        assert sorted(seen[0] + seen[1]) == list(range(100)) and seen[0] and seen[1]


async def test_ordered_consumer(name):
    async with client() as nc:
        js = await filled(nc, name, 500)
        sub = await js.subscribe(f"{name}.>", ordered_consumer=True)
        assert numbers([await sub.next_msg(5) for _ in range(500)]) == list(range(500))


async def test_heartbeats_and_flow_control(name):
    async with client() as nc:
        js = await made(nc, name)
        inbox = nc.new_inbox()
        raw = await nc.subscribe(inbox)
        await js.add_consumer(name, durable_name="d", deliver_subject=inbox, idle_heartbeat=0.2, flow_control=True, ack_policy=api.AckPolicy.NONE)
        beat = await raw.next_msg(5)
        assert beat.headers["Status"] == "100" and beat.headers["Description"] == "Idle Heartbeat"
        await js.publish(f"{name}.a", b"x")
        message = await raw.next_msg(5)
        while message.headers:
            message = await raw.next_msg(5)
        assert message.data == b"x"


async def test_headers_only(name):
    async with client() as nc:
        js = await made(nc, name)
        await js.publish(f"{name}.a", b"12345", headers={"h": "v"})
        sub = await js.pull_subscribe(f"{name}.>", durable="d", config=api.ConsumerConfig(headers_only=True))
        message = (await sub.fetch(1, timeout=5))[0]
        assert message.data == b"" and message.headers["Nats-Msg-Size"] == "5" and message.headers["h"] == "v"


async def test_ephemeral_goes_when_nobody_listens(name):
    async with client() as nc:
        js = await made(nc, name)
        info = await js.add_consumer(name, deliver_policy=api.DeliverPolicy.ALL, ack_policy=api.AckPolicy.EXPLICIT, inactive_threshold=0.5)
        assert info.name in [one.name for one in await js.consumers_info(name)]

        async def is_gone():
            return info.name not in [one.name for one in await js.consumers_info(name)]

        await until(is_gone)


async def test_consumer_api(name):
    async with client() as nc:
        js = await made(nc, name)
        await js.add_consumer(name, durable_name="d", ack_policy=api.AckPolicy.EXPLICIT)
        await js.add_consumer(name, durable_name="d", ack_policy=api.AckPolicy.EXPLICIT)
        with pytest.raises(NotFoundError) as error:
            await js.consumer_info(name, "other")
        assert error.value.err_code == 10014
        with pytest.raises(APIError) as error:
            await js.add_consumer(name, durable_name="d", ack_policy=api.AckPolicy.EXPLICIT, deliver_policy=api.DeliverPolicy.NEW)
        assert error.value.err_code == 10012
        assert await js.delete_consumer(name, "d")
        assert await js.consumers_info(name) == []


async def test_pause(name):
    async with client() as nc:
        js = await filled(nc, name, 2)
        sub = await js.pull_subscribe(f"{name}.>", durable="d")
        paused = await js.pause_consumer(name, "d", pause_until=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60)))
        assert paused.paused
        with pytest.raises(nats.errors.TimeoutError):
            await sub.fetch(1, timeout=0.5)
        await js.resume_consumer(name, "d")
        assert numbers(await sub.fetch(2, timeout=5)) == [0, 1]


async def test_max_deliver_advisory(name):
    async with client() as nc:
        js = await filled(nc, name, 1)
        sub = await nc.subscribe(f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{name}.d")
        pull = await js.pull_subscribe(f"{name}.>", durable="d", config=api.ConsumerConfig(max_deliver=1, ack_wait=0.3))
        await pull.fetch(1, timeout=5)
        with pytest.raises(nats.errors.TimeoutError):
            await pull.fetch(1, timeout=1)
        assert b'"stream_seq":1' in (await sub.next_msg(5)).data.replace(b" ", b"")


async def test_nak_and_term_advisories(name):
    async with client() as nc:
        js = await filled(nc, name, 2)
        sub = await nc.subscribe(f"$JS.EVENT.ADVISORY.CONSUMER.*.{name}.d")
        pull = await js.pull_subscribe(f"{name}.>", durable="d")
        first, second = await pull.fetch(2, timeout=5)
        await first.nak(delay=60)
        await second.term()
        # The first tells that the consumer was made.
        told = [json.loads((await sub.next_msg(5)).data) for _ in range(3)][1:]
        types = ["io.nats.jetstream.advisory.v1.nak", "io.nats.jetstream.advisory.v1.terminated"]
        assert [one["type"] for one in told] == types
        assert [(one["stream"], one["consumer"], one["stream_seq"], one["deliveries"]) for one in told] == [(name, "d", 1, 1), (name, "d", 2, 1)]


async def test_replay_original(name):
    async with client() as nc:
        js = await made(nc, name)
        await js.publish(f"{name}.a", b"1")
        await asyncio.sleep(0.5)
        await js.publish(f"{name}.a", b"2")
        await js.add_consumer(name, durable_name="d", replay_policy=api.ReplayPolicy.ORIGINAL, ack_policy=api.AckPolicy.EXPLICIT)
        sub = await js.pull_subscribe_bind("d", name)
        begin = time.monotonic()
        await sub.fetch(2, timeout=5)
        assert time.monotonic() - begin > 0.3
