"""The broker under test: the real binary with a folder and free ports of its own."""

import json
import os
import re
import resource
import signal
import subprocess
import time

BIN = os.environ.get("POLYBUS_BIN", "")


class Broker:
    """A data folder and, while it runs, the process on it. `flags` are settings: limits_memory="8 MiB"."""

    def __init__(self, data, log, **flags):
        self.data, self.log_path, self.flags = str(data), str(log), flags
        self.process = None
        self.port = self.kafka_port = self.nats_port = None

    def spawn(self, **more):
        """Starts the process without waiting for anything."""
        command = [BIN, "serve", "--data", self.data]
        for name, value in {"amqp_listen": "127.0.0.1:0", "kafka_listen": "off", "nats_listen": "off", "nats_monitor_listen": "off", **self.flags, **more}.items():
            command += ["--" + name.replace("_", "-"), str(value)]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("POLYBUS_")}
        self.log_from = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)

    def start(self, timeout=20, **more):
        """Starts it and waits until it is ready."""
        self.spawn(**more)
        until = time.monotonic() + timeout
        while "\nready\n" not in self.log():
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"it did not become ready (exit code {self.process.poll()}):\n{self.log()}")
            time.sleep(0.01)
        self.port = int(re.search(r"amqp +\S+:(\d+)", self.log())[1])
        if kafka := re.search(r"kafka +\S+:(\d+)", self.log()):
            self.kafka_port = int(kafka[1])
        if nats := re.search(r"nats +\S+:(\d+)", self.log()):
            self.nats_port = int(nats[1])
        return self

    def refuses_to_start(self, timeout=20, **more):
        """Starts it and expects that it ends; gives what it says."""
        self.spawn(**more)
        assert self.wait(timeout) == 1, self.log()
        said = self.log().strip()
        assert said.count("\npolybus: ") + said.startswith("polybus: ") == 1, said
        assert "ready" not in said.splitlines() and "panicked" not in said, said
        return said

    def log(self):
        """What the process that runs, or ran last, has said."""
        with open(self.log_path, "rb") as log:
            log.seek(self.log_from)
            return log.read().decode()

    def wait(self, timeout):
        """Waits for the end; gives the exit code."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {timeout} s:\n{self.log()}") from None

    def kill(self):
        """kill -9."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self, timeout=10):
        """Stops it in order."""
        self.process.send_signal(signal.SIGTERM)
        code = self.wait(timeout)
        assert code == 0, f"exit code {code}:\n{self.log()}"

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def ask(self, *command):
        """What a command says, as JSON."""
        done = subprocess.run([BIN, *command, "--json", "--data", self.data], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def queue(self, name):
        """A queue as it is listed."""
        return next(queue for queue in self.ask("queues", "list") if queue["name"] == name)

    def status(self):
        return self.ask("status")

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()


def eventually(check, timeout=10, what=""):
    """Waits until check() is true; gives what it gives."""
    until = time.monotonic() + timeout
    while True:
        if found := check():
            return found
        assert time.monotonic() < until, what or f"{check} did not become true in {timeout} s"
        time.sleep(0.02)
