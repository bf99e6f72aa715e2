"""What an audit says: frozen records, apart from the code that reads ELF files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..core.errors import Problem
from ..symbols.floors import EffectiveFloor
from ..symbols.sections import Section
from ..tables import Floor
from ..wheel.build_record import BuildRecord

SCHEMA = 1
"""Of the JSON. It stays where keys are added."""
ABI_TABLE = "abi3info>=2024.10"
"""Trail of Bits' table of CPython's Misc/stable_abi.toml. Asked for where a wheel for the stable ABI is built."""


@dataclass(frozen=True)
class Promise:
    """What a wheel must keep. ``codes`` are real architectures, or ``PTX``; ``extensions`` module names."""

    floor: Floor | None = None
    codes: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    stable: bool = False
    """Whether it serves every later torch and Python."""


@dataclass(frozen=True)
class Provider:
    """A torch that a wheel is held against: where it is, its version (empty where it is not known), and its libraries' files."""

    site: str
    version: str
    libraries: tuple[Path, ...]


@dataclass(frozen=True)
class TorchFit:
    """How a wheel and one torch go together."""

    site: str
    version: str
    asked: bool
    """Whether the wheel's metadata admit this version; True where they, or the version, say nothing."""
    missing: tuple[str, ...]
    """Symbols and libraries that this torch, CUDA and Python do not have."""

    @property
    def shown(self) -> str:
        """The first of what is missing."""
        return ", ".join(self.missing[:3]) + (" …" if len(self.missing) > 3 else "")


@dataclass(frozen=True)
class AbiUse:
    """What an extension of Python's stable ABI uses; ``python`` is the newest version that one of its symbols asks for."""

    python: str
    python_outside: tuple[str, ...]
    """Symbols of Python that are in no stable ABI."""
    torch_shims: tuple[str, ...]
    """Functions of torch's stable C interface."""
    torch_outside: tuple[str, ...]
    """What else must come from torch's libraries."""
    exports: tuple[str, ...]


@dataclass(frozen=True)
class Extension:
    """One shared library of the wheel. Sizes in bytes; ``unresolved`` is None where nothing could be looked up."""

    path: str
    machine: str
    """As in platform tags: ``x86_64``; ``machine 8`` for one that none of them names."""
    size: int
    floor: Floor
    blockers: tuple[tuple[str, str, str], ...]
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    sass: tuple[tuple[str, int], ...]
    ptx: tuple[tuple[str, int], ...]
    unversioned: int
    unresolved: tuple[str, ...] | None
    """Of the first torch that was given."""
    abi: AbiUse | None = None
    """Of an ``.abi3.so``."""
    sections: tuple[Section, ...] = ()
    """What occupies the file; ``sass`` and ``ptx`` lie within those of the kind ``gpu``, as stored: nvcc may compress them."""

    shared: bool = True
    """Whether a process can load it."""

    @property
    def uses_torch(self) -> bool:
        """Whether it is linked to torch's libraries."""
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
    """What its metadata ask of torch, such as ``torch==2.11.*``."""
    torches: tuple[TorchFit, ...] = ()
    effective_floor: EffectiveFloor | None = None
    """What a system must have for the wheel and its torch together; None where it holds no shared library."""
    record: BuildRecord | None = None
    """Of whatever schema it is in the wheel, in today's form."""
    schema: int = SCHEMA
