"""Streams, by nats-py: what they keep, refuse, deduplicate, and tell."""

import asyncio
import json
import time

import pytest
from conftest import client, until
from nats.js import api
from nats.js.errors import APIError, BadRequestError, NotFoundError


async def made(nc, name, subjects=None, **config):
    await nc.jetstream().add_stream(name=name, subjects=subjects or [f"{name}.>"], **config)
    return nc.jetstream()


async def test_publish_and_read_back(name):
    async with client() as nc:
        js = await made(nc, name)
        acks = [await js.publish(f"{name}.{i}", b"%d" % i, headers={"h": str(i)}) for i in range(1, 6)]
        assert [(a.stream, a.seq, a.duplicate) for a in acks] == [(name, i, None) for i in range(1, 6)]
        message = await js.get_msg(name, 3)
        assert (message.subject, message.data, message.headers["h"], message.seq) == (f"{name}.3", b"3", "3", 3)
        assert (await js.get_last_msg(name, f"{name}.5")).seq == 5
        info = await js.stream_info(name)
        assert (info.state.messages, info.state.first_seq, info.state.last_seq) == (5, 1, 5)
        with pytest.raises(NotFoundError):
            await js.get_msg(name, 9)


async def test_create_again_update_delete(name):
    async with client() as nc:
        js = await made(nc, name)
        await js.add_stream(name=name, subjects=[f"{name}.>"])
        with pytest.raises(BadRequestError) as error:
            await js.add_stream(name=name, subjects=[f"{name}.other"])
        assert error.value.err_code == 10058
        info = await js.update_stream(name=name, subjects=[f"{name}.>"], max_msgs=2)
        assert info.config.max_msgs == 2
        with pytest.raises(NotFoundError) as error:
            await js.stream_info(name + "x")
        assert error.value.err_code == 10059
        assert await js.delete_stream(name)
        with pytest.raises(NotFoundError):
            await js.stream_info(name)


async def test_overlapping_subjects_are_refused(name):
    async with client() as nc:
        js = await made(nc, name)
        with pytest.raises(BadRequestError) as error:
            await js.add_stream(name=name + "b", subjects=[f"{name}.a"])
        assert error.value.err_code == 10065


async def test_names_and_list(name):
    async with client() as nc:
        js = await made(nc, name)
        assert await js.find_stream_name_by_subject(f"{name}.a") == name
        assert name in [info.config.name for info in await js.streams_info()]


async def test_max_msgs_discard_old(name):
    async with client() as nc:
        js = await made(nc, name, max_msgs=3)
        for i in range(5):
            await js.publish(f"{name}.a", b"%d" % i)
        state = (await js.stream_info(name)).state
        assert (state.messages, state.first_seq, state.last_seq) == (3, 3, 5)


async def test_max_msgs_discard_new(name):
    async with client() as nc:
        js = await made(nc, name, max_msgs=2, discard=api.DiscardPolicy.NEW)
        await js.publish(f"{name}.a", b"1")
        await js.publish(f"{name}.a", b"2")
        with pytest.raises(APIError) as error:
            await js.publish(f"{name}.a", b"3")
        assert error.value.err_code == 10077


async def test_max_bytes(name):
    async with client() as nc:
        js = await made(nc, name, max_bytes=2000)
        for _ in range(10):
            await js.publish(f"{name}.a", b"x" * 400)
        state = (await js.stream_info(name)).state
        assert 2 <= state.messages <= 5 and state.bytes <= 2000 and state.last_seq == 10


async def test_max_msg_size(name):
    async with client() as nc:
        js = await made(nc, name, max_msg_size=10)
        await js.publish(f"{name}.a", b"x" * 10)
        with pytest.raises(APIError) as error:
            await js.publish(f"{name}.a", b"x" * 11)
        assert error.value.err_code == 10054


async def test_max_age(name):
    async with client() as nc:
        js = await made(nc, name, max_age=1, duplicate_window=1)
        await js.publish(f"{name}.a", b"x")
        assert (await js.stream_info(name)).state.messages == 1

        async def is_empty():
            return (await js.stream_info(name)).state.messages == 0

        await until(is_empty, 10)


async def test_max_msgs_per_subject(name):
    async with client() as nc:
        js = await made(nc, name, max_msgs_per_subject=2)
        for i in range(4):
            await js.publish(f"{name}.a", b"a%d" % i)
            await js.publish(f"{name}.b", b"b%d" % i)
        info = await js.stream_info(name, subjects_filter=">")
        assert info.state.messages == 4 and info.state.subjects == {f"{name}.a": 2, f"{name}.b": 2}
        assert (await js.get_msg(name, info.state.first_seq)).data == b"a2"


async def test_discard_new_per_subject(name):
    async with client() as nc:
        js = await made(nc, name, max_msgs_per_subject=1, discard=api.DiscardPolicy.NEW, discard_new_per_subject=True)
        await js.publish(f"{name}.a", b"1")
        await js.publish(f"{name}.b", b"1")
        with pytest.raises(APIError):
            await js.publish(f"{name}.a", b"2")


async def test_duplicates(name):
    async with client() as nc:
        js = await made(nc, name, duplicate_window=60)
        first = await js.publish(f"{name}.a", b"1", headers={"Nats-Msg-Id": "one"})
        again = await js.publish(f"{name}.a", b"1", headers={"Nats-Msg-Id": "one"})
        other = await js.publish(f"{name}.a", b"1", headers={"Nats-Msg-Id": "two"})
        assert (first.seq, again.seq, again.duplicate, other.seq, other.duplicate) == (1, 1, True, 2, None)
        assert (await js.stream_info(name)).state.messages == 2


async def test_duplicates_are_forgotten(name):
    async with client() as nc:
        js = await made(nc, name, duplicate_window=0.2)
        await js.publish(f"{name}.a", b"1", headers={"Nats-Msg-Id": "one"})
        await asyncio.sleep(0.7)
        ack = await js.publish(f"{name}.a", b"1", headers={"Nats-Msg-Id": "one"})
        assert ack.seq == 2 and not ack.duplicate


@pytest.mark.parametrize("header, right, wrong, code", [
    ("Nats-Expected-Stream", "NAME", "other", 10060),
    ("Nats-Expected-Last-Sequence", "2", "7", 10071),
    ("Nats-Expected-Last-Subject-Sequence", "1", "2", 10071),
    ("Nats-Expected-Last-Msg-Id", "second", "first", 10070),
])
async def test_expectations(name, header, right, wrong, code):
    async with client() as nc:
        js = await made(nc, name)
        await js.publish(f"{name}.a", b"1", headers={"Nats-Msg-Id": "first"})
        await js.publish(f"{name}.b", b"2", headers={"Nats-Msg-Id": "second"})
        with pytest.raises(APIError) as error:
            await js.publish(f"{name}.a", b"x", headers={header: wrong})
        assert error.value.err_code == code
        ack = await js.publish(f"{name}.a", b"x", headers={header: name if right == "NAME" else right})
        assert ack.seq == 3


async def test_expected_last_subject_sequence_of_none(name):
    async with client() as nc:
        js = await made(nc, name)
        await js.publish(f"{name}.a", b"1", headers={"Nats-Expected-Last-Subject-Sequence": "0"})
        with pytest.raises(APIError):
            await js.publish(f"{name}.a", b"1", headers={"Nats-Expected-Last-Subject-Sequence": "0"})


async def test_rollup(name):
    async with client() as nc:
        js = await made(nc, name, allow_rollup_hdrs=True)
        for i in range(3):
            await js.publish(f"{name}.a", b"%d" % i)
            await js.publish(f"{name}.b", b"%d" % i)
        await js.publish(f"{name}.a", b"sum", headers={"Nats-Rollup": "sub"})
        assert (await js.stream_info(name, subjects_filter=">")).state.subjects == {f"{name}.a": 1, f"{name}.b": 3}
        await js.publish(f"{name}.c", b"all", headers={"Nats-Rollup": "all"})
        state = (await js.stream_info(name)).state
        assert (state.messages, state.first_seq, state.last_seq) == (1, 8, 8)


async def test_purge(name):
    async with client() as nc:
        js = await made(nc, name)
        for i in range(10):
            await js.publish(f"{name}.{'ab'[i % 2]}", b"%d" % i)
        await js.purge_stream(name, subject=f"{name}.a", keep=1)
        assert (await js.stream_info(name, subjects_filter=">")).state.subjects == {f"{name}.a": 1, f"{name}.b": 5}
        await js.purge_stream(name, seq=9)
        assert (await js.stream_info(name)).state.first_seq == 9
        await js.purge_stream(name)
        state = (await js.stream_info(name)).state
        assert (state.messages, state.first_seq, state.last_seq) == (0, 11, 10)


async def test_delete_a_message(name):
    async with client() as nc:
        js = await made(nc, name)
        for i in range(3):
            await js.publish(f"{name}.a", b"%d" % i)
        assert await js.delete_msg(name, 2)
        with pytest.raises(NotFoundError):
            await js.get_msg(name, 2)
        state = (await js.stream_info(name)).state
        assert (state.messages, state.num_deleted) == (2, 1)
        with pytest.raises(APIError):
            await js.delete_msg(name, 2)


async def test_deny_delete_purge_and_sealed(name):
    async with client() as nc:
        js = await made(nc, name, deny_delete=True, deny_purge=True)
        await js.publish(f"{name}.a", b"1")
        with pytest.raises(APIError) as error:
            await js.delete_msg(name, 1)
        assert error.value.err_code == 10057
        with pytest.raises(APIError):
            await js.purge_stream(name)
        await js.update_stream(name=name, subjects=[f"{name}.>"], deny_delete=True, deny_purge=True, sealed=True)
        with pytest.raises(APIError):
            await js.publish(f"{name}.a", b"2")


async def test_direct_get(name):
    async with client() as nc:
        js = await made(nc, name, allow_direct=True)
        for i in range(3):
            await js.publish(f"{name}.a", b"%d" % i, headers={"n": str(i)})
        one = await js.get_msg(name, 2, direct=True)
        assert (one.data, one.seq, one.subject, one.headers["n"]) == (b"1", 2, f"{name}.a", "1")
        last = await js.get_last_msg(name, f"{name}.a", direct=True)
        assert (last.data, last.seq) == (b"2", 3)
        with pytest.raises(NotFoundError):
            await js.get_msg(name, 9, direct=True)


@pytest.mark.parametrize("retention", [api.RetentionPolicy.WORK_QUEUE, api.RetentionPolicy.INTEREST])
async def test_retention_by_acknowledgement(name, retention):
    async with client() as nc:
        js = await made(nc, name, retention=retention)
        if retention == api.RetentionPolicy.INTEREST:
            await js.publish(f"{name}.a", b"nobody")
            assert (await js.stream_info(name)).state.messages == 0
        sub = await js.pull_subscribe(f"{name}.a", durable="d")
        for i in range(5):
            await js.publish(f"{name}.a", b"%d" % i)
        for message in await sub.fetch(5, timeout=5):
            await message.ack_sync()

        async def is_empty():
            return (await js.stream_info(name)).state.messages == 0

        await until(is_empty)


async def test_work_queue_has_one_consumer_of_a_subject(name):
    async with client() as nc:
        js = await made(nc, name, retention=api.RetentionPolicy.WORK_QUEUE)
        await js.pull_subscribe(f"{name}.a", durable="one")
        with pytest.raises(APIError) as error:
            await js.add_consumer(name, durable_name="two", filter_subject=f"{name}.a", ack_policy=api.AckPolicy.EXPLICIT)
        assert error.value.err_code == 10100


async def test_mirror_and_source(name):
    async with client() as nc:
        js = await made(nc, name)
        for i in range(5):
            await js.publish(f"{name}.{'ab'[i % 2]}", b"%d" % i)
        await js.add_stream(name=name + "m", mirror=api.StreamSource(name=name))
        await js.add_stream(name=name + "s", sources=[api.StreamSource(name=name, filter_subject=f"{name}.b")])

        async def are_copied():
            states = [(await js.stream_info(name + end)).state.messages for end in "ms"]
            return states == [5, 2]

        await until(are_copied)
        await js.publish(f"{name}.b", b"more")

        async def more():
            return (await js.stream_info(name + "m")).state.last_seq == 6

        await until(more)


async def test_republish(name):
    async with client() as nc:
        sub = await nc.subscribe(f"{name}re.>")
        js = await made(nc, name, republish=api.RePublish(src=f"{name}.>", dest=f"{name}re.>"))
        await js.publish(f"{name}.a", b"x")
        message = await sub.next_msg(5)
        assert (message.subject, message.data) == (f"{name}re.a", b"x")
        assert message.headers["Nats-Stream"] == name and message.headers["Nats-Sequence"] == "1"


async def test_subject_transform(name):
    async with client() as nc:
        js = await made(nc, name, subject_transform=api.SubjectTransform(src=f"{name}.*", dest=f"{name}.to.{{{{wildcard(1)}}}}"))
        await js.publish(f"{name}.a", b"x")
        assert (await js.get_msg(name, 1)).subject == f"{name}.to.a"


async def test_message_ttl(name):
    async with client() as nc:
        js = await made(nc, name, allow_msg_ttl=True)
        await js.publish(f"{name}.a", b"gone", msg_ttl=1)
        await js.publish(f"{name}.b", b"stays")

        async def is_gone():
            return (await js.stream_info(name)).state.messages == 1

        await until(is_gone, 10)


async def test_counter(name):
    async with client() as nc:
        js = await made(nc, name, allow_msg_counter=True, allow_direct=True)
        for step in ("1", "5", "-2"):
            await js.publish(f"{name}.c", headers={"Nats-Incr": step})
        assert (await js.get_last_msg(name, f"{name}.c")).data == b'{"val":"4"}'


async def test_atomic_batch(name):
    async with client() as nc:
        js = await made(nc, name, allow_atomic=True)
        batch = {"Nats-Batch-Id": "b1"}
        await nc.request(f"{name}.a", b"1", headers={**batch, "Nats-Batch-Sequence": "1"}, timeout=5)
        await nc.publish(f"{name}.b", b"2", headers={**batch, "Nats-Batch-Sequence": "2"})
        assert (await js.stream_info(name)).state.messages == 0
        ack = await nc.request(f"{name}.c", b"3", headers={**batch, "Nats-Batch-Sequence": "3", "Nats-Batch-Commit": "1"}, timeout=5)
        assert b'"seq":3' in ack.data.replace(b" ", b"")
        assert (await js.stream_info(name)).state.messages == 3


async def test_schedule(name):
    async with client() as nc:
        js = await made(nc, name, allow_msg_schedules=True, allow_rollup_hdrs=True)
        at = time.strftime("@at %Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
        await js.publish(f"{name}.schedule", b"later", headers={"Nats-Schedule": at, "Nats-Schedule-Target": f"{name}.target"})

        async def has_come():
            try:
                return (await js.get_last_msg(name, f"{name}.target")).data == b"later"
            except NotFoundError:
                return False

        await until(has_come, 10)


async def test_publish_to_no_stream(name):
    async with client() as nc:
        with pytest.raises(Exception, match="no response from stream|NoStream"):
            await nc.jetstream().publish(name, b"x", timeout=2)


async def test_publish_async(name):
    async with client() as nc:
        js = await made(nc, name)
        futures = [await js.publish_async(f"{name}.a", b"%d" % i) for i in range(2000)]
        await asyncio.wait_for(js.publish_async_completed(), 20)
        assert sorted([(await future).seq for future in futures]) == list(range(1, 2001))


async def test_account_info(name):
    async with client() as nc:
        await made(nc, name)
        info = await nc.jetstream().account_info()
        assert info.streams >= 1 and info.api.total > 0


async def test_a_rollup_of_wildcards_takes_the_place_of_all(name):
    async with client() as nc:
        js = await made(nc, name, allow_rollup_hdrs=True)
        for subject in ["a.1", "a.2", "b.1"]:
            await js.publish(f"{name}.{subject}", b"x")
        await js.publish(f"{name}.a.*", b"all", headers={"Nats-Rollup": "sub"})
        subjects = (await js.stream_info(name, subjects_filter=">")).state.subjects
        assert subjects == {f"{name}.a.*": 1, f"{name}.b.1": 1}
        with pytest.raises(APIError) as error:
            await js.publish(f"{name}.a.1", b"x", headers={"Nats-Rollup": "odd"})
        assert (error.value.err_code, error.value.description) == (10111, 'rollup value invalid: "odd"')


async def test_what_only_the_server_says_is_refused(name):
    async with client() as nc:
        js = await made(nc, name)
        last_of = {"Nats-Expected-Last-Subject-Sequence-Subject": f"{name}.a"}
        for headers, code in [({"Nats-Stream-Source": "x"}, 10227), ({"Nats-Scheduler": "x"}, 10212), ({"Nats-Schedule-Next": "x"}, 10212), (last_of, 10193), ({"Nats-Expected-Last-Sequence": "x"}, 10071)]:
            with pytest.raises(APIError) as error:
                await js.publish(f"{name}.a", b"x", headers=headers)
            assert error.value.err_code == code, headers


async def test_the_largest_message_is_of_headers_and_body(name):
    async with client() as nc:
        js = await made(nc, name, max_msg_size=40)
        await js.publish(f"{name}.a", b"x" * 40)
        await js.publish(f"{name}.a", b"x" * 20, headers={"A": "b"})
        with pytest.raises(APIError) as error:
            await js.publish(f"{name}.a", b"x" * 30, headers={"A": "b"})
        assert error.value.err_code == 10054


async def test_mirrors_are_as_their_origins(name):
    async with client() as nc:
        js = await made(nc, name, allow_direct=True, max_msg_size=100)
        mirror = await js.add_stream(name=name + "m", mirror=api.StreamSource(name=name))
        assert mirror.config.mirror_direct
        for config, code in [({"mirror": api.StreamSource(name=name), "max_msg_size": 10}, 10030), ({"sources": [api.StreamSource(name=name)], "max_msg_size": 10}, 10046), ({"subjects": [name + "no"], "mirror_direct": True}, 10052)]:
            with pytest.raises(APIError) as error:
                await js.add_stream(name=name + "no", **config)
            assert error.value.err_code == code


async def test_a_stream_is_sealed_later(name):
    async with client() as nc:
        js = await made(nc, name, max_age=1000)
        await js.publish(f"{name}.a", b"x")
        sealed = await js.update_stream(name=name, subjects=[f"{name}.>"], sealed=True)
        config = sealed.config
        assert (config.sealed, config.deny_delete, config.deny_purge, config.discard, config.max_age) == (True, True, True, "new", 0)
        with pytest.raises(APIError) as error:
            await js.add_stream(name=name + "2", subjects=[name + "2"], sealed=True)
        assert error.value.description == "stream configuration for create can not be sealed"


async def test_subjects_by_pages(name):
    count, page = 100_500, 100_000

    async with client() as nc:
        js = await made(nc, name)
        for at in range(0, count, 5_000):
            for number in range(at, min(at + 5_000, count)):
                await nc.publish(f"{name}.{'even' if number % 2 == 0 else 'odd'}.{number:06}", b"")
            await nc.flush()

        async def is_there():
            return (await js.stream_info(name)).state.messages == count

        await until(is_there)

        async def listed(subjects, offset):
            body = json.dumps({"subjects_filter": subjects, "offset": offset}).encode()
            answer = json.loads((await nc.request(f"$JS.API.STREAM.INFO.{name}", body, timeout=20)).data)
            return answer["total"], answer["limit"], sorted(answer["state"].get("subjects", {}))

        total, limit, first = await listed(">", 0)
        assert (total, limit, len(first)) == (count, page, page)
        total, _, rest = await listed(">", page)
        assert (total, len(rest)) == (count, count - page) and first[-1] < rest[0]
        # Without the page before it.
        assert (await listed(">", page))[2] == rest
        total, _, odd = await listed(f"{name}.odd.*", 50_200)
        assert (total, odd) == (count // 2, [f"{name}.odd.{number:06}" for number in range(100_401, count, 2)])
        assert await listed("nothing", 0) == (0, page, [])
