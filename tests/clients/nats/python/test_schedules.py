"""Messages on schedules: copied to other subjects when they are due, also by a broker that was away meanwhile."""

import asyncio
import time

import nats
import pytest
from conftest import client, until
from nats.js.errors import NotFoundError
from test_batches_counters import sent
from test_streams import made


def at(seconds):
    """`@at` so many seconds from now."""
    return time.strftime("@at %Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


async def last(js, stream, subject):
    try:
        return await js.get_last_msg(stream, subject)
    except NotFoundError:
        return None


async def made_for(nc, name, **config):
    return await made(nc, name, allow_msg_schedules=True, allow_direct=True, **config)


async def test_once(name):
    async with client() as nc:
        js = await made_for(nc, name, allow_msg_ttl=True)
        headers = {"Nats-Schedule": at(1), "Nats-Schedule-Target": f"{name}.target", "Nats-Schedule-TTL": "5m", "own": "kept"}
        await js.publish(f"{name}.schedule", b"later", headers=headers)
        copy = await until(lambda: last(js, name, f"{name}.target"), 10)
        assert (copy.data, copy.headers) == (b"later", {"own": "kept", "Nats-Scheduler": f"{name}.schedule", "Nats-Schedule-Next": "purge", "Nats-TTL": "5m"} | (
            {"Nats-TTL": copy.headers["Nats-TTL"]}))
        assert copy.headers["Nats-TTL"] in ("5m", "300")
        assert await last(js, name, f"{name}.schedule") is None
        assert (await js.stream_info(name)).state.messages == 1


async def test_again_and_again(name):
    async with client() as nc:
        js = await made_for(nc, name)
        await js.publish(f"{name}.schedule", b"tick", headers={"Nats-Schedule": "@every 1s", "Nats-Schedule-Target": f"{name}.target"})
        first = await until(lambda: last(js, name, f"{name}.target"), 10)
        assert first.headers["Nats-Schedule-Next"].endswith("Z")

        async def another():
            found = await last(js, name, f"{name}.target")
            return found if found.seq > first.seq else None

        await until(another, 10)
        # One that is published again takes the place of it.
        await js.publish(f"{name}.schedule", b"tock", headers={"Nats-Schedule": "* * * * * *", "Nats-Schedule-Target": f"{name}.other"})
        other = await until(lambda: last(js, name, f"{name}.other"), 10)
        assert other.data == b"tock"
        seq = (await last(js, name, f"{name}.target")).seq
        await js.purge_stream(name, subject=f"{name}.schedule")
        count = (await js.stream_info(name)).state.last_seq
        await asyncio.sleep(2.2)
        assert (await js.stream_info(name)).state.last_seq == count
        assert (await last(js, name, f"{name}.target")).seq == seq


async def test_the_last_of_a_subject_is_copied(name):
    async with client() as nc:
        js = await made_for(nc, name)
        await js.publish(f"{name}.source", b"what", headers={"a": "b"})
        await js.publish(f"{name}.schedule", b"", headers={"Nats-Schedule": at(1), "Nats-Schedule-Target": f"{name}.target", "Nats-Schedule-Source": f"{name}.source"})
        await js.publish(f"{name}.source", b"newest", headers={"a": "c"})
        copy = await until(lambda: last(js, name, f"{name}.target"), 10)
        assert (copy.data, copy.headers["a"]) == (b"newest", "c")


async def test_what_is_refused(name):
    async with client() as nc:
        await made_for(nc, name)

        async def refused(number, stream=name, **headers):
            ack = await sent(nc, f"{stream}.a", **headers)
            assert ack["error"]["err_code"] == number, ack

        target = f"{name}.b"
        await refused(10189, Schedule="@often", Schedule_Target=target)
        await refused(10189, Schedule="@every 10ms", Schedule_Target=target)
        await refused(10190, Schedule="@every 1s")
        await refused(10190, Schedule="@every 1s", Schedule_Target=f"{name}.a")
        await refused(10190, Schedule="@every 1s", Schedule_Target="elsewhere")
        await refused(10191, Schedule="@every 1s", Schedule_Target=target, Schedule_TTL="x")
        await refused(10166, Schedule="@every 1s", Schedule_Target=target, Schedule_TTL="1m")
        await refused(10192, Schedule="@every 1s", Schedule_Target=target, Rollup="all")
        await refused(10223, Schedule="0 0 * * * *", Schedule_Target=target, Schedule_Time_Zone="No/Where")
        await made(nc, name + "x")
        await refused(10188, f"{name}x", Schedule="@every 1s", Schedule_Target=f"{name}x.b")
