"""Archives of streams: sent in chunks and restored, by nats-py with the requests of jsm.go; what is damaged or foreign is refused."""

import asyncio
import json

from conftest import client
from nats.js.errors import NotFoundError
from test_followers import all_of, asked


async def archive_of(nc, name, **options):
    """The configuration and state of a stream, and its archive."""
    inbox, done, chunks = nc.new_inbox(), asyncio.Event(), []

    async def take(message):
        if not message.data:
            assert not message.headers, message.headers
            done.set()
            return
        chunks.append(message.data)
        await message.respond(b"")

    told = await asked(nc, f"SNAPSHOT.{name}", deliver_subject=inbox, **options)
    assert "error" not in told, told
    sub = await nc.subscribe(inbox, cb=take)
    await asyncio.wait_for(done.wait(), 20)
    await sub.unsubscribe()
    if "chunk_size" in options:
        assert {len(chunk) for chunk in chunks[:-1]} <= {options["chunk_size"]}
    return {"config": told["config"], "state": told["state"]}, b"".join(chunks)


async def restored(nc, meta, archive, chunk=64 * 1024):
    """The last answer to a restore."""
    told = await asked(nc, f"RESTORE.{meta['config']['name']}", **meta)
    if "error" in told:
        return told
    for at in range(0, len(archive), chunk):
        answer = await nc.request(told["deliver_subject"], archive[at : at + chunk], timeout=10)
        if answer.data:
            return json.loads(answer.data)
    return json.loads((await nc.request(told["deliver_subject"], b"", timeout=10)).data)


async def is_there(js, name):
    try:
        await js.stream_info(name)
        return True
    except NotFoundError:
        return False


async def test_a_stream_is_restored_as_it_was(name):
    async with client() as nc:
        js = nc.jetstream()
        await js.add_stream(name=name, subjects=[f"{name}.>"], max_msgs_per_subject=500)
        for i in range(400):
            await js.publish(f"{name}.{i % 7}", b"%d" % i * 300, headers={"n": str(i)} if i % 2 else None)
        for sequence in (1, 2, 50, 399, 400):
            await js.delete_msg(name, sequence)
        before, times = await all_of(js, name), (await js.get_msg(name, 60)).time
        meta, archive = await archive_of(nc, name, chunk_size=10_000, window_size=20_000)
        assert (await restored(nc, meta, archive))["error"]["err_code"] == 10130
        await js.delete_stream(name)
        told = await restored(nc, meta, archive, 7_777)
        assert "error" not in told and told["type"] == "io.nats.jetstream.api.v1.stream_create_response", told
        assert await all_of(js, name) == before
        again = await js.get_msg(name, 60)
        assert (again.headers, again.time) == ({"n": "59"}, times)
        state = (await js.stream_info(name)).state
        assert (state.first_seq, state.last_seq, state.messages) == (3, 400, 395)
        assert (await js.publish(f"{name}.1", b"next")).seq == 401


async def test_an_empty_stream_is_restored(name):
    async with client() as nc:
        js = nc.jetstream()
        await js.add_stream(name=name, subjects=[name])
        for _ in range(3):
            await js.publish(name, b"x")
        await js.purge_stream(name)
        meta, archive = await archive_of(nc, name)
        await js.delete_stream(name)
        assert "error" not in await restored(nc, meta, archive)
        assert (await js.publish(name, b"x")).seq == 4


async def test_what_is_damaged_or_foreign_is_refused(name):
    async with client() as nc:
        js = nc.jetstream()
        await js.add_stream(name=name, subjects=[name])
        for i in range(20):
            await js.publish(name, b"%d" % i * 100)
        meta, archive = await archive_of(nc, name)
        await js.delete_stream(name)
        damaged = archive[:500] + bytes([archive[500] ^ 1]) + archive[501:]
        foreign = archive[:10] + b"\x00" + archive[11:]
        for bad, word in [(damaged, "damaged"), (archive[:-10], "too early"), (archive + b"x", "other bytes"), (foreign, "no archive"), (b"", "too early")]:
            told = await restored(nc, meta, bad)
            assert told["error"]["err_code"] == 10062 and word in told["error"]["description"], told
            assert not await is_there(js, name)
        assert "error" not in await restored(nc, meta, archive)
        error = (await asked(nc, f"SNAPSHOT.{name}", deliver_subject="a.*"))["error"]
        assert error["err_code"] == 10015
        assert (await asked(nc, f"SNAPSHOT.{name}x", deliver_subject="a"))["error"]["err_code"] == 10059
