"""What every test gets: brokers with folders of their own, small disks, and the options of the soak."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from broker import Broker

# NATS by hand is there already.
sys.path.append(str(Path(__file__).parents[1] / "clients/nats/python"))


def pytest_addoption(parser):
    parser.addoption("--kills", type=int, default=10, help="how often the broker is killed under load")
    parser.addoption("--seconds", type=float, default=6, help="how long a fast publisher goes on")


@pytest.fixture
def broker(tmp_path, request):
    """Makes brokers: broker(data=..., limits_memory=...). They are killed when the test is over."""
    made = []

    def make(data=None, **flags):
        one = Broker(data or tmp_path / "data", tmp_path / f"log{len(made)}", **flags)
        made.append(one)
        return one

    yield make
    for one in made:
        one.kill()
        assert one.process is None or "panicked" not in one.log(), one.log()


@pytest.fixture
def small_disk(tmp_path):
    """Makes file systems in memory of so many MiB; skips where mounting is refused."""
    mounted = []

    def make(mib, options=""):
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m{options}", "polybus-faults", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True) if os.geteuid() == 0 else None
        if done is None or done.returncode:
            pytest.skip(f"no small disk: {done.stderr.strip() if done else 'mounting needs root'}")
        mounted.append(folder)
        return folder

    yield make
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)
