"""Results of an audit: frozen records, separate from the code that reads ELF files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..core.errors import Problem
from ..symbols.floors import EffectiveFloor
from ..symbols.sections import Section
from ..tables import Floor
from ..wheel.build_record import BuildRecord

SCHEMA = 1
"""Version of the JSON. Adding keys does not change it."""
ABI_TABLE = "abi3info>=2024.10"
"""Trail of Bits' table of CPython's Misc/stable_abi.toml. A build requirement of wheels for the stable ABI."""


@dataclass(frozen=True)
class Promise:
    """Promises of a wheel. ``codes``: real architectures, or ``PTX``; ``extensions``: module names."""

    floor: Floor | None = None
    codes: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    stable: bool = False
    """Whether the wheel works with every later torch and Python."""


@dataclass(frozen=True)
class Provider:
    """A torch to compare a wheel with: its site-packages, its version (empty if unknown), and its library files."""

    site: str
    version: str
    libraries: tuple[Path, ...]


@dataclass(frozen=True)
class TorchFit:
    """Whether a wheel and one torch fit together."""

    site: str
    version: str
    asked: bool
    """Whether the wheel's metadata admit this version; True if they require no torch, or the version is unknown."""
    missing: tuple[str, ...]
    """Symbols and libraries that this torch, CUDA and Python do not have."""

    @property
    def shown(self) -> str:
        """The first missing symbols, for a message."""
        return ", ".join(self.missing[:3]) + (" …" if len(self.missing) > 3 else "")


@dataclass(frozen=True)
class AbiUse:
    """What an extension for Python's stable ABI uses; ``python`` is the newest version that a symbol needs."""

    python: str
    python_outside: tuple[str, ...]
    """Symbols of Python that are in no stable ABI."""
    torch_shims: tuple[str, ...]
    """Functions of torch's stable C interface."""
    torch_outside: tuple[str, ...]
    """Other symbols that torch's libraries must provide."""
    exports: tuple[str, ...]


@dataclass(frozen=True)
class Extension:
    """One shared library of the wheel. Sizes in bytes; ``unresolved`` is None if no torch was given."""

    path: str
    machine: str
    """As in platform tags: ``x86_64``; ``machine 8`` for a machine without a platform tag."""
    size: int
    floor: Floor
    blockers: tuple[tuple[str, str, str], ...]
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    sass: tuple[tuple[str, int], ...]
    ptx: tuple[tuple[str, int], ...]
    unversioned: int
    unresolved: tuple[str, ...] | None
    """Symbols that the first given torch lacks."""
    abi: AbiUse | None = None
    """None if the file is not an ``.abi3.so``."""
    sections: tuple[Section, ...] = ()
    """Sections of the file; those of the kind ``gpu`` contain ``sass`` and ``ptx`` as stored, which nvcc may compress."""

    shared: bool = True
    """Whether a process can load it."""

    @property
    def uses_torch(self) -> bool:
        """Whether the library is linked with torch's libraries."""
        return any(name.startswith(("libtorch", "libc10")) for name in self.needed)


@dataclass(frozen=True)
class Report:
    """The verdict on one wheel."""

    wheel: str
    size: int
    tags: tuple[str, ...]
    extensions: tuple[Extension, ...]
    problems: tuple[Problem, ...]
    requires_torch: str = ""
    """The metadata's requirement on torch, such as ``torch==2.11.*``."""
    torches: tuple[TorchFit, ...] = ()
    effective_floor: EffectiveFloor | None = None
    """What a system must have for the wheel and its torch together; None if the wheel has no shared library."""
    record: BuildRecord | None = None
    """The wheel's build record, converted to the current schema."""
    schema: int = SCHEMA
