"""Collect the licences of a wheel: those of its projects, and the notices of compiled-in code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..source.prepare import Part
from . import metadata, third_party


def licences(made: Sequence[Part], pkg_infos: Sequence[str]) -> dict[str, Path]:
    """Return licence files by their names in the wheel, with the notices of compiled-in code.

    A companion's files, and the notices, are in folders with their names.
    """
    (main, *others), (first, *rest) = made, pkg_infos
    found = metadata.license_files(main.tree, first)
    for part, pkg_info in zip(others, rest):
        name = part.plan.upstream.value.name
        found.update({f"{name}/{file}": path for file, path in metadata.license_files(part.tree, pkg_info).items()})
    return {**found, **third_party.notices(main.plan)}
