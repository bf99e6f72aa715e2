"""Read the symbol versions that torch's libraries need, for ``doctor``: reads only one table per file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from .elf_tables import DamagedError, opened

_FAMILIES = ("GLIBC", "GLIBCXX", "CXXABI")


def newest_needs(libraries: Iterable[Path]) -> dict[str, str]:
    """Return the newest GLIBC, GLIBCXX and CXXABI versions over ``libraries``; skips files that are missing or not ELF."""
    newest: dict[str, tuple[int, ...]] = {}
    for path in libraries:
        try:
            names = needed_versions(path)
        except (OSError, DamagedError):
            continue
        for name in names:
            if match := re.fullmatch(r"([A-Z]+)_([0-9]{1,9}(?:\.[0-9]{1,9}){0,9})", name):
                version = tuple(map(int, match[2].split(".")))
                newest[match[1]] = max(newest.get(match[1], ()), version)
    return {family: ".".join(map(str, newest[family])) for family in _FAMILIES if family in newest}


def needed_versions(path: Path) -> list[str]:
    """Return the names in .gnu.version_r, such as ``GLIBC_2.14``.

    Raises OSError, and DamagedError if the file is not ELF.
    """
    with opened(path) as elf:
        return [version for _, version, _ in elf.version_needs()]
