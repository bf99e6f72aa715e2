"""Folders to look in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def on_path(environ: Mapping[str, str]) -> list[Path]:
    """The folders of PATH that exist, in order, each once (by real path)."""
    seen: set[str] = set()
    out: list[Path] = []
    for entry in environ.get("PATH", os.defpath).split(os.pathsep):
        real = os.path.realpath(entry) if entry else ""
        if real and real not in seen and os.path.isdir(real):
            seen.add(real)
            out.append(Path(entry))
    return out
