"""The page of what the broker survives, docs/reference/survival.md, made from the outcomes that are kept as JSON: so that a
scenario that is run anew replaces its own row and chart only."""

import dataclasses
import datetime
import json
import os
import subprocess

import memory_chart
from broker import BIN
from stage import KEPT_BYTES_MAX, MIB, TRIP_P99_S_MAX, TRIP_S_MAX, Outcome


def keep(outcome, folder):
    folder.mkdir(parents=True, exist_ok=True)
    kept = dataclasses.asdict(outcome) | {"day": datetime.date.today().isoformat(), "version": version(), "machine": machine()}
    (folder / f"{outcome.name}.json").write_text(json.dumps(kept))


def version():
    return subprocess.run([BIN, "--version"], capture_output=True, text=True).stdout.strip()


def machine():
    with open("/proc/meminfo") as meminfo:
        kib = int(meminfo.readline().split()[1])
    with open("/proc/cpuinfo") as cpuinfo:
        model = next((line.split(":")[1].strip() for line in cpuinfo if line.startswith("model name")), "unknown processor")
    return f"{os.cpu_count()} cores ({model}), {kib / (1 << 20):.0f} GiB of memory, Linux {os.uname().release}"


def write(folder, page, names):
    outcomes = []
    for name in names:
        if (folder / f"{name}.json").exists():
            kept = json.loads((folder / f"{name}.json").read_text())
            fields = {field.name: kept[field.name] for field in dataclasses.fields(Outcome)}
            outcomes.append((Outcome(**fields), kept))
    page.parent.mkdir(parents=True, exist_ok=True)
    for outcome, _ in outcomes:
        chart(page, outcome).write_text(memory_chart.draw(outcome))
    page.write_text("\n".join(lines(page, outcomes)) + "\n")


def chart(page, outcome):
    return page.with_name(f"{page.stem}-{outcome.name}.svg")


def mib(size):
    return f"{size / MIB:,.0f} MiB"


def lines(page, outcomes):
    yield "# Survival"
    yield "<!-- Made by `make soak` (tests/faults/soak.py); do not edit. -->\n"
    for told in dict.fromkeys((kept["version"], kept["machine"], kept["day"]) for _, kept in outcomes):
        yield "{}, on {}, {}; the scenario's own clients use the same cores.\n".format(*told)
    yield "What was done to a broker, and how much memory it held at most. Each scenario states its bound before it begins and fails if it is"
    yield "broken; it also fails if a neighbour on the same broker notices (a client that publishes to two durable queues of its own a hundred"
    yield f"times a second, and waits for confirm and delivery: p99 under {TRIP_P99_S_MAX * 1000:.0f} ms, none over {TRIP_S_MAX:.0f} s), if more than {mib(KEPT_BYTES_MAX)} above idle"
    yield "are held half a minute after all was taken away, or if a new client is not served then.\n"
    yield "| scenario | what was done | idle | most | bound | after | took | result |"
    yield "|---|---|---|---|---|---|---|---|"
    for outcome, _ in outcomes:
        result = "**failed**" if outcome.broken else "held"
        sizes = f"{mib(outcome.idle_bytes)} | {mib(outcome.most_bytes)} | {mib(outcome.bound_bytes)} | {mib(outcome.after_bytes)}"
        yield f"| `{outcome.name}` | {outcome.did} | {sizes} | {outcome.took_s:,.0f} s, {outcome.cpu_s:,.0f} s of processor | {result} |"
    for outcome, _ in outcomes:
        yield f"\n## {outcome.name}"
        yield f"![Resident memory over time: {outcome.name}]({chart(page, outcome).name})\n"
        yield f"- The bound: {outcome.bound}."
        for text in outcome.found:
            yield f"- {text[0].upper()}{text[1:]}."
        for text in outcome.broken:
            yield f"- **Broken**: {text}."
