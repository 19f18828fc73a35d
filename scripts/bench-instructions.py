#!/usr/bin/env python3
"""Counts the instructions that a message costs, step by step, and compares them with those last recorded.

    scripts/bench-instructions.py            prints them, and the ratio to docs/reference/instructions.tsv
    scripts/bench-instructions.py --record   writes that file anew

The work is crates/broker/examples/instructions.rs under valgrind's callgrind: the same instructions on every run, whatever
else the machine does. What it does not count: sockets, the disk, waiting, and threads that meet.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECORDED = ROOT / "docs/reference/instructions.tsv"
SHAPES = [
    "durable-16b",
    "durable-16b-acked-together",
    "durable-1kib",
    "transient-16b",
    "durable-16b-backlog",
    "live-16b",
    "live-128b",
    "live-16b-to-4",
    "live-16b-wildcard",
]
BATCHES = 200
BATCH = 100
# What one read of a fast live publisher holds.
LIVE_BLOCK = 1000
STEP = re.compile(r"^\s*([\d,]+)\s.*::step_\d_(\w+) \[")
COLUMNS = ["workload", "step", "instructions_per_message"]


def build():
    """Builds the example; gives its path."""
    command = [os.environ.get("CARGO", "cargo"), "build", "--quiet", "--locked", "--profile", "profiling"]
    command += ["-p", "polybus-broker", "--example", "instructions", "--message-format", "json"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    built = [json.loads(line) for line in output.splitlines()]
    return next(one["executable"] for one in built if one.get("executable"))


def count(binary, shape, folder):
    """Instructions per message of each step, in order."""
    out = pathlib.Path(folder) / shape
    subprocess.run(
        ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", binary, shape, str(BATCHES)],
        check=True,
        capture_output=True,
    )
    listing = subprocess.run(
        ["callgrind_annotate", "--inclusive=yes", "--threshold=100", "--auto=no", "--show-percs=no", str(out)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    steps = {}
    for line in listing.splitlines():
        found = STEP.match(line)
        # A step may be listed by several source files: the largest is the whole.
        if found:
            instructions = int(found[1].replace(",", ""))
            steps[found[2]] = max(steps.get(found[2], 0), instructions)
    order = ["parse", "publish", "commit", "confirm", "subscribe", "deliver", "parse_acks", "settle", "drain"]
    messages = BATCHES * (LIVE_BLOCK if shape.startswith("live-") else BATCH)
    counted = {step: round(steps[step] / messages) for step in order if step in steps}
    counted["all"] = sum(counted.values())
    return counted


def recorded():
    if not RECORDED.exists():
        return {}
    rows = [line.split("\t") for line in RECORDED.read_text().splitlines()[1:]]
    return {(row[0], row[1]): int(row[2]) for row in rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="write the file anew")
    arguments = parser.parse_args()
    if not shutil.which("valgrind"):
        sys.exit("valgrind is not installed (Debian: apt-get install valgrind)")
    binary = build()
    before = recorded()
    rows = []
    print(f"{'workload':28}{'step':14}{'instructions':>13}{'recorded':>10}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for shape in SHAPES:
            for step, instructions in count(binary, shape, folder).items():
                rows.append((shape, step, instructions))
                old = before.get((shape, step))
                ratio = f"{instructions / old:8.2f}" if old else f"{'-':>8}"
                print(f"{shape:28}{step:14}{instructions:13}{old if old is not None else '-':>10}{ratio}")
    if arguments.record:
        RECORDED.parent.mkdir(parents=True, exist_ok=True)
        lines = ["\t".join(COLUMNS)] + ["\t".join(map(str, row)) for row in rows]
        RECORDED.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
