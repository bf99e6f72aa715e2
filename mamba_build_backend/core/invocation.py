"""How this tool was started, so that the commands that it tells are those that the user can type."""

from __future__ import annotations

import os
import re
import sys

PROGRAM = "mamba-build-backend"
"""The console script that the tool's own distribution installs."""
MODULE = "python -m mamba_build_backend"
"""How every message of the backend spells the tool."""

_SPELLED = re.compile(
    r"""(?<!&& )(?:'[^'\n]{0,4096}/python[\d.]*'|(?:[^\s'"()`]{0,4096}/)?python[\d.]*) -m mamba_build_backend\b"""
)
_OF_UVX = re.compile(r"/(?:archive|environments|builds)-v\d+/")
"""In uv's cache: the environments of ``uvx``."""
_OF_PIPX = re.compile(r"/pipx/(?:\.?cache/)?[0-9a-f]{12,}(?:/|$)|/\.cache/pipx/")
"""Those of ``pipx run``."""


def command(argv: str | None = None, prefix: str = sys.prefix) -> str:
    """The words that start this tool again: ``python -m mamba_build_backend`` unless the console script was started.

    ``argv`` is the program's own word, by default that of this process. An environment of ``uvx`` or ``pipx run`` is in no PATH and
    may be gone tomorrow: the words then name the runner.
    """
    if os.path.basename(sys.argv[0] if argv is None else argv) != PROGRAM:
        return MODULE
    if _OF_UVX.search(f"{prefix}/"):
        return f"uvx {PROGRAM}"
    return f"pipx run {PROGRAM}" if _OF_PIPX.search(prefix) else PROGRAM


def as_typed(text: str) -> str:
    """The text with each command of this tool as it can be typed again. After ``cd FOLDER &&`` that folder's own copy is meant, which stays.

    >>> as_typed("python -m mamba_build_backend doctor")
    'python -m mamba_build_backend doctor'
    """
    words = command()
    return text if words == MODULE else _SPELLED.sub(words, text)
