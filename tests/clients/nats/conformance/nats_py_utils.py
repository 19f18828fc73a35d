"""What nats-py's own tests import as `tests.utils`, which its sdist leaves out: servers that are started for a test by nats-server's arguments.

Fixtures that need files which the sdist does not carry either (certificates, keys, settings) are skipped."""

import asyncio
import functools
import http.client
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest


class NATSD:
    """A server; `$NATS_SERVER` is what is started."""

    def __init__(self, port=4222, user="", password="", token="", timeout=0, http_port=8222, debug=False, tls=False, cluster_listen=None, routes=None,
                 config_file=None, with_jetstream=None):
        self.port, self.http_port, self.proc = port, http_port, None
        self.user, self.password, self.token, self.config_file = user, password, token, config_file
        self.store_dir = tempfile.mkdtemp() if with_jetstream else None

    def start(self):
        command = [os.environ["NATS_SERVER"], "-p", str(self.port), "-m", str(self.http_port), "-a", "127.0.0.1"]
        for flag, value in {"--user": self.user, "--pass": self.password, "--auth": self.token, "--config": self.config_file}.items():
            command += [flag, value] if value else []
        if self.store_dir:
            command += ["-js", f"-sd={self.store_dir}"]
        self.log = tempfile.NamedTemporaryFile("r")
        self.proc = subprocess.Popen(command + ["-l", self.log.name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self.proc

    def send_signal(self, number):
        if self.proc and self.proc.returncode is None:
            os.kill(self.proc.pid, number)

    def stop(self):
        self.send_signal(signal.SIGKILL)
        if self.proc:
            self.proc.wait()


def start_natsd(server):
    server.start()
    end = time.monotonic() + 15
    while server.proc.poll() is None and time.monotonic() < end:
        with open(server.log.name) as log:
            if "Server is ready" in log.read():
                return
        time.sleep(0.02)


def fixture(*servers):
    """A test case with these servers, each told as NATSD's arguments."""

    class Case(unittest.TestCase):
        def setUp(self):
            if not servers:
                self.skipTest("needs files that the sdist does not carry, or a cluster")
            self.loop = asyncio.new_event_loop()
            self.server_pool = [NATSD(**server) for server in servers]
            for server in self.server_pool:
                start_natsd(server)

        def tearDown(self):
            for server in self.server_pool:
                server.stop()
                if server.store_dir:
                    shutil.rmtree(server.store_dir, ignore_errors=True)
            self.loop.close()

    return Case


class SingleServerTestCase(fixture({})):
    pass


class SingleJetStreamServerTestCase(fixture({"with_jetstream": True})):
    pass


class MultiServerAuthTestCase(fixture({"port": 4223, "user": "foo", "password": "bar", "http_port": 8223},
                                      {"port": 4224, "user": "hoge", "password": "fuga", "http_port": 8224})):
    pass


class MultiServerAuthTokenTestCase(fixture(*({"port": port, "token": token, "http_port": port + 4000}
                                             for port, token in ((4223, "token"), (4224, "token"), (4225, "secret"))))):
    pass


def absent(name):
    return type(name, (fixture(),), {})


ABSENT = ("ClusteringTestCase", "ClusteringDiscoveryAuthTestCase", "TLSServerTestCase", "TLSServerHandshakeFirstTestCase", "MultiTLSServerAuthTestCase",
          "NkeysServerTestCase", "TrustedServerTestCase", "SingleWebSocketServerTestCase", "SingleWebSocketTLSServerTestCase",
          "SingleJetStreamServerLimitsTestCase", "NoAuthUserServerTestCase")
globals().update({name: absent(name) for name in ABSENT})


def get_config_file(path):
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), path)


def within(seconds):
    def decorate(test):
        @functools.wraps(test)
        def run(self, *args, **kwargs):
            return asyncio.run(asyncio.wait_for(test(self, *args, **kwargs), seconds))

        return run

    return decorate


async_test, async_long_test, async_debug_test = within(10), within(40), within(3600)
