"""A live progress bar on a terminal, which rich draws from a build's heartbeats; output lines scroll above it."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import import_module
from types import TracebackType
from typing import Any

from ..compile.progress import Pulse, clock, read_pulse
from ..core.error_boundary import PREFIX
from ..core.process import say


class Relay:
    """Prints a frontend's lines to stderr; on a terminal that rich can draw on, heartbeats become a bar below them."""

    def __init__(self) -> None:
        self._progress = _progress() if sys.stderr.isatty() else None
        self._task: Any = None

    @property
    def draws(self) -> bool:
        """Whether the build should send heartbeats."""
        return self._progress is not None

    def __enter__(self) -> Relay:  # noqa: PYI034 - Self is Python 3.11's
        """Start."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the bar in any case."""
        self._end()

    def __call__(self, line: str) -> None:
        """Handle one line of output."""
        pulse = read_pulse(line.strip().removeprefix(PREFIX))
        if pulse is not None:
            self._draw(pulse)
        elif line.strip():
            # While the bar is shown, rich's console prints the line above it; without markup, which a path may look
            # like.
            if self._progress is not None and self._task is not None:
                self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
            else:
                say(line)

    def _end(self) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.stop()
            self._progress.remove_task(self._task)
            self._task = None

    def _draw(self, pulse: Pulse) -> None:
        if self._progress is None:
            return
        if pulse.over:
            self._end()
            return
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task("", total=None, about="")
        about = [
            ", ".join(pulse.running[:2]) + (" …" if len(pulse.running) > 2 else ""),
            f"{pulse.memory / 1e9:.1f} GB",
        ]
        about.append(clock(pulse.seconds) + (f", about {clock(pulse.left)} left" if pulse.left is not None else ""))
        told = "  ".join(filter(None, about))
        self._progress.update(self._task, completed=pulse.done, total=pulse.total or None, about=told, refresh=True)


def _progress() -> Any | None:
    """A progress bar of rich or of pip's own copy of rich; None without rich, or on a terminal that cannot draw it."""
    for package in ("rich", "pip._vendor.rich"):
        # A rich that is too old lacks a column or an argument: try the next one.
        with suppress(ImportError, AttributeError, TypeError):
            parts = import_module(f"{package}.progress")
            console = import_module(f"{package}.console").Console(stderr=True)
            if not console.is_terminal or console.is_dumb_terminal:
                return None
            columns = (
                parts.BarColumn(bar_width=24),
                parts.MofNCompleteColumn(),
                parts.TextColumn("{task.fields[about]}", markup=False),
            )
            # auto_refresh would draw ten times a second; a heartbeat comes once.
            return parts.Progress(*columns, console=console, transient=True, auto_refresh=False)
    return None
