"""Fixtures: where the broker is, names that are unique, clients that are closed, and brokers of a test's own."""

import asyncio
import contextlib
import inspect
import os
import signal
import socket
import subprocess
import time
import uuid
from pathlib import Path

import nats
import pytest
from nats_wire import Wire

HOST = os.environ.get("NATS_HOST", "127.0.0.1")
PORT = int(os.environ.get("NATS_PORT", "4222"))
MONITOR = int(os.environ.get("NATS_MONITOR_PORT", "8222"))
# Takes nats-server's arguments: the stand-in for it, or itself.
SERVER = os.environ.get("NATS_SERVER", str(Path(__file__).parent.parent / "nats-server"))
IS_PEER = "NATS_SERVER" in os.environ and Path(SERVER).resolve().parent != Path(__file__).resolve().parent.parent
DEADLINE_S = 20

EXPECTED = Path(__file__).with_name("expected_failures.txt")


def pytest_collection_modifyitems(items):
    """What expected_failures.txt names is left out, against polybus; the reasons are in ../EXPECTED_FAILURES.md."""
    if IS_PEER:
        return
    lines = EXPECTED.read_text().splitlines() if EXPECTED.exists() else []
    names = {line.split("#")[0].strip() for line in lines}
    for item in items:
        if item.nodeid in names or item.nodeid.split("::")[0] in names or item.nodeid.split("[")[0] in names:
            item.add_marker(pytest.mark.skip(reason="EXPECTED_FAILURES.md"))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if inspect.iscoroutinefunction(pyfuncitem.obj):
        names = pyfuncitem._fixtureinfo.argnames
        asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
        return True


async def until(condition, deadline_s=DEADLINE_S, what="condition"):
    """Polls until `condition()` is true; its value."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < end, f"not in {deadline_s} s: {what}"
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def client(url=None, **options):
    """A client of nats-py, closed at the end."""

    async def quiet(_):
        pass

    options = {"error_cb": quiet, "connect_timeout": 5, "max_reconnect_attempts": 100, "reconnect_time_wait": 0.1, **options}
    nc = await nats.connect(url or f"nats://{HOST}:{PORT}", **options)
    try:
        yield nc
    finally:
        await nc.close()


def wire(connect=None, address=None, **options):
    return Wire(address or (HOST, PORT), {} if connect is None else connect, **options)


@pytest.fixture
def name():
    """A name that no other test uses, fit for subjects and streams."""
    return "t" + uuid.uuid4().hex[:10]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A broker of a test's own, started with nats-server's arguments."""

    def __init__(self, folder, config=None, *flags):
        self.folder, self.port, self.monitor = folder, free_port(), free_port()
        self.flags = list(flags)
        if config is not None:
            path = folder / "server.conf"
            path.write_text(config)
            self.flags += ["-c", str(path)]
        self.starts = 0
        self.start()

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.port}"

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def start(self):
        self.starts += 1
        self.log = self.folder / f"log-{self.starts}"
        arguments = ["-a", "127.0.0.1", "-p", str(self.port), "-m", str(self.monitor), "-js", "-sd", str(self.folder / "data")]
        with open(self.folder / f"output-{self.starts}", "wb") as output:
            self.process = subprocess.Popen([SERVER, *arguments, "-l", str(self.log), *self.flags], stdout=output, stderr=output)
        end = time.monotonic() + DEADLINE_S
        while not (self.log.exists() and "Server is ready" in self.log.read_text()):
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < end, self.output()
            time.sleep(0.02)

    def output(self):
        return (self.folder / f"output-{self.starts}").read_text()[-3000:]

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def restart(self, number=signal.SIGKILL):
        self.stop(number)
        self.start()


@pytest.fixture
def server(tmp_path):
    """server(config=None, *flags): a broker of the test's own."""
    started = []

    def start(config=None, *flags):
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(Server(folder, config, *flags))
        return started[-1]

    yield start
    for one in started:
        one.stop(signal.SIGKILL)
