"""Print lines in colours by their kind, with rich; without rich, or if the output is piped, as plain text."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Any

WIDEST = 100
"""Columns: longer lines are hard to read."""
_NARROWEST = 40
_STYLES = {
    "title": "bold",
    "error": "bold red",
    "found": "bold",
    "warning": "yellow",
    "command": "green",
    "ready": "bold green",
    "name": "bold",
    "dim": "dim",
}
"""The colours of all commands, by a line's kind; only errors are red."""


def columns() -> int:
    """The terminal's width, within limits."""
    if not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        return 80
    return max(_NARROWEST, min(WIDEST, shutil.get_terminal_size((80, 24)).columns))


def show(lines: Iterable[tuple[str, str]]) -> None:
    """Print lines, each with its kind, to stdout. They are wrapped already; a command is never wrapped."""
    rich = _rich() if sys.stdout.isatty() else None
    if rich is None:
        sys.stdout.write("".join(f"{line}\n" for _, line in lines))
        return
    console_module, text_module = rich
    console = console_module.Console(highlight=False)
    for kind, line in lines:
        # Use Text, never markup: a path with brackets would be read as markup.
        console.print(text_module.Text(line, style=_STYLES.get(kind, "")), soft_wrap=True)


def _rich() -> tuple[Any, Any] | None:
    """rich, or pip's own copy of it: doctor also runs where nothing was installed for it."""
    for package in ("rich", "pip._vendor.rich"):
        try:
            return import_module(f"{package}.console"), import_module(f"{package}.text")
        except ImportError:
            continue
    return None
