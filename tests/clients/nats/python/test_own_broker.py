"""Brokers of a test's own, started with nats-server's arguments: who may come in, TLS, WebSocket, stops, kills, monitoring."""

import asyncio
import http.client
import json
import signal
import socket
import ssl
import subprocess
import time

import nats
import pytest
from conftest import IS_PEER, SERVER, client, free_port, until
from nats.js.errors import NotFoundError
from nats_wire import Wire


async def is_refused(url, **options):
    errors = []

    async def keep(error):
        errors.append(str(error))

    with pytest.raises(Exception) as error:
        await nats.connect(url, allow_reconnect=False, connect_timeout=3, error_cb=keep, **options)
    return "uthorization" in str(error.value) + "".join(errors)


async def works(nc):
    sub = await nc.subscribe("works")
    await nc.publish("works", b"x")
    return (await sub.next_msg(5)).data == b"x"


@pytest.mark.parametrize("how", ["flags", "config"])
async def test_user_and_password(server, how):
    config = 'authorization { user: ada, password: "s3cret" }'
    one = server(None, "--user", "ada", "--pass", "s3cret") if how == "flags" else server(config)
    async with client(one.url, user="ada", password="s3cret") as nc:
        assert await works(nc)
    assert await is_refused(one.url, user="ada", password="wrong")
    assert await is_refused(one.url)
    with Wire(one.address) as raw:
        assert raw.info.get("auth_required") is True
        raw.send(b'CONNECT {"user":"ada","pass":"no"}\r\n')
        assert raw.line() == b"-ERR 'Authorization Violation'"
        assert raw.is_cut()


async def test_several_users(server):
    one = server('authorization { users: [ { user: a, password: aaa }, { user: b, password: bbb } ] }')
    for user in "ab":
        async with client(one.url, user=user, password=user * 3) as nc:
            assert await works(nc)
    assert await is_refused(one.url, user="a", password="bbb")


PERMISSIONS = """
authorization {
  users = [
    { user: some, password: pw, permissions: {
        publish: { allow: ["a.*", "in.>", "_INBOX.>"], deny: "a.secret" }
        subscribe: { allow: ["in.>", "a.>", "_INBOX.>"], deny: ["in.secret"] } } }
    { user: answers, password: pw, permissions: { subscribe: ["service"], allow_responses: { max: 2, expires: "1m" } } }
    { user: all, password: pw }
  ]
}"""


async def test_permissions_of_subjects(server):
    one = server(PERMISSIONS)
    login = {"pass": "pw"}
    with Wire(one.address, {"user": "some", **login}) as some, Wire(one.address, {"user": "all", **login}) as everyone:
        for subject, may in ((b"a.x", True), (b"a.x.y", False), (b"a.secret", False), (b"b", False)):
            some.send(b"PUB %s 0\r\n\r\n" % subject)
            some.ping(b"PONG" if may else b"-ERR 'Permissions Violation for Publish to \"%s\"'" % subject)
            if not may:
                assert some.line() == b"PONG"
        for sid, (subject, may) in enumerate(((b"in.x", True), (b"in.>", True), (b"a.*", True), (b"in.secret", False), (b">", False), (b"b", False))):
            some.send(b"SUB %s %d\r\n" % (subject, sid))
            some.ping(b"PONG" if may else b"-ERR 'Permissions Violation for Subscription to \"%s\"'" % subject)
            if not may:
                assert some.line() == b"PONG"
        some.send(b"SUB b workers 9\r\n")
        some.ping(b"-ERR 'Permissions Violation for Subscription to \"b\" using queue \"workers\"'")
        assert some.line() == b"PONG"
        # A run of publishes of which one is not allowed: the others are heard. What is denied is not handed to who subscribed to more.
        everyone.send(b"SUB a.> 1\r\n")
        everyone.ping()
        some.send(b"UNSUB 2\r\nPUB a.1 1\r\n1\r\nPUB a.secret 1\r\n2\r\nPUB a.3 1\r\n3\r\n")
        some.ping(b"-ERR 'Permissions Violation for Publish to \"a.secret\"'")
        assert [everyone.message()[4] for _ in range(2)] == [b"1", b"3"]
        assert some.line() == b"PONG"
        everyone.send(b"PUB in.secret 1\r\n4\r\nPUB in.y 1\r\n5\r\n")
        assert some.message()[4] == b"5"


async def test_answers_are_allowed_as_often_as_said(server):
    one = server(PERMISSIONS)
    login = {"pass": "pw"}
    with Wire(one.address, {"user": "answers", **login}) as service, Wire(one.address, {"user": "all", **login}) as everyone:
        service.send(b"SUB service 1\r\nPUB r.1 0\r\n\r\n")
        assert service.line() == b"-ERR 'Permissions Violation for Publish to \"r.1\"'"
        everyone.send(b"SUB r.> 1\r\nPUB service r.1 1\r\nq\r\n")
        assert service.message()[2] == b"r.1"
        service.send(b"PUB r.1 1\r\na\r\nPUB r.1 1\r\nb\r\nPUB r.1 1\r\nc\r\n")
        assert service.line() == b"-ERR 'Permissions Violation for Publish to \"r.1\"'"
        assert [everyone.message()[4] for _ in range(2)] == [b"a", b"b"]


async def test_token(server):
    one = server(None, "--auth", "t0ken")
    async with client(one.url, token="t0ken") as nc:
        assert await works(nc)
    assert await is_refused(one.url, token="other")


async def test_nkey(server, tmp_path):
    import nkeys

    seeds = [nkeys.encode_seed(bytes([i]) * 32, nkeys.PREFIX_BYTE_USER) for i in (7, 8)]
    public = nkeys.from_seed(bytearray(seeds[0])).public_key.decode()
    one = server("authorization { users: [ { nkey: %s } ] }" % public)
    with Wire(one.address) as raw:
        assert raw.info["nonce"]
    paths = []
    for i, seed in enumerate(seeds):
        path = tmp_path / f"seed{i}"
        path.write_bytes(seed)
        paths.append(str(path))
    async with client(one.url, nkeys_seed=paths[0]) as nc:
        assert await works(nc)
    assert await is_refused(one.url, nkeys_seed=paths[1])


async def test_nkeys_are_users_with_their_permissions(server, tmp_path):
    import nkeys

    seeds = [nkeys.encode_seed(bytes([i]) * 32, nkeys.PREFIX_BYTE_USER) for i in (7, 8)]
    keys = [nkeys.from_seed(bytearray(seed)).public_key.decode() for seed in seeds]
    one = server("authorization { users: [ { nkey: %s }, { nkey: %s, permissions: { publish: \"a.>\", subscribe: { deny: \"a.secret\" } } } ] }" % tuple(keys))
    paths = [tmp_path / f"seed{i}" for i in range(2)]
    for path, seed in zip(paths, seeds):
        path.write_bytes(seed)
    errors = []

    async def note(error):
        errors.append(str(error))

    async with client(one.url, nkeys_seed=str(paths[0])) as free, client(one.url, nkeys_seed=str(paths[1]), error_cb=note) as held:
        heard = await free.subscribe(">")
        await free.flush()
        await held.publish("b.1", b"no")
        await held.publish("a.1", b"yes")
        assert (await heard.next_msg(5)).data == b"yes"
        await held.subscribe("a.secret")
        await until(lambda: len(errors) == 2)
        assert "publish" in errors[0].lower() and "b.1" in errors[0] and "a.secret" in errors[1], errors


async def test_silent_ones_are_let_go(server):
    one = server("authorization { user: a, password: b, timeout: 0.5 }")
    with Wire(one.address, timeout_s=10) as raw:
        assert raw.line().startswith(b"-ERR 'Authentication Timeout'")
        assert raw.is_cut()


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """An authority, a server's certificate for localhost, a client's."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=tests", "-days", "2")
    for one in ("localhost", "guest"):
        (folder / "ext").write_text(f"subjectAltName=DNS:{one},IP:127.0.0.1")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{one}.key", "-out", f"{one}.csr", "-subj", f"/CN={one}")
        openssl("x509", "-req", "-in", f"{one}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-out", f"{one}.pem", "-extfile", "ext")
    return folder


def tls_block(folder, more=""):
    return f'tls {{ cert_file: "{folder}/localhost.pem", key_file: "{folder}/localhost.key", ca_file: "{folder}/ca.pem", timeout: 5 {more} }}'


async def test_tls_after_info(server, authority):
    one = server(tls_block(authority))
    context = ssl.create_default_context(cafile=authority / "ca.pem")
    async with client(one.url, tls=context, tls_hostname="localhost") as nc:
        assert await works(nc)
    with Wire(one.address) as raw:
        assert raw.info["tls_required"] is True
        raw.send(b"CONNECT {}\r\nPING\r\n")
        assert raw.is_cut()


async def test_tls_first(server, authority):
    one = server(tls_block(authority, ", handshake_first: true"))
    context = ssl.create_default_context(cafile=authority / "ca.pem")
    async with client(one.url, tls=context, tls_hostname="localhost", tls_handshake_first=True) as nc:
        assert await works(nc)


async def test_tls_wants_a_certificate(server, authority):
    one = server(tls_block(authority, ", verify: true"))
    context = ssl.create_default_context(cafile=authority / "ca.pem")
    with pytest.raises(Exception):
        await nats.connect(one.url, tls=context, tls_hostname="localhost", allow_reconnect=False, connect_timeout=3)
    context.load_cert_chain(authority / "guest.pem", authority / "guest.key")
    async with client(one.url, tls=context, tls_hostname="localhost") as nc:
        assert await works(nc)


async def test_websocket(server):
    port = free_port()
    one = server(f'websocket {{ listen: "127.0.0.1:{port}", no_tls: true }}')
    async with client(f"ws://127.0.0.1:{port}") as web, client(one.url) as plain:
        sub = await plain.subscribe("a")
        await plain.flush()
        await web.publish("a", b"x" * 200_000)
        assert len((await sub.next_msg(5)).data) == 200_000
        assert await works(web)


async def test_max_payload_setting(server):
    one = server("max_payload: 1000")
    async with client(one.url) as nc:
        assert nc.max_payload == 1000
    with Wire(one.address, {}) as raw:
        raw.send(b"PUB a 1001\r\n")
        assert raw.line() == b"-ERR 'Maximum Payload Violation'"


async def test_slow_subscriber_is_cut_and_nobody_waits(server):
    one = server("max_pending: 1MB, write_deadline: \"2s\"")
    slow = Wire(one.address, {})
    slow.send(b"SUB flood 1\r\n")
    slow.ping()
    async with client(one.url) as fast, client(one.url) as sender:
        seen = 0

        async def count(_):
            nonlocal seen
            seen += 1

        await fast.subscribe("flood", cb=count)
        await fast.flush()
        begin = time.monotonic()
        for i in range(2000):
            await sender.publish("flood", b"x" * 20_000)
            if i % 10 == 0:
                await sender.flush(20)
        await sender.flush(20)
        await until(lambda: seen == 2000)
        assert time.monotonic() - begin < 15
        # What it was sent before may still lie in its socket.
        assert slow.is_cut()
        assert await works(sender)


async def test_reconnect_and_subscriptions_go_on(server):
    one = server()
    events = []

    async def lost():
        events.append("lost")

    async def back():
        events.append("back")

    async with client(one.url, disconnected_cb=lost, reconnected_cb=back) as nc:
        sub = await nc.subscribe("a")
        await nc.flush()
        one.restart(signal.SIGKILL)
        await until(lambda: events == ["lost", "back"])
        await nc.publish("a", b"x")
        assert (await sub.next_msg(5)).data == b"x"


async def test_lame_duck(server):
    one = server('lame_duck_duration: "30s", lame_duck_grace_period: "1s"')
    with Wire(one.address, {}) as raw:
        raw.ping()
        subprocess.run([SERVER, "--signal", f"ldm={one.process.pid}"], check=True)
        line = raw.any_line()
        while line and not line.startswith(b"INFO "):
            line = raw.any_line()
        while line.startswith(b"INFO ") and not json.loads(line[5:]).get("ldm"):
            line = raw.any_line()
        assert json.loads(line[5:])["ldm"] is True
        with pytest.raises(OSError):
            socket.create_connection(one.address, 2).close()
            await asyncio.sleep(0.3)
            socket.create_connection(one.address, 2).close()
    one.stop(signal.SIGTERM)


async def test_stop_lets_clients_go(server):
    one = server()
    with Wire(one.address, {}) as raw:
        raw.ping()
        one.stop(signal.SIGTERM)
        assert raw.is_cut()
    assert one.process.returncode is not None


def fetch(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    return answer.status, body if answer.status == 400 else json.loads(body or b"null")


async def test_monitoring(server):
    one = server()
    async with client(one.url, name="watched") as nc:
        await nc.jetstream().add_stream(name="S", subjects=["s.>"])
        await nc.jetstream().publish("s.a", b"12345")
        await nc.subscribe("x.y")
        await nc.flush()
        status, varz = fetch(one.monitor, "/varz")
        assert status == 200
        for key in ("server_id", "version", "port", "max_payload", "start", "now", "uptime", "mem", "cpu", "connections",
                    "total_connections", "in_msgs", "out_msgs", "in_bytes", "out_bytes", "slow_consumers", "subscriptions"):
            assert key in varz, key
        assert varz["connections"] == 1
        # Counts of connections that are open are told a few times a second.
        await until(lambda: fetch(one.monitor, "/varz")[1]["in_msgs"] > 0)
        _, connz = fetch(one.monitor, "/connz?subs=1")
        told = connz["connections"][0]
        assert told["name"] == "watched" and told["subscriptions"] > 0 and told["lang"] == "python3"
        assert fetch(one.monitor, "/subsz")[1]["num_subscriptions"] > 0
        assert fetch(one.monitor, "/healthz") == (200, {"status": "ok"})


async def test_monitoring_lists_subscriptions(server):
    one = server()
    async with client(one.url, name="first") as nc, client(one.url, name="second") as other:
        await nc.subscribe("x.y")
        await nc.subscribe("x.>", queue="q")
        await other.subscribe("z")
        await nc.flush()
        await other.flush()
        connz = lambda query: fetch(one.monitor, "/connz?" + query)[1]
        await until(lambda: [c["subscriptions"] for c in connz("sort=subs")["connections"]] == [2, 1])
        told = connz("subs=1&sort=cid")["connections"]
        assert [c["subscriptions_list"] for c in told] == [["x.>", "x.y"], ["z"]]
        [detail] = connz("subs=detail&cid=%d" % told[0]["cid"])["connections"]
        assert [(d["subject"], d.get("qgroup"), d["cid"]) for d in detail["subscriptions_list_detail"]] == \
            [("x.>", "q", detail["cid"]), ("x.y", None, detail["cid"])]
        page = connz("limit=1&offset=1")
        assert (page["total"], page["num_connections"]) == (2, 1) and page["connections"][0]["name"] == "second"
        assert [c["name"] for c in connz("filter_subject=z")["connections"]] == ["second"]
        assert connz("user=nobody")["connections"] == []
        subsz = fetch(one.monitor, "/subsz?subs=1&limit=2")[1]
        assert (subsz["num_subscriptions"], subsz["total"], len(subsz["subscriptions_list"])) == (3, 3, 2)
        hit = fetch(one.monitor, "/subsz?test=x.y")[1]["subscriptions_list"]
        assert [d["subject"] for d in hit] == ["x.>", "x.y"]
    await until(lambda: connz("state=closed")["num_connections"] == 2)
    gone = connz("state=closed&sort=stop")["connections"]
    assert {c["name"] for c in gone} == {"first", "second"}
    assert all(c["reason"] == "Client Closed" and c["stop"] >= c["start"] for c in gone)
    assert connz("state=any")["total"] == 2 and connz("")["total"] == 0
    for bad in ("/connz?sort=nothing", "/connz?state=maybe", "/subsz?test=a.%3E"):
        assert fetch(one.monitor, bad)[0] == 400, bad


async def test_monitoring_counts_streams(server):
    one = server()
    async with client(one.url) as nc:
        await nc.jetstream().add_stream(name="S", subjects=["s.>"])
        await nc.jetstream().publish("s.a", b"12345")
        await nc.jetstream().add_consumer("S", durable_name="c", ack_policy="explicit")
        jsz = fetch(one.monitor, "/jsz")[1]
        assert (jsz["streams"], jsz["messages"], jsz["consumers"]) == (1, 1, 1) and jsz["bytes"] > 0 and "account_details" not in jsz
        jsz = fetch(one.monitor, "/jsz?streams=1&consumers=1&config=1")[1]
        [stream] = jsz["account_details"][0]["stream_detail"]
        assert (stream["name"], stream["config"]["subjects"], stream["state"]["messages"]) == ("S", ["s.>"], 1)
        assert [one["name"] for one in stream["consumer_detail"]] == ["c"]


async def test_all_is_there_after_a_kill(server):
    one = server()
    async with client(one.url) as nc:
        js = nc.jetstream()
        await js.add_stream(name="S", subjects=["s.>"], max_msgs_per_subject=500)
        sub = await js.pull_subscribe("s.>", durable="d", stream="S")
        confirmed, acked = [], []
        for turn in range(3):
            acks = [await js.publish_async(f"s.{i % 5}", b"%d-%d" % (turn, i), headers={"Nats-Msg-Id": f"{turn}-{i}"}) for i in range(300)]
            await asyncio.wait_for(asyncio.gather(*acks), 20)
            confirmed += [b"%d-%d" % (turn, i) for i in range(300)]
            for message in await sub.fetch(100, timeout=5):
                await message.ack_sync()
                acked.append(message.data)
            one.restart(signal.SIGKILL)
            await until(lambda: nc.stats["reconnects"] == turn + 1 and nc.is_connected)
            again = await js.publish("s.0", b"again", headers={"Nats-Msg-Id": f"{turn}-0"})
            assert again.duplicate
        info = await js.stream_info("S")
        assert (info.state.messages, info.state.last_seq) == (900, 900)
        rest = []
        while len(set(acked + rest)) < 900:
            for message in await sub.fetch(200, timeout=5):
                await message.ack()
                rest.append(message.data)
        assert set(acked + rest) == set(confirmed) and rest == sorted(rest, key=confirmed.index)
        if not IS_PEER:
            assert acked + rest == confirmed, "what was acknowledged came again"


async def test_key_value_after_a_kill(server):
    one = server()
    async with client(one.url) as nc:
        kv = await nc.jetstream().create_key_value(bucket="b", history=2)
        for i in range(10):
            await kv.put(f"k{i % 3}", b"%d" % i)
        await kv.delete("k1")
        one.restart(signal.SIGKILL)
        await until(lambda: nc.stats["reconnects"] == 1 and nc.is_connected)
        assert (await kv.get("k0")).value == b"9"
        with pytest.raises(NotFoundError):
            await kv.get("k1")
        assert [e.value for e in await kv.history("k2")] == [b"5", b"8"]




async def test_a_schedule_goes_on_after_a_kill(server):
    one = server()
    async with client(one.url) as nc:
        js = nc.jetstream()
        await js.add_stream(name="S", subjects=["s.>"], allow_msg_schedules=True)
        at = time.strftime("@at %Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
        await js.publish("s.once", b"once", headers={"Nats-Schedule": at, "Nats-Schedule-Target": "s.a"})
        await js.publish("s.every", b"every", headers={"Nats-Schedule": "@every 1h", "Nats-Schedule-Target": "s.b"})
        one.restart(signal.SIGKILL)

        async def last(subject):
            try:
                return (await js.get_last_msg("S", subject)).data
            except nats.errors.Error:
                return None

        assert await until(lambda: last("s.a")) == b"once"
        assert (await last("s.once"), await last("s.every"), await last("s.b")) == (None, b"every", None)
