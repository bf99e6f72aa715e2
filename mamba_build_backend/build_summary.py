"""The summary of a finished build: build time by stage, and wheel size by architecture."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from .audit.chart import in_units, shares
from .audit.types import Report
from .compile.progress import clock
from .core.files import sha256
from .symbols.floors import highest

_LEAST = 0.01
"""Rows with a smaller share are not shown."""


class Stopwatch:
    """Measures the stages of a build; ``lap`` ends a stage."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self.laps: dict[str, float] = {}
        """Seconds by the stage's name."""

    def lap(self, name: str) -> None:
        """Add the time since the last lap to this stage."""
        now = time.monotonic()
        self.laps[name] = self.laps.get(name, 0.0) + now - self._last
        self._last = now

    @property
    def seconds(self) -> float:
        """The sum of all laps."""
        return sum(self.laps.values())


def summary(watch: Stopwatch, report: Report, wheel: Path) -> list[str]:
    """The last lines of a wheel build: the table, then the wheel's name, size, SHA-256 and system requirements."""
    needs = highest([item.floor for item in report.extensions])
    size = f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, sha256 {sha256(wheel)}"
    floor = f"GLIBC {needs.glibc or '-'}, GLIBCXX {needs.glibcxx or '-'}, CXXABI {needs.cxxabi or '-'}"
    return [*(f"  {line}" for line in table(watch.laps, report)), f"{size}, needs {floor}; {watch.seconds:.0f} s"]


def table(laps: dict[str, float], report: Report) -> list[str]:
    """Two columns of lines: time by stage, and size by architecture."""
    whole = sum(laps.values())
    times = [(name, clock(seconds), seconds / whole) for name, seconds in laps.items() if seconds >= _LEAST * whole]
    found = {name: size for name, size in shares(report.extensions).items() if size > 0}
    bytes_ = sum(found.values())
    sizes = [(name, in_units(size), size / bytes_) for name, size in found.items() if size >= _LEAST * bytes_]
    left, right = _rows(times), _rows(sizes)
    width = max(map(len, left), default=0)
    lines = max(len(left), len(right))
    left += [""] * (lines - len(left))
    right += [""] * (lines - len(right))
    return [f"{one:<{width}}     {other}".rstrip() for one, other in zip(left, right)]


def _rows(rows: Sequence[tuple[str, str, float]]) -> list[str]:
    names = max((len(name) for name, _, _ in rows), default=0)
    return [f"{name:<{names}} {amount:>8} {share * 100:4.0f} %" for name, amount, share in rows]
