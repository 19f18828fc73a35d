"""Writes the data folders that are kept in tests/fixtures (as root, with POLYBUS_BIN the version that is to be kept)."""

import shutil
import subprocess
import tempfile

from broker import Broker


def write_folder(write, out, **settings):
    """Has `write` use a broker with these settings, and copies what it leaves to `out`."""
    with tempfile.TemporaryDirectory() as folder:
        # So small that no files are made for later segments; a segment has 1 MiB ahead of what is written.
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "fixture", folder], check=True)
        try:
            one = Broker(f"{folder}/data", f"{folder}/log", limits_disk_free_min="3 MiB", **settings)
            write(one)
            shutil.copytree(one.data, out, ignore=shutil.ignore_patterns("*.sock", "LOCK"))
        finally:
            subprocess.run(["umount", "-l", folder], check=True)
