"""What an audit says: frozen records, apart from the code that reads ELF files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .errors import Problem
from .tables import Floor

SCHEMA = 1


@dataclass(frozen=True)
class Promise:
    """What a wheel must keep. ``codes`` are real architectures, or ``PTX``; ``extensions`` module names."""

    floor: Floor | None = None
    codes: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Extension:
    """One shared library of the wheel. Sizes in bytes; ``unresolved`` is None where nothing could be looked up."""

    path: str
    size: int
    floor: Floor
    blockers: tuple[tuple[str, str, str], ...]
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    sass: tuple[tuple[str, int], ...]
    ptx: tuple[tuple[str, int], ...]
    unversioned: int
    unresolved: tuple[str, ...] | None


@dataclass(frozen=True)
class Report:
    """The verdict on one wheel."""

    wheel: str
    size: int
    tags: tuple[str, ...]
    extensions: tuple[Extension, ...]
    problems: tuple[Problem, ...]
    record: dict[str, Any] | None = None
    schema: int = SCHEMA
