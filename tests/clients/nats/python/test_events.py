"""What the broker tells of itself: requests of the API, what they did, how long acknowledgements took; consumers that begin anew."""

import json

import pytest
from conftest import client
from nats.js import api
from nats.js.errors import APIError
from test_consumers import filled, numbers
from test_streams import made


async def asked(nc, subject, body=None):
    said = await nc.request(f"$JS.API.{subject}", json.dumps(body).encode() if body is not None else b"", timeout=5)
    return json.loads(said.data)


async def told(sub):
    return json.loads((await sub.next_msg(5)).data)


async def test_requests_are_heard_by_who_listens(name):
    async with client() as nc, client() as other:
        sub = await other.subscribe("$JS.API.STREAM.INFO.*")
        await other.flush()
        await made(nc, name)
        assert (await asked(nc, f"STREAM.INFO.{name}", {"deleted_details": True}))["config"]["name"] == name
        heard = await sub.next_msg(5)
        assert heard.subject == f"$JS.API.STREAM.INFO.{name}" and heard.reply
        assert json.loads(heard.data) == {"deleted_details": True}


async def test_what_requests_did_is_told(name):
    async with client() as nc, client() as other:
        streams = await other.subscribe(f"$JS.EVENT.ADVISORY.STREAM.*.{name}")
        consumers = await other.subscribe(f"$JS.EVENT.ADVISORY.CONSUMER.*.{name}.d")
        await other.flush()
        js = await made(nc, name)
        await js.update_stream(name=name, subjects=[f"{name}.>"], max_msgs=9)
        await js.add_consumer(name, durable_name="d", ack_policy="explicit")
        await js.add_consumer(name, durable_name="d", ack_policy="explicit")
        await asked(nc, f"CONSUMER.PAUSE.{name}.d", {"pause_until": "2100-01-01T00:00:00Z"})
        await js.delete_consumer(name, "d")
        await js.delete_stream(name)
        of_streams = [await told(streams) for _ in range(3)]
        assert [one["action"] for one in of_streams] == ["create", "modify", "delete"]
        assert {one["type"] for one in of_streams} == {"io.nats.jetstream.advisory.v1.stream_action"}
        of_consumers = [await told(consumers) for _ in range(3)]
        assert [one.get("action", one["type"]) for one in of_consumers] == ["create", "io.nats.jetstream.advisory.v1.consumer_pause", "delete"]
        assert of_consumers[1]["paused"] is True


async def test_requests_are_audited(name):
    async with client() as nc, client(name="auditor") as other:
        sub = await other.subscribe("$JS.EVENT.ADVISORY.API")
        await other.flush()
        await asked(nc, f"STREAM.INFO.{name}", {"offset": 1})
        while (audit := await told(sub))["subject"] != f"$JS.API.STREAM.INFO.{name}":
            pass
        assert json.loads(audit["request"]) == {"offset": 1}
        assert json.loads(audit["response"])["error"]["err_code"] == 10059
        assert audit["client"]["lang"] == "python3" and audit["client"]["host"] and audit["server"]


async def test_samples_of_acknowledgements(name):
    async with client() as nc:
        js = await filled(nc, name, 10)
        sub = await nc.subscribe(f"$JS.EVENT.METRIC.CONSUMER.ACK.{name}.d")
        pull = await js.pull_subscribe(f"{name}.>", durable="d", config=api.ConsumerConfig(sample_freq="100%"))
        for message in await pull.fetch(10, timeout=5):
            await message.ack_sync()
        samples = [await told(sub) for _ in range(10)]
        assert [one["stream_seq"] for one in samples] == list(range(1, 11))
        assert all(one["deliveries"] == 1 and one["ack_time"] >= 0 and one["consumer"] == "d" for one in samples)
        with pytest.raises(APIError) as error:
            await js.add_consumer(name, durable_name="e", sample_freq="often")
        assert error.value.err_code == 10095


async def test_a_consumer_begins_anew(name):
    async with client() as nc:
        js = await filled(nc, name, 5)
        pull = await js.pull_subscribe(f"{name}.>", durable="d")
        for message in (await pull.fetch(5, timeout=5))[:2]:
            await message.ack_sync()
        said = await asked(nc, f"CONSUMER.RESET.{name}.d")
        assert (said["reset_seq"], said["num_ack_pending"], said["num_pending"]) == (3, 0, 3)
        assert numbers(await pull.fetch(3, timeout=5)) == [2, 3, 4]
        said = await asked(nc, f"CONSUMER.RESET.{name}.d", {"seq": 2})
        assert (said["reset_seq"], said["delivered"]["stream_seq"]) == (2, 1)
        again = await pull.fetch(4, timeout=5)
        assert numbers(again) == [1, 2, 3, 4] and again[0].metadata.sequence.consumer == 1
        await js.add_consumer(name, durable_name="late", deliver_policy="by_start_sequence", opt_start_seq=3)
        said = await asked(nc, f"CONSUMER.RESET.{name}.late", {"seq": 1})
        assert said["error"]["err_code"] == 10204


async def test_a_stream_limits_its_consumers(name):
    async with client() as nc:
        js = await made(nc, name)
        before = (await js.account_info()).consumers
        config = {"name": name, "subjects": [f"{name}.>"], "consumer_limits": {"max_ack_pending": 5, "inactive_threshold": 60_000_000_000}}
        assert "error" not in await asked(nc, f"STREAM.UPDATE.{name}", config)
        info = await js.add_consumer(name, durable_name="open", ack_policy="explicit")
        assert (info.config.max_ack_pending, info.config.inactive_threshold) == (5, 60)
        for more, number in (({"max_ack_pending": 6}, 10121), ({"inactive_threshold": 61.0}, 10153)):
            with pytest.raises(APIError) as error:
                await js.add_consumer(name, durable_name="over", ack_policy="explicit", **more)
            assert error.value.err_code == number
        config["consumer_limits"] = {"max_ack_pending": 4}
        said = await asked(nc, f"STREAM.UPDATE.{name}", config)
        assert said["error"]["err_code"] == 10069 and said["error"]["description"].endswith("open")
        assert (await js.account_info()).consumers == before + 1
        await js.delete_consumer(name, "open")
        assert "error" not in await asked(nc, f"STREAM.UPDATE.{name}", config)
