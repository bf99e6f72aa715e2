"""Charts of the documentation, as SVG, from the files of results: the versions that were tried, and a build beside upstream's.

Each chart is 440 units wide, so that a phone shows its text at a size that can be read, and takes dark colours where the page is dark.
"""

from __future__ import annotations

import html
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matrix

from mamba_build_backend import tables

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 440
GPU, IMPORTED, PLANNED = "run on a GPU", "compiled and imported", "planned"
STATES = (GPU, IMPORTED, PLANNED)
OLDEST_PYTHON = (3, 9)

STYLE = """\
    text { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", Arial, sans-serif; font-size: 12px; fill: #1f2533; }
    .head { font-size: 14px; font-weight: 600; }
    .middle { text-anchor: middle; }
    .end { text-anchor: end; }
    .small { fill: #4a5266; }
    .ground { fill: #f5f6fa; stroke: #d4d9e4; }
    .gpu { fill: #2e7d43; }
    .imported { fill: #9bd3a9; }
    .planned { fill: #c9cfda; }
    .theirs { fill: #9aa4b8; }
    .ours { fill: #3949ab; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6e9f2; }
      .small { fill: #b4bccd; }
      .ground { fill: #22252e; stroke: #3b404d; }
      .gpu { fill: #5fd07f; }
      .imported { fill: #2f6b40; }
      .planned { fill: #4a5060; }
      .theirs { fill: #7d879b; }
      .ours { fill: #8c9af0; }
    }"""


@dataclass
class Torch:
    """A minor version of torch: what it was published for, and what of that was tried."""

    version: str
    builds: list[str]
    """The CUDA versions of its builds."""
    pythons: list[str]
    tried: dict[tuple[str, str], str] = field(default_factory=dict)
    """The best state seen, by CUDA version and Python version."""

    def state(self, *, cuda: str = "", python: str = "") -> str:
        """The best state of all that was tried with this CUDA, or with this Python."""
        seen = {state for (build, minor), state in self.tried.items() if cuda in ("", build) and python in ("", minor)}
        return next((state for state in STATES if state in seen), PLANNED)


def torches() -> list[Torch]:
    """All versions of the tables, the newest first, with what tests/matrix-results.json and tests/stable/torches.json say of them."""
    known = {
        row.version: Torch(
            row.version, list(row.builds), [item for item in row.python if _number(item) >= OLDEST_PYTHON]
        )
        for row in tables.load_tables().torch
    }
    for row in matrix.results():
        if row["import"].startswith("ok"):
            _note(known, row["torch"], row["python"], GPU if " on an " in row["import"] else IMPORTED)
    for row in json.loads((ROOT / "tests" / "stable" / "torches.json").read_text(encoding="utf-8"))["rows"]:
        if row["checks"]["selective_scan_cuda"] == "ok":
            _note(known, row["torch"], row["python"], IMPORTED)
    return sorted(known.values(), key=lambda item: _number(item.version), reverse=True)


def _note(known: dict[str, Torch], full: str, python: str, state: str) -> None:
    """Keep the better of two states; ``full`` is torch's version, such as 2.11.0+cu130."""
    version, _, label = full.partition("+cu")
    item = known[".".join(version.split(".")[:2])]
    key = (f"{label[:-1]}.{label[-1]}", ".".join(python.split(".")[:2]))
    item.tried[key] = min(state, item.tried.get(key, PLANNED), key=STATES.index)


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def support(of: str) -> str:
    """The chart of torch and CUDA (``cuda``), or of torch and Python (``python``): a square for each pair that exists."""
    rows = torches()
    pairs = [(row, row.builds if of == "cuda" else row.pythons) for row in rows]
    columns = sorted({item for _, items in pairs for item in items}, key=_number)
    left, top, high = 58, 88, 24
    step = (WIDTH - left - 14) / len(columns)
    name = "CUDA of the torch build" if of == "cuda" else "Python"
    out = [_text(14, 28, f"torch and {'CUDA' if of == 'cuda' else 'Python'}", "head")]
    for x, state in zip((14, 132, 302), STATES):
        out += [_rect(x, 41, 12, 12, _kind(state)), _text(x + 17, 52, state, "small")]
    out += [_text(left + (number + 0.5) * step, top - 8, item, "middle") for number, item in enumerate(columns)]
    for number, (row, items) in enumerate(pairs):
        y = top + number * high
        out.append(_text(left - 12, y + 15, row.version, "end"))
        for item in items:
            state = row.state(cuda=item) if of == "cuda" else row.state(python=item)
            x = left + columns.index(item) * step
            out.append(
                _rect(x + 1, y + 1, step - 2, high - 4, _kind(state), f"torch {row.version}, {name} {item}: {state}")
            )
    best = {state: [row.version for row, _ in pairs if row.state() == state] for state in STATES}
    told = "; ".join(f"{state}: torch {', '.join(items)}" for state, items in best.items() if items)
    title = f"Which torch was tried with which {name}"
    return _svg(f"support-{of}", top + len(pairs) * high + 12, title, f"Rows are versions of torch. {told}.", out)


def support_table() -> str:
    """The same as text: each torch, and of its builds and Pythons what was tried."""
    out = ["| torch | tried | planned |", "|---|---|---|"]
    for row in torches():
        builds: dict[str, list[str]] = {}
        for cuda, python in sorted(row.tried, key=lambda pair: (_number(pair[0]), _number(pair[1]))):
            gpu = " (on a GPU)" if row.tried[cuda, python] == GPU else ""
            builds.setdefault(cuda, []).append(f"{python}{gpu}")
        tried = "; ".join(f"CUDA {cuda}: Python {', '.join(found)}" for cuda, found in builds.items())
        cudas = [item for item in row.builds if row.state(cuda=item) == PLANNED]
        pythons = [item for item in row.pythons if row.state(python=item) == PLANNED]
        planned = [f"CUDA {', '.join(cudas)}" if cudas else "", f"Python {', '.join(pythons)}" if pythons else ""]
        out.append(f"| {row.version} | {tried or 'nothing'} | {'; '.join(filter(None, planned)) or 'nothing'} |")
    return "\n".join(out) + "\n"


CASES = {"upstream": "upstream, 9 architectures", "ours": "this project, the same GPUs", "one": "this project, one GPU"}


def results() -> dict[str, Any]:
    """What benchmarks/results.json holds: one run of benchmarks/build_vs_upstream.py."""
    loaded: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8"))
    return loaded


def benchmark() -> str:
    """The size of the wheel and the time of the build, beside upstream's own build."""
    run = results()
    rows = {row["case"]: row for row in run["rows"]}
    out, y, told = [], 10, []
    for head, key, unit in (("Wheel size", "wheel-mb", "MB"), ("Build time", "wall-s", "s")):
        out.append(_text(14, y + 20, head, "head"))
        y += 30
        most = max(rows[case][key] for case in CASES)
        for case, words in CASES.items():
            value = rows[case][key]
            long = max(2.0, (WIDTH - 100) * value / most)
            amount = f"{value:,.1f} {unit}"
            out += [
                _text(14, y + 13, words, "small"),
                _rect(14, y + 18, long, 16, "theirs" if case == "upstream" else "ours", f"{words}: {amount}"),
                _text(14 + long + 8, y + 31, amount, ""),
            ]
            told.append(f"{head.lower()}, {words}: {amount}")
            y += 42
        y += 6
    told_of = [run["project"], *run["machine"].split(", "), f"gpu-code={run['gpu-code']}", run["commit"], run["date"]]
    for line in (", ".join(told_of[:3]) + ",", ", ".join(told_of[3:6]) + ",", ", ".join(told_of[6:])):
        out.append(_text(14, y + 14, line, "small"))
        y += 17
    return _svg("benchmark", y + 14, "Size and build time of a wheel, beside upstream's", f"{'; '.join(told)}.", out)


def benchmark_table() -> str:
    """The table of benchmarks/README.md."""
    rows = {row["case"]: row for row in results()["rows"]}
    theirs = rows["upstream"]
    words = {
        "upstream": "upstream, 9 architectures",
        "ours": "ours, which covers the same GPUs",
        "again": "again, nothing changed",
        "one": "one, `arch=native`",
    }
    units = {"wall-s": "s", "cpu-s": "s", "memory-gb": "GB", "wheel-mb": "MB"}
    out = ["| | wall | CPU | memory | wheel |", "|---|---|---|---|---|"]
    for case, name in words.items():
        cells = []
        for key, unit in units.items():
            value = rows[case][key]
            digits = 1 if unit == "s" else 2
            times = "" if case == "upstream" else f" ({value / theirs[key]:.2g} ×)"
            cells.append(f"{value:,.{digits}f} {unit}{times}")
        out.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(out) + "\n"


def pictures() -> dict[str, str]:
    """The files of docs/img that this module makes, by their names."""
    return {
        "support-cuda.svg": support("cuda"),
        "support-python.svg": support("python"),
        "benchmark.svg": benchmark(),
    }


def _kind(state: str) -> str:
    return {GPU: "gpu", IMPORTED: "imported", PLANNED: "planned"}[state]


def _text(x: float, y: float, words: str, kind: str) -> str:
    shown = f' class="{kind}"' if kind else ""
    return f'  <text{shown} x="{x:g}" y="{y:g}">{html.escape(words)}</text>'


def _rect(x: float, y: float, wide: float, high: float, kind: str, title: str = "") -> str:
    shape = f'  <rect class="{kind}" x="{x:g}" y="{y:g}" width="{wide:g}" height="{high:g}" rx="3"'
    return f"{shape}><title>{html.escape(title)}</title></rect>" if title else f"{shape}/>"


def _svg(name: str, high: float, title: str, told: str, body: list[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{high:g}" viewBox="0 0 {WIDTH} {high:g}"',
            f'  role="img" aria-labelledby="{name}-title {name}-desc">',
            f'  <title id="{name}-title">{html.escape(title)}</title>',
            f'  <desc id="{name}-desc">{html.escape(told)}</desc>',
            f"  <style>\n{STYLE}\n  </style>",
            f'  <rect class="ground" x="1" y="1" width="{WIDTH - 2}" height="{high - 2:g}" rx="14"/>',
            *body,
            "</svg>\n",
        ]
    )
