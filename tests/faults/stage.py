"""Where a scenario of the soak plays: a broker whose memory and processor time are watched, a neighbour who must not notice,
and what it came to. A scenario states its bound before it begins; a broken one fails it."""

import dataclasses
import os
import shutil
import threading
import time

from broker import Broker, eventually
from neighbour import Neighbour
from wire import Client

MIB = 1 << 20
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# What the broker may hold more than before, once all that a scenario brought is gone: the gaps between what is still held, and the
# 19 MiB in which a login hashes its password.
KEPT_BYTES_MAX = 48 * MIB
# What a neighbour on the same broker may meet, on a machine whose cores the scenario's own clients use too.
TRIP_P99_S_MAX, TRIP_S_MAX = 0.25, 3.0


@dataclasses.dataclass
class Outcome:
    """What a scenario came to. Samples are (seconds, resident bytes, processor seconds)."""

    name: str
    did: str = ""
    found: list = dataclasses.field(default_factory=list)
    broken: list = dataclasses.field(default_factory=list)
    samples: list = dataclasses.field(default_factory=list)
    phases: list = dataclasses.field(default_factory=list)
    idle_bytes: int = 0
    most_bytes: int = 0
    bound_bytes: int = 0
    bound: str = ""
    after_bytes: int = 0
    took_s: float = 0.0
    cpu_s: float = 0.0


class Stage:
    """Makes the broker, watches it, and judges."""

    def __init__(self, name, folder, quick=False, seconds=None, kills=None, queues=None):
        self.outcome = Outcome(name)
        self.folder, self.quick = str(folder), quick
        self.seconds, self.kills, self.queues = seconds, kills, queues
        os.makedirs(self.folder, exist_ok=True)
        self.one = self.neighbour = None
        self.stopping = threading.Event()
        self.watcher = threading.Thread(target=self.watch, daemon=True)

    def start(self, has_neighbour=True, **flags):
        """The broker, with a neighbour that trips through it for as long as the scenario lasts."""
        self.one = Broker(os.path.join(self.folder, "data"), os.path.join(self.folder, "log"), **flags).start()
        if has_neighbour:
            self.neighbour = Neighbour(self.one.port)
            time.sleep(0.3 if self.quick else 5)
            self.calm = self.neighbour.phase()
        self.outcome.idle_bytes = self.one.resident_bytes()
        self.began = time.monotonic()
        self.watcher.start()
        return self.one

    def bound(self, text, more_bytes):
        """What the broker may hold at most, beyond what it held idle."""
        self.outcome.bound = f"idle + {text}"
        self.outcome.bound_bytes = self.outcome.idle_bytes + int(more_bytes)

    def phase(self, name):
        self.outcome.phases.append((time.monotonic() - self.began, name))

    def found(self, text):
        self.outcome.found.append(text)

    def check(self, holds, text):
        if not holds:
            self.outcome.broken.append(text)

    def watch(self):
        period = 0.1 if self.quick else 0.5
        before, total = 0.0, 0.0
        while not self.stopping.wait(period):
            try:
                resident = self.one.resident_bytes()
                with open(f"/proc/{self.one.process.pid}/stat") as stat:
                    fields = stat.read().rpartition(")")[2].split()
            except (OSError, IndexError):
                continue
            used = (int(fields[11]) + int(fields[12])) / TICKS_PER_S
            # A broker that was started anew begins at nothing.
            total += used - before if used >= before else used
            before = used
            self.outcome.samples.append((time.monotonic() - self.began, resident, total))

    def over(self, gives_back=True):
        """What its clients brought is gone: did the neighbour notice, is the memory back, is a client served?"""
        busy = self.neighbour.phase()
        self.found(f"the neighbour's round trips: calm {self.calm}; meanwhile {busy}")
        self.check(busy.p99_s < TRIP_P99_S_MAX, f"the neighbour's p99 is {busy.p99_s:.3f} s, over {TRIP_P99_S_MAX}")
        self.check(busy.most_s < TRIP_S_MAX, f"a round trip of the neighbour took {busy.most_s:.3f} s, over {TRIP_S_MAX}")
        self.settle(gives_back)
        self.neighbour.stop()

    def settle(self, gives_back=True):
        self.phase("over")
        outcome, one = self.outcome, self.one
        near = outcome.idle_bytes + KEPT_BYTES_MAX
        if gives_back:
            until = time.monotonic() + 30
            while one.resident_bytes() > near and time.monotonic() < until:
                time.sleep(0.1)
        if not self.quick:
            time.sleep(5)
        outcome.after_bytes = one.resident_bytes()
        if gives_back:
            over = f"{outcome.after_bytes / MIB:.0f} MiB are held afterwards, {outcome.idle_bytes / MIB:.0f} before"
            self.check(outcome.after_bytes <= near, over)
        client = Client(one.port)
        client.declare_queue("after")
        client.confirm()
        client.consume("after", "c", no_ack=True)
        client.publish("", "after", b"served")
        seen = set()
        eventually(lambda: seen.update(event[0] for event in client.poll(1)) or {"ack", "deliver"} <= seen, what="no client is served")
        client.delete_queue("after")
        client.close()

    def end(self):
        """Takes everything down; gives the outcome, whatever happened before."""
        self.stopping.set()
        if self.watcher.is_alive():
            self.watcher.join()
        if self.neighbour:
            self.neighbour.kill()
        outcome = self.outcome
        if self.one:
            if self.one.is_running():
                self.one.stop(30)
            elif self.one.process:
                self.check(False, f"the broker ended: {self.one.log()[-500:]}")
            self.check("panicked" not in self.one.log(), "it panicked")
        if outcome.samples:
            outcome.took_s, _, outcome.cpu_s = outcome.samples[-1]
            outcome.most_bytes = max(sample[1] for sample in outcome.samples)
            broken = f"{outcome.most_bytes / MIB:.0f} MiB resident, over {outcome.bound_bytes / MIB:.0f}"
            self.check(outcome.most_bytes <= outcome.bound_bytes, broken)
        if not outcome.broken:
            shutil.rmtree(self.folder, ignore_errors=True)
        return outcome


def play(scenario, folder, quick=False, **options):
    """Plays a scenario to its end; gives the outcome."""
    stage = Stage(scenario.NAME, folder, quick, **options)
    try:
        scenario.play(stage)
    except Exception as error:  # Whatever stops a scenario is its result.
        stage.check(False, f"{type(error).__name__}: {error}")
    try:
        return stage.end()
    except AssertionError as error:
        stage.check(False, str(error))
        return stage.outcome
    finally:
        if stage.one:
            stage.one.kill()
