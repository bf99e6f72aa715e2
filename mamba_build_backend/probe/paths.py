"""Folders to look in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ..core.paths import search_path


def on_path(environ: Mapping[str, str]) -> list[Path]:
    """The folders of PATH that exist, in order, each once (by real path); none without a root (:func:`search_path`)."""
    seen: set[str] = set()
    out: list[Path] = []
    for entry in search_path(environ).split(os.pathsep):
        real = os.path.realpath(entry) if entry else ""
        if real and real not in seen and os.path.isdir(real):
            seen.add(real)
            out.append(Path(entry))
    return out


def conda_prefixes(environ: Mapping[str, str]) -> list[tuple[Path, str]]:
    """The folders of conda's environments in use, and the variable that names each.

    conda-build and rattler-build have two: compilers lie in BUILD_PREFIX, what the package is linked against in PREFIX.
    """
    names = ["CONDA_PREFIX", *(["BUILD_PREFIX", "PREFIX"] if environ.get("CONDA_BUILD") == "1" else [])]
    found = {environ[name]: name for name in reversed(names) if environ.get(name)}
    return [(Path(prefix), found[prefix]) for prefix in sorted(found, key=lambda item: names.index(found[item]))]
