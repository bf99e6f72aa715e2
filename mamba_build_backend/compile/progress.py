"""Show the progress of a compile: finished files from ninja's lines, running compilers from /proc.

Prints a line when a file is done, and a heartbeat line while compilers are still running. Our own frontends draw a progress bar and set
``PULSE``: then a line of JSON is printed every second, which the frontend removes from the output.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ..core._session_reaper import session_members
from ..core.paths import read_text
from ..core.process import Echo

PULSE = "_MAMBA_BACKEND_PULSE"
"""Environment variable that a frontend with a progress bar sets."""
MARK = "pulse "
"""Marks a line with the JSON of a pulse; follows the backend's prefix."""

_DONE = re.compile(r"(\[(\d+)/(\d+)\] |\S*(?:\+\+|cc) .*? -c ).*?(\S+\.(?:cu|cpp|cc|cxx|c))(?:'|\s)")
_TROUBLE = re.compile(r"\b(error|fatal|FAILED|refused)\b")
_SOURCE = re.compile(r"\.(cu|cpp|cc|cxx|c)$")
_COMPILERS = re.compile(r"(nvcc|zig|(.*-)?(gcc|g\+\+|cc|c\+\+)(-[\d.]+)?)$")
_SILENCE = 60.0
"""Seconds without output after which a heartbeat line is printed."""


@dataclass(frozen=True)
class Pulse:
    """State of a compile. ``left``: seconds, None if not known yet; ``memory``: bytes."""

    done: int
    total: int
    seconds: float
    running: tuple[str, ...]
    memory: int
    left: float | None
    over: bool = False
    """Whether this is the last pulse."""

    def text(self) -> str:
        """Return the heartbeat line for people."""
        parts = [f"{self.done} of {self.total} files, {clock(self.seconds)}" if self.total else clock(self.seconds)]
        if self.running:
            shown = ", ".join(self.running[:4]) + (
                f" and {len(self.running) - 4} more" if len(self.running) > 4 else ""
            )
            parts.append(f"compiling {shown}")
        if self.memory:
            parts.append(f"{self.memory / 1e9:.1f} GB")
        if self.left is not None:
            parts.append(f"about {clock(self.left)} left")
        return "; ".join(parts)


class Progress:
    """Shorten ninja's lines to file, count and time. The log keeps everything."""

    def __init__(self, echo: Echo, *, verbose: bool, environ: Mapping[str, str] | None = None) -> None:
        """With ``verbose``, print lines unchanged."""
        self._echo, self._verbose, self._start = echo, verbose, time.monotonic()
        self._drawn = bool((environ or {}).get(PULSE))
        self._spoke = self._start
        self._done = self._total = 0
        self.interval = 1.0 if self._drawn else _SILENCE / 4

    def __call__(self, line: str) -> None:
        """Handle one line of output."""
        match = _DONE.match(line + " ")
        if match and match[2]:
            self._done, self._total = int(match[2]), int(match[3])
        if self._verbose:
            self._say(line)
        elif match:
            # ninja prints its count when a file is done; a setup.py without ninja prints each command when it starts.
            count = match[1] if match[2] else ""
            self._say(f"{count}{clock(time.monotonic() - self._start)}  {os.path.basename(match[4])}")
        elif _TROUBLE.search(line) and "-Werror" not in line:
            self._say(line[:400])

    def _say(self, line: str) -> None:
        self._spoke = time.monotonic()
        self._echo(line)

    def beat(self, session: int) -> None:
        """Print a pulse or a heartbeat if one is due; called every ``interval`` seconds with the compilers' session."""
        now = time.monotonic()
        if not self._drawn and now - self._spoke < _SILENCE:
            return
        running, memory = at_work(session_members(session))
        seconds = now - self._start
        pulse = Pulse(
            self._done, self._total, seconds, running, memory, left(seconds, self._done, len(running), self._total)
        )
        if self._drawn:
            self._echo(MARK + json.dumps(asdict(pulse)))
        elif not self._verbose:
            self._say(pulse.text())

    def end(self) -> None:
        """Print the last pulse; call this when the compilers have ended."""
        if self._drawn:
            last = Pulse(self._done, self._total, time.monotonic() - self._start, (), 0, None, over=True)
            self._echo(MARK + json.dumps(asdict(last)))


def left(seconds: float, done: int, running: int, total: int) -> float | None:
    """Estimate the remaining seconds; files in progress count as half done.

    None before the first file is done, and when no file waits any more: the last file is often by far the longest, so
    the others do not predict its time.

    >>> left(100, 1, 2, 10), left(100, 0, 2, 10), left(360, 3, 1, 4)
    (400.0, None, None)
    """
    if not done or done + running >= total:
        return None
    finished = done + running / 2
    return seconds / finished * (total - finished)


def at_work(processes: Iterable[int]) -> tuple[tuple[str, ...], int]:
    """Return the source files that compilers are working on, and the memory of all these processes in bytes."""
    running: dict[str, None] = {}
    memory = 0
    page = os.sysconf("SC_PAGE_SIZE")
    for pid in processes:
        with suppress(OSError, ValueError, IndexError):
            words = read_text(Path("/proc") / str(pid) / "cmdline", errors="replace").split("\0")
            # The second number of statm is the resident memory in pages: proc(5).
            memory += int(read_text(Path("/proc") / str(pid) / "statm").split()[1]) * page
            # Only the compiler driver: the programs that it starts have temporary files as names.
            if _COMPILERS.match(os.path.basename(words[0])) and "-c" in words:
                source = next((word for word in reversed(words) if _SOURCE.search(word)), "")
                name = os.path.basename(source)
                if name and not name.startswith("tmpxft_"):  # nvcc's temporary files
                    running[name] = None
    return tuple(sorted(running)), memory


def read_pulse(text: str) -> Pulse | None:
    """Return the pulse that a line contains, or None."""
    if not text.startswith(MARK):
        return None
    try:
        values = json.loads(text[len(MARK) :])
        return Pulse(**{**values, "running": tuple(values["running"])})
    except (ValueError, KeyError, TypeError):
        return None


def clock(seconds: float) -> str:
    """Format as minutes and seconds.

    >>> clock(130.4)
    '2:10'
    """
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
