#!/usr/bin/env python3
"""What the broker survives, in full: soak.py [--quick] [--seconds N] [--kills N] [--queues N] [--page FILE] [scenario ...]

Each scenario gets a broker of its own (POLYBUS_BIN, target/release/polybus if not set). Exits with 1 if a bound was broken.
With --page each scenario's result is kept beside the page's name in target/soak, so that one can be run anew alone."""

import argparse
import os
import pathlib
import shutil
import sys
import tempfile

REPO = pathlib.Path(__file__).resolve().parents[2]
os.environ.setdefault("POLYBUS_BIN", str(REPO / "target/release/polybus"))

# NATS by hand is there already.
sys.path.append(str(REPO / "tests/clients/nats/python"))

import scenarios
import survival
from stage import MIB, play


def main():
    names = {scenario.NAME: scenario for scenario in scenarios.ALL}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenario", nargs="*", default=list(names), help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--seconds", type=float, help="how long the fast publisher and the publishers beside those that never acknowledge go on")
    parser.add_argument("--kills", type=int, help="how often the broker is killed")
    parser.add_argument("--queues", type=int, help="how many short-lived queues are declared")
    parser.add_argument("--page", type=pathlib.Path, help="the page to write, its charts beside it; not with --quick")
    arguments = parser.parse_args()
    if unknown := set(arguments.scenario) - names.keys():
        parser.error(f"no scenario {', '.join(unknown)}; there are {', '.join(names)}")
    failed = 0
    folder = tempfile.mkdtemp(prefix="soak.", dir="/tmp")
    for name in arguments.scenario:
        print(f"{name}:", flush=True)
        outcome = play(names[name], f"{folder}/{name}", arguments.quick, seconds=arguments.seconds, kills=arguments.kills, queues=arguments.queues)
        tell(outcome)
        failed += bool(outcome.broken)
        if arguments.page and not arguments.quick:
            survival.keep(outcome, REPO / "target/soak")
            survival.write(REPO / "target/soak", arguments.page, list(names))
    print(f"{len(arguments.scenario) - failed} passed, {failed} failed, 0 skipped")
    if failed:
        sys.exit(f"what failed is kept in {folder}")
    shutil.rmtree(folder)


def tell(outcome):
    print(f"  {outcome.did}")
    for text in outcome.found:
        print(f"  {text}")
    idle, most, bound, after = (size // MIB for size in (outcome.idle_bytes, outcome.most_bytes, outcome.bound_bytes, outcome.after_bytes))
    print(f"  resident: idle {idle} MiB, most {most} of {bound} MiB, afterwards {after} MiB; {outcome.took_s:.0f} s, {outcome.cpu_s:.0f} s of processor")
    for text in outcome.broken:
        print(f"  BROKEN: {text}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
