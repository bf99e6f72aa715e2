"""Folders to search."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ..core.paths import search_path


def on_path(environ: Mapping[str, str]) -> list[Path]:
    """The existing folders of PATH, in order, each once (by real path); no relative ones (:func:`search_path`)."""
    seen: set[str] = set()
    out: list[Path] = []
    for entry in search_path(environ).split(os.pathsep):
        real = os.path.realpath(entry) if entry else ""
        if real and real not in seen and os.path.isdir(real):
            seen.add(real)
            out.append(Path(entry))
    return out


def conda_prefixes(environ: Mapping[str, str]) -> list[tuple[Path, str]]:
    """The active conda environments, each with the variable that names it.

    conda-build and rattler-build use two: compilers are in BUILD_PREFIX, and libraries to link against in PREFIX.
    """
    names = ["CONDA_PREFIX", *(["BUILD_PREFIX", "PREFIX"] if environ.get("CONDA_BUILD") == "1" else [])]
    found = {environ[name]: name for name in reversed(names) if environ.get(name)}
    return [(Path(prefix), found[prefix]) for prefix in sorted(found, key=lambda item: names.index(found[item]))]
