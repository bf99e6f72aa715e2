"""The symbol versions that a torch's libraries ask of the system, for ``doctor``: of each file the one table that says so."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from .elf_tables import DamagedError, opened

_FAMILIES = ("GLIBC", "GLIBCXX", "CXXABI")


def newest_needs(libraries: Iterable[Path]) -> dict[str, str]:
    """The newest GLIBC, GLIBCXX and CXXABI version over ``libraries``; those that are missing or no ELF are left out."""
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
    """The names in the section .gnu.version_r, such as ``GLIBC_2.14``. Raises OSError, and DamagedError for what is no ELF file."""
    with opened(path) as elf:
        return [version for _, version, _ in elf.version_needs()]
