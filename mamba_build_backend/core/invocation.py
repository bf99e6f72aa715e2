"""How this tool was started, so that the commands it shows are ones that the user can type."""

from __future__ import annotations

import os
import re
import sys

PROGRAM = "mamba-build-backend"
"""The console script of the tool's own distribution."""
MODULE = "python -m mamba_build_backend"
"""The spelling of the tool in every message of the backend."""

_SPELLED = re.compile(
    r"""(?<!&& )(?:'[^'\n]{0,4096}/python[\d.]*'|(?:[^\s'"()`]{0,4096}/)?python[\d.]*) -m mamba_build_backend\b"""
)
_OF_UVX = re.compile(r"/(?:archive|environments|builds)-v\d+/")
"""Environments of ``uvx``, in uv's cache."""
_OF_PIPX = re.compile(r"/pipx/(?:\.?cache/)?[0-9a-f]{12,}(?:/|$)|/\.cache/pipx/")
"""Environments of ``pipx run``."""


def command(argv: str | None = None, prefix: str = sys.prefix) -> str:
    """The command that starts this tool again: ``python -m mamba_build_backend``, or the console script.

    ``argv`` is the program's name, by default this process's. An environment of ``uvx`` or ``pipx run`` is on no PATH
    and may be gone tomorrow, so the command then names the runner.
    """
    if os.path.basename(sys.argv[0] if argv is None else argv) != PROGRAM:
        return MODULE
    if _OF_UVX.search(f"{prefix}/"):
        return f"uvx {PROGRAM}"
    return f"pipx run {PROGRAM}" if _OF_PIPX.search(prefix) else PROGRAM


def as_typed(text: str) -> str:
    """The text with each command of this tool spelled as it can be typed again.

    A command after ``cd FOLDER &&`` means that folder's own copy and is left alone.

    >>> as_typed("python -m mamba_build_backend doctor")
    'python -m mamba_build_backend doctor'
    """
    words = command()
    return text if words == MODULE else _SPELLED.sub(words, text)
