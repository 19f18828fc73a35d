"""Batches that are stored together or not at all, and counters."""

import json

import pytest
from conftest import client, until
from nats.js.errors import APIError, NotFoundError
from test_streams import made


async def sent(nc, subject, body=b"", **headers):
    """Publishes and gives the acknowledgement as JSON; None if it is empty."""
    headers = {"Nats-" + name.replace("_", "-"): str(value) for name, value in headers.items()}
    ack = await nc.request(subject, body, headers=headers, timeout=5)
    return json.loads(ack.data) if ack.data else None


async def count(js, name):
    return (await js.stream_info(name)).state.messages


async def test_a_batch_is_told_as_one(name):
    async with client() as nc:
        js = await made(nc, name, allow_atomic=True)
        assert await sent(nc, f"{name}.a", b"1", Batch_Id="b1", Batch_Sequence=1) is None
        assert await sent(nc, f"{name}.b", b"2", Batch_Id="b1", Batch_Sequence=2) is None
        assert await count(js, name) == 0
        ack = await sent(nc, f"{name}.c", b"3", Batch_Id="b1", Batch_Sequence=3, Batch_Commit=1)
        assert ack == {"stream": name, "seq": 3, "batch": "b1", "count": 3}
        assert [(await js.get_msg(name, seq)).data for seq in (1, 2, 3)] == [b"1", b"2", b"3"]
        await sent(nc, f"{name}.a", b"4", Batch_Id="b2", Batch_Sequence=1)
        ack = await sent(nc, f"{name}.a", b"none", Batch_Id="b2", Batch_Sequence=2, Batch_Commit="eob")
        assert ack == {"stream": name, "seq": 4, "batch": "b2", "count": 1}
        assert await count(js, name) == 4


async def test_what_breaks_a_batch(name):
    async with client() as nc:
        js = await made(nc, name, allow_atomic=True)

        async def refused(number, *args, **headers):
            ack = await sent(nc, *args, **headers)
            assert ack["error"]["err_code"] == number, ack

        await refused(10176, f"{name}.a", Batch_Id="b", Batch_Sequence=2)
        await refused(10175, f"{name}.a", Batch_Id="b")
        await refused(10179, f"{name}.a", Batch_Id="b" * 65, Batch_Sequence=1)
        await refused(10199, f"{name}.a", Batch_Id="b", Batch_Sequence=1001)
        await sent(nc, f"{name}.a", Batch_Id="b", Batch_Sequence=1)
        await refused(10176, f"{name}.a", Batch_Id="b", Batch_Sequence=3)
        await sent(nc, f"{name}.a", Batch_Id="b", Batch_Sequence=1)
        await refused(10200, f"{name}.a", Batch_Id="b", Batch_Sequence=2, Batch_Commit="yes")
        await sent(nc, f"{name}.a", Batch_Id="b", Batch_Sequence=1)
        await refused(10071, f"{name}.b", Batch_Id="b", Batch_Sequence=2, Batch_Commit=1, Expected_Last_Subject_Sequence=4)
        await sent(nc, f"{name}.a", Batch_Id="b", Batch_Sequence=1, Msg_Id="i")
        await refused(10201, f"{name}.b", Batch_Id="b", Batch_Sequence=2, Batch_Commit=1, Msg_Id="i")
        await sent(nc, f"{name}.a", Batch_Id="b", Batch_Sequence=1)
        await refused(10177, f"{name}.b", Batch_Id="b", Batch_Sequence=2, Batch_Commit=1, Expected_Last_Msg_Id="i")
        assert await count(js, name) == 0
        await made(nc, name + "x")
        await refused(10174, f"{name}x.a", Batch_Id="b", Batch_Sequence=1)


async def test_a_batch_expects_what_was_before_it(name):
    async with client() as nc:
        js = await made(nc, name, allow_atomic=True)
        await js.publish(f"{name}.a", b"1")
        await sent(nc, f"{name}.b", b"2", Batch_Id="b", Batch_Sequence=1, Expected_Last_Sequence=1)
        ack = await sent(nc, f"{name}.a", b"3", Batch_Id="b", Batch_Sequence=2, Batch_Commit=1, Expected_Last_Subject_Sequence=1)
        assert (ack["seq"], ack["count"]) == (3, 2)
        await sent(nc, f"{name}.a", b"4", Batch_Id="b", Batch_Sequence=1)
        ack = await sent(nc, f"{name}.a", b"5", Batch_Id="b", Batch_Sequence=2, Batch_Commit=1, Expected_Last_Subject_Sequence=3)
        assert ack["error"]["err_code"] == 10164
        assert await count(js, name) == 3


async def test_counters_add(name):
    async with client() as nc:
        js = await made(nc, name, allow_msg_counter=True, allow_direct=True)
        assert await sent(nc, f"{name}.a", Incr=5) == {"stream": name, "seq": 1, "val": "5"}
        assert await sent(nc, f"{name}.a", Incr="-12") == {"stream": name, "seq": 2, "val": "-7"}
        assert await sent(nc, f"{name}.b", Incr="+1") == {"stream": name, "seq": 3, "val": "1"}
        large = 10 ** 60
        assert (await sent(nc, f"{name}.a", Incr=large))["val"] == str(large - 7)
        last = await js.get_last_msg(name, f"{name}.a")
        assert (json.loads(last.data), last.headers["Nats-Incr"]) == ({"val": str(large - 7)}, str(large))


async def test_what_counters_refuse(name):
    async with client() as nc:
        await made(nc, name, allow_msg_counter=True)
        for number, body, headers in [(10169, b"", {}), (10170, b"x", {"Incr": 1}), (10171, b"", {"Incr": "1.5"}),
                                      (10171, b"", {"Incr": 1, "Expected_Last_Sequence": 0})]:
            ack = await sent(nc, f"{name}.a", body, **headers)
            assert ack["error"]["err_code"] == number, (ack, headers)
        await made(nc, name + "x")
        assert (await sent(nc, f"{name}x.a", Incr=1))["error"]["err_code"] == 10168
        with pytest.raises(APIError):
            await nc.jetstream().update_stream(name=name, subjects=[f"{name}.>"], allow_msg_counter=False)


async def test_counters_of_sources_are_added_up(name):
    async with client() as nc:
        js = nc.jetstream()

        async def counter(stream, **config):
            body = json.dumps({"name": stream, "allow_msg_counter": True, "allow_direct": True, **config}).encode()
            made = json.loads((await nc.request(f"$JS.API.STREAM.CREATE.{stream}", body, timeout=5)).data)
            assert "error" not in made, made

        for place in "ab":
            await counter(name + place, subjects=[f"{name}.{place}.*"])
        moved = [{"src": f"{name}.*.*", "dest": f"{name}.all.{{{{wildcard(2)}}}}"}]
        await counter(name, subjects=[f"{name}.all.*"], sources=[{"name": name + place, "subject_transforms": moved} for place in "ab"])
        for place, add in [("a", 5), ("b", 7), ("a", -2), ("a", 10), ("b", 1)]:
            await sent(nc, f"{name}.{place}.x", Incr=add)

        async def value():
            last = await js.get_last_msg(name, f"{name}.all.x")
            return last if json.loads(last.data)["val"] == "21" else None

        async def is_there():
            try:
                return await value()
            except NotFoundError:
                return None

        last = await until(is_there)
        sources = json.loads(last.headers["Nats-Counter-Sources"])
        assert sources == {name + "a": {f"{name}.a.x": "13"}, name + "b": {f"{name}.b.x": "8"}}
        ack = await sent(nc, f"{name}.all.x", Incr=100)
        assert ack["val"] == "121"
        own = await js.get_last_msg(name, f"{name}.all.x")
        assert json.loads(own.headers["Nats-Counter-Sources"]) == sources and own.headers["Nats-Incr"] == "100"
        await sent(nc, f"{name}.b.x", Incr=-8)

        async def went_down():
            last = await js.get_last_msg(name, f"{name}.all.x")
            return json.loads(last.data)["val"] == "113" and last.headers["Nats-Incr"] == "-8"

        await until(went_down)
