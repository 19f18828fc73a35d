"""Streams that take from streams, by nats-py: mirrors, sources, republished copies, delete markers, first sequences; over kills."""

import asyncio
import json
import time

import pytest
from conftest import client, until
from nats.js import api
from nats.js.errors import APIError, BadRequestError


async def made(nc, name, **config):
    await nc.jetstream().add_stream(name=name, **config)
    return nc.jetstream()


async def asked(nc, verb, **body):
    """A request of the API, for what this client has no words for."""
    message = await nc.request(f"$JS.API.STREAM.{verb}", json.dumps(body).encode(), timeout=5)
    return json.loads(message.data)


async def all_of(js, name):
    """Sequences, subjects and bodies of all messages of a stream."""
    state = (await js.stream_info(name)).state
    got = []
    for sequence in range(state.first_seq, state.last_seq + 1):
        try:
            message = await js.get_msg(name, sequence)
            got.append((sequence, message.subject, message.data))
        except APIError:
            pass
    return got


async def has(js, name, count):
    async def is_there():
        return (await js.stream_info(name)).state.messages == count

    await until(is_there)


async def test_a_mirror_is_the_same_and_is_told_of(name):
    async with client() as nc:
        js = await made(nc, name, subjects=[f"{name}.>"])
        for i in range(20):
            await js.publish(f"{name}.{i % 3}", b"%d" % i)
        await js.delete_msg(name, 4)
        await js.add_stream(name=name + "m", mirror=api.StreamSource(name=name))
        await has(js, name + "m", 19)
        assert await all_of(js, name + "m") == await all_of(js, name)
        info = await asked(nc, f"INFO.{name}m")
        assert (info["mirror"]["name"], info["mirror"]["lag"]) == (name, 0) and info["mirror"]["active"] >= 0
        origin, copy = await js.get_msg(name, 7), await js.get_msg(name + "m", 7)
        assert (origin.time, origin.headers) == (copy.time, copy.headers)
        # What the origin gives up stays; consumers read it as any other stream.
        await js.purge_stream(name)
        sub = await js.pull_subscribe(f"{name}.1", stream=name + "m")
        assert len(await sub.fetch(6, timeout=5)) == 6


async def test_what_a_mirror_cannot_be(name):
    async with client() as nc:
        js = await made(nc, name, subjects=[f"{name}.>"])
        for body, number in [
            ({"subjects": ["x"], "mirror": {"name": name}}, 10034),
            ({"sources": [{"name": name}], "mirror": {"name": name}}, 10031),
            ({"mirror": {"name": "a.b"}}, 10142),
            ({"mirror": {"name": name, "filter_subject": "a", "subject_transforms": [{"src": "a", "dest": "b"}]}}, 10150),
            ({"sources": [{"name": name}, {"name": name}]}, 10140),
            ({"sources": [{"name": name, "subject_transforms": [{"src": "a.*", "dest": "b.$2"}]}]}, 10146),
            ({"sources": [{"name": name + "x"}]}, 10052),
        ]:
            assert (await asked(nc, f"CREATE.{name}x", name=name + "x", **body))["error"]["err_code"] == number, body
        await js.add_stream(name=name + "m", mirror=api.StreamSource(name=name))
        other = await asked(nc, f"UPDATE.{name}m", name=name + "m", mirror={"name": name, "filter_subject": "a"})
        assert other["error"]["err_code"] == 10055


async def test_a_mirror_is_promoted(name):
    async with client() as nc:
        js = await made(nc, name, subjects=[f"{name}.>"])
        await js.publish(f"{name}.a", b"1")
        await js.add_stream(name=name + "m", mirror=api.StreamSource(name=name))
        await has(js, name + "m", 1)
        assert "error" not in await asked(nc, f"UPDATE.{name}m", name=name + "m", subjects=[f"{name}own.>"])
        assert (await js.publish(f"{name}own.a", b"2")).seq == 2
        await js.publish(f"{name}.a", b"not copied any more")
        assert [one[2] for one in await all_of(js, name + "m")] == [b"1", b"2"]


async def test_sources_are_told_apart_and_changed(name):
    async with client() as nc:
        js = nc.jetstream()
        for end in "abc":
            await js.add_stream(name=name + end, subjects=[f"{name}{end}.>"])
            await js.publish(f"{name}{end}.x", end.encode())
        to = api.SubjectTransform(src=f"{name}a.>", dest=f"{name}all.a.>")
        sources = [api.StreamSource(name=name + "a", subject_transforms=[to]), api.StreamSource(name=name + "b", filter_subject=f"{name}b.x")]
        await js.add_stream(name=name, subjects=[f"{name}own"], sources=sources)
        await has(js, name, 2)
        await js.publish(f"{name}own", b"own")
        got = sorted((one[1], one[2]) for one in await all_of(js, name))
        assert got == [(f"{name}all.a.x", b"a"), (f"{name}b.x", b"b"), (f"{name}own", b"own")]
        first = await js.get_last_msg(name, f"{name}all.a.x")
        assert first.headers["Nats-Stream-Source"].startswith(f"{name}a 1 {name}a.> {name}all.a.> {name}a.x")
        # One goes, one comes; what stays goes on where it was.
        await js.update_stream(name=name, subjects=[f"{name}own"], sources=[sources[1], api.StreamSource(name=name + "c")])
        await has(js, name, 4)
        for end in "abc":
            await js.publish(f"{name}{end}.x", end.encode() * 2)
        await has(js, name, 6)
        assert sorted(one[2] for one in await all_of(js, name)) == [b"a", b"b", b"bb", b"c", b"cc", b"own"]
        info = await asked(nc, f"INFO.{name}")
        assert [(one["name"], one["lag"]) for one in info["sources"]] == [(name + "b", 0), (name + "c", 0)]
        # A source that is made again is followed from its start.
        await js.delete_stream(name + "c")
        await js.add_stream(name=name + "c", subjects=[f"{name}c.>"])
        await js.publish(f"{name}c.x", b"again")
        await has(js, name, 7)


async def test_sources_begin_where_they_are_to(name):
    async with client() as nc:
        js = await made(nc, name, subjects=[name])
        for i in range(4):
            await js.publish(name, b"%d" % i)
        await js.add_stream(name=name + "q", sources=[api.StreamSource(name=name, opt_start_seq=3)])
        await has(js, name + "q", 2)
        await asyncio.sleep(0.05)
        body = {"name": name + "t", "sources": [{"name": name, "opt_start_time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))}]}
        assert "error" not in await asked(nc, f"CREATE.{name}t", **body)
        assert [one[2] for one in await all_of(js, name + "q")] == [b"2", b"3"]
        assert await all_of(js, name + "t") == []


async def test_key_value_buckets_of_others(name):
    async with client() as nc:
        js = nc.jetstream()
        origin = await js.create_key_value(bucket=name)
        await origin.put("key", b"one")
        await js.add_stream(name=f"KV_{name}m", mirror=api.StreamSource(name=f"KV_{name}"), max_msgs_per_subject=1, allow_direct=True, mirror_direct=True)
        to = api.SubjectTransform(src=f"$KV.{name}.>", dest=f"$KV.{name}s.>")
        source = api.StreamSource(name=f"KV_{name}", subject_transforms=[to])
        await js.add_stream(name=f"KV_{name}s", subjects=[f"$KV.{name}s.>"], sources=[source], max_msgs_per_subject=1, allow_direct=True, allow_rollup_hdrs=True)
        await has(js, f"KV_{name}s", 1)
        copy = await js.key_value(name + "s")
        assert (await copy.get("key")).value == b"one"
        await origin.put("key", b"two")

        async def are_two():
            mirrored = await js.get_last_msg(f"KV_{name}m", f"$KV.{name}.key")
            return ((await copy.get("key")).value, mirrored.data) == (b"two", b"two")

        await until(are_two)


async def test_republish_of_headers_and_circles(name):
    async with client() as nc:
        sub = await nc.subscribe(f"{name}re.>")
        js = await made(nc, name, subjects=[f"{name}.>"], republish=api.RePublish(src=f"{name}.*", dest=f"{name}re.$1", headers_only=True))
        for body in [b"12345", b"6"]:
            await js.publish(f"{name}.a", body, headers={"own": "h"})
        first, second = await sub.next_msg(5), await sub.next_msg(5)
        assert (first.subject, first.data, first.headers["Nats-Msg-Size"], first.headers["own"]) == (f"{name}re.a", b"", "5", "h")
        assert first.headers["Nats-Subject"] == f"{name}.a" and "Nats-Time-Stamp" in first.headers
        assert [one.headers["Nats-Last-Sequence"] for one in (first, second)] == ["0", "1"]
        with pytest.raises(APIError) as error:
            await made(nc, name + "b", subjects=[f"{name}b.>"], republish=api.RePublish(src=">", dest=f"{name}b.x.>"))
        assert error.value.err_code == 10052


async def test_republished_messages_are_in_other_streams(name):
    async with client() as nc:
        js = await made(nc, name, subjects=[f"{name}.>"], republish=api.RePublish(src=f"{name}.>", dest=f"{name}re.>"))
        await made(nc, name + "re", subjects=[f"{name}re.>"])
        for body in [b"one", b"two"]:
            await js.publish(f"{name}.a", body, headers={"Nats-Msg-Id": "same" if body == b"one" else "other"})
        await js.publish(f"{name}.b", b"three", headers={"own": "h"})
        await has(js, name + "re", 3)
        assert await all_of(js, name + "re") == [(1, f"{name}re.a", b"one"), (2, f"{name}re.a", b"two"), (3, f"{name}re.b", b"three")]
        last = await js.get_last_msg(name + "re", f"{name}re.b")
        assert last.headers["own"] == "h"
        assert [last.headers[what] for what in ("Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Last-Sequence")] == [name, f"{name}.b", "3", "0"]
        # What it says of itself counts there, too: the stream knows the id.
        again = await js.publish(f"{name}re.a", b"again", headers={"Nats-Msg-Id": "other"})
        assert again.duplicate and again.seq == 2


async def test_a_subject_that_went_is_marked(name):
    async with client() as nc:
        made = await asked(nc, f"CREATE.{name}", name=name, subjects=[f"{name}.>"], subject_delete_marker_ttl=2_000_000_000)
        assert made["config"]["allow_msg_ttl"] and made["config"]["allow_rollup_hdrs"]
        js = nc.jetstream()
        await js.publish(f"{name}.a", b"goes", msg_ttl=2)

        async def is_marked():
            message = await js.get_last_msg(name, f"{name}.a")
            return message.headers is not None and message.headers.get("Nats-Marker-Reason") == "MaxAge" and message.headers["Nats-TTL"] == "2s"

        await until(is_marked, 10)
        await has(js, name, 0)


async def test_a_first_sequence(name):
    async with client() as nc:
        js = nc.jetstream()
        assert "error" not in await asked(nc, f"CREATE.{name}", name=name, subjects=[name], first_seq=1000)
        assert (await js.publish(name, b"x")).seq == 1000
        state = (await js.stream_info(name)).state
        assert (state.first_seq, state.last_seq, state.messages) == (1000, 1000, 1)
        with pytest.raises(BadRequestError):
            await js.add_stream(name=name + "m", mirror=api.StreamSource(name="a b"))


async def test_followers_take_each_once_over_kills(server):
    one = server()
    async with client(one.url) as nc:
        js = await made(nc, "O", subjects=["o.>"])
        await js.add_stream(name="M", mirror=api.StreamSource(name="O"))
        await js.add_stream(name="S", sources=[api.StreamSource(name="O", filter_subject="o.1")])
    written = 0
    for _ in range(3):
        async with client(one.url) as nc:
            js = nc.jetstream()
            for _ in range(30):
                acks = [js.publish(f"o.{i % 2}", b"%d" % (written + i)) for i in range(20)]
                await asyncio.gather(*acks)
                written += 20
        one.restart()
    async with client(one.url) as nc:
        js = nc.jetstream()
        await has(js, "M", written)
        await has(js, "S", written // 2)
        origin = await all_of(js, "O")
        assert await all_of(js, "M") == origin
        assert [message[2] for message in await all_of(js, "S")] == [message[2] for message in origin if message[1] == "o.1"]
