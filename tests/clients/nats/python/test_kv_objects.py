"""Key/Value and Object Store, by nats-py: nothing but streams underneath."""

import asyncio
import io
import os

import pytest
from conftest import client, until
from nats.js import api
from nats.js.errors import BucketNotFoundError, KeyNotFoundError, KeyWrongLastSequenceError, NoKeysError, ObjectNotFoundError


async def test_put_get_delete(name):
    async with client() as nc:
        js = nc.jetstream()
        kv = await js.create_key_value(bucket=name, history=5)
        assert await kv.put("a.b", b"1") == 1
        assert await kv.put("a.b", b"2") == 2
        entry = await kv.get("a.b")
        assert (entry.key, entry.value, entry.revision) == ("a.b", b"2", 2)
        assert (await kv.get("a.b", revision=1)).value == b"1"
        await kv.delete("a.b")
        with pytest.raises(KeyNotFoundError):
            await kv.get("a.b")
        with pytest.raises(KeyNotFoundError):
            await kv.get("other")
        assert [e.operation for e in await kv.history("a.b")] == [None, None, "DEL"]
        assert (await kv.status()).values == 3
        await js.delete_key_value(name)
        with pytest.raises(BucketNotFoundError):
            await js.key_value(name)


async def test_create_and_update_compare(name):
    async with client() as nc:
        kv = await nc.jetstream().create_key_value(bucket=name)
        revision = await kv.create("k", b"1")
        with pytest.raises(KeyWrongLastSequenceError):
            await kv.create("k", b"2")
        with pytest.raises(KeyWrongLastSequenceError):
            await kv.update("k", b"2", last=revision + 7)
        assert await kv.update("k", b"2", last=revision) == revision + 1
        await kv.delete("k")
        await kv.create("k", b"3")
        assert (await kv.get("k")).value == b"3"


async def test_history_purge_keys(name):
    async with client() as nc:
        kv = await nc.jetstream().create_key_value(bucket=name, history=3)
        with pytest.raises(NoKeysError):
            await kv.keys()
        for i in range(6):
            await kv.put("k", b"%d" % i)
        await kv.put("other", b"x")
        assert [e.value for e in await kv.history("k")] == [b"3", b"4", b"5"]
        assert sorted(await kv.keys()) == ["k", "other"]
        await kv.purge("k")
        assert [e.operation for e in await kv.history("k")] == ["PURGE"]
        assert await kv.keys() == ["other"]


async def test_watch(name):
    async with client() as nc:
        kv = await nc.jetstream().create_key_value(bucket=name)
        await kv.put("a.1", b"before")
        watcher = await kv.watch("a.*")
        assert (await watcher.updates(5)).value == b"before"
        assert await watcher.updates(5) is None, "what was there is told"
        await kv.put("a.2", b"after")
        await kv.put("b.1", b"other")
        await kv.delete("a.1")
        assert (await watcher.updates(5)).value == b"after"
        assert (await watcher.updates(5)).operation == "DEL"
        await watcher.stop()


async def test_ttl(name):
    async with client() as nc:
        kv = await nc.jetstream().create_key_value(bucket=name, ttl=1)
        await kv.put("k", b"1")

        async def is_gone():
            try:
                await kv.get("k")
            except KeyNotFoundError:
                return True

        await until(is_gone, 10)


async def test_object(name):
    async with client() as nc:
        js = nc.jetstream()
        store = await js.create_object_store(name)
        data = os.urandom(700_000)
        info = await store.put("a/file name", data)
        assert (info.size, info.chunks) == (len(data), -(-len(data) // 131072))
        got = await store.get("a/file name")
        assert got.data == data and got.info.digest == info.digest
        small = await store.put("small", io.BytesIO(b"x"), meta=api.ObjectMeta(description="d"))
        assert small.size == 1 and (await store.get_info("small")).description == "d"
        assert sorted(one.name for one in await store.list()) == ["a/file name", "small"]
        await store.put("small", b"other")
        assert (await store.get("small")).data == b"other"
        await store.delete("small")
        with pytest.raises(ObjectNotFoundError):
            await store.get("small")
        await js.delete_object_store(name)


async def test_object_watch_and_seal(name):
    async with client() as nc:
        store = await nc.jetstream().create_object_store(name)
        await store.put("one", b"1")
        watcher = await store.watch()
        assert (await watcher.updates(5)).name == "one"
        await asyncio.sleep(0.1)
        await store.seal()
        with pytest.raises(Exception):
            await store.put("two", b"2")
