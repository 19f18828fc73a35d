"""Resident memory over time as an SVG chart, with the bound as a dashed line and the scenario's phases as ticks."""

from html import escape

MIB = 1 << 20
WIDTH, HEIGHT = 880, 314
LEFT, RIGHT, TOP, BOTTOM = 70, 860, 66, 256
POINTS_MAX = 400
STYLE = """\
.back{fill:#fff}.text{fill:#1f2328}.dim{fill:#59636e}.grid{stroke:#d1d9e0}.line{stroke:#0969da;fill:none;stroke-width:1.6}
.area{fill:#0969da;opacity:.12}.bound{stroke:#d1242f;stroke-width:1.4;stroke-dasharray:6 4}.red{fill:#d1242f}.mark{stroke:#59636e;stroke-dasharray:2 3}
@media(prefers-color-scheme:dark){.back{fill:#0d1117}.text{fill:#f0f6fc}.dim{fill:#9198a1}.grid{stroke:#30363d}.line{stroke:#4493f8}
.area{fill:#4493f8}.bound{stroke:#f85149}.red{fill:#f85149}.mark{stroke:#9198a1}}
text{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif}.head{font-size:16px;font-weight:600}
.end{text-anchor:end}.mid{text-anchor:middle}"""


def step(most, ticks):
    """A round distance between ticks, of which there are about so many."""
    for exponent in range(-2, 12):
        for factor in (1, 2, 5):
            if most / (factor * 10**exponent) <= ticks:
                return factor * 10**exponent
    return most


def thinned(samples):
    """At most POINTS_MAX samples; of each stretch the one with the most memory, so that no peak is lost."""
    stretch = -(-len(samples) // POINTS_MAX)
    return [max(samples[at : at + stretch], key=lambda sample: sample[1]) for at in range(0, len(samples), stretch)]


def text(x, y, kind, words):
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'


def draw(outcome):
    """The chart of an outcome."""
    points = [(seconds, size / MIB) for seconds, size, _ in thinned(outcome.samples)] or [(0, 0)]
    bound = outcome.bound_bytes / MIB
    top = max([bound, *(size for _, size in points)]) * 1.08
    last = max(points[-1][0], 0.001)
    x = lambda seconds: LEFT + (RIGHT - LEFT) * min(seconds / last, 1)
    y = lambda size: BOTTOM - (BOTTOM - TOP) * size / top
    title = f"{outcome.name}: resident memory over time"
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">']
    out += [f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>", f'<rect class="back" width="{WIDTH}" height="{HEIGHT}" rx="6"/>']
    out += [text(16, 26, "text head", title), text(16, 44, "dim", "MiB of the broker's process, against seconds")]
    size_step, time_step = step(top, 5), step(last, 10)
    for tick in range(int(top / size_step) + 1):
        at = y(tick * size_step)
        out += [f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>', text(LEFT - 8, at + 4, "dim end", f"{tick * size_step:,g}")]
    for tick in range(int(last / time_step) + 1):
        out.append(text(x(tick * time_step), BOTTOM + 18, "dim mid", f"{tick * time_step:g}"))
    line = " ".join(f"{x(seconds):.1f},{y(size):.1f}" for seconds, size in points)
    out.append(f'<polygon class="area" points="{x(points[0][0]):.1f},{BOTTOM} {line} {x(last):.1f},{BOTTOM}"/>')
    out.append(f'<polyline class="line" points="{line}"/>')
    out += [f'<line class="bound" x1="{LEFT}" x2="{RIGHT}" y1="{y(bound):.1f}" y2="{y(bound):.1f}"/>', text(LEFT + 6, y(bound) - 5, "red", f"bound: {bound:,.0f} MiB")]
    out += phases(outcome.phases, x)
    return "\n".join([*out, "</svg>", ""])


def phases(marks, x):
    """A tick for each; names that would stand on one another go to rows below, and to nowhere when those are full."""
    out, ends = [], [0.0, 0.0, 0.0]
    for seconds, name in marks:
        at = x(seconds)
        left = min(at, RIGHT - 6.2 * len(name))
        row = next((row for row, end in enumerate(ends) if left >= end), None)
        out.append(f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{BOTTOM}"/>')
        if row is not None:
            ends[row] = left + 6.2 * len(name) + 8
            out.append(text(left, BOTTOM + 33 + 12 * row, "dim", name))
    return out
