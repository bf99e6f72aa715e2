"""The build record in a wheel: its sources, tools, target and options. No I/O.

The types are the format: each field is a key of the JSON, under a ``schema`` number. The record is separate from the
plan, whose fields may be renamed at any time, while old wheels keep their records forever. A record contains no build
paths, no timestamps and no rejected choices, so that builds are reproducible.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from typing import Any, Optional

from ..symbols.floors import FAMILIES, Asked, EffectiveFloor, TorchNeeds
from ..tables import Floor

RECORD_NAME = "mamba-build-record.json"
RECORD_SCHEMA = 2
NO_FLOOR = Floor()


@dataclass(frozen=True)
class PatchRecord:
    """An applied patch: its file below ``patches/``, and the SHA-256 of its content."""

    file: str
    sha256: str
    kind: str = "drift"
    """``fix`` if it changes results; ``drift`` if the source does not compile or import without it."""


@dataclass(frozen=True)
class SourceRecord:
    """One project in the wheel."""

    name: str
    version: str
    """Empty for a project's own sources."""
    origin: str
    """``self``, ``embedded``, ``index``, ``git`` or ``path``; empty in old records."""
    sha256: str
    """The archive's hash; for a tag its commit, for a tree the hash of its files."""
    verified: bool
    """Whether the source is a release of upstream."""
    patches: tuple[PatchRecord, ...] = ()
    packages: tuple[str, ...] = ()
    """Its importable packages."""
    extensions: tuple[str, ...] = ()
    """The modules that the wheel must contain."""
    like: str = ""
    """For a changed tree: the most similar release, such as ``NAME 1.1.1``."""
    changed: tuple[str, ...] = ()
    """For a changed tree: the files that differ from that release, or are not in it."""


@dataclass(frozen=True)
class TorchRecord:
    """The torch that the wheel was compiled for."""

    version: str
    """Empty if the wheel is for many torches, and no torch was installed."""
    cuda: str
    cxx11_abi: Optional[bool]
    cxx_standard: int
    requirement: str
    """The requirement on torch in the wheel's metadata."""
    origin: str
    """How torch was found (:class:`~mamba_build_backend.core.facts.Origin`); empty in old records."""
    glibc: str = ""
    """With the next two: the newest symbol versions that torch's libraries need from the system; empty if unknown."""
    glibcxx: str = ""
    cxxabi: str = ""


@dataclass(frozen=True)
class ToolkitRecord:
    """The CUDA toolkit: its version, and its folder layout."""

    version: str
    layout: str
    origin: str = ""
    """As for torch."""


@dataclass(frozen=True)
class CompilerRecord:
    """The host compiler."""

    kind: str
    version: str
    target: str
    origin: str = ""
    """As for torch."""


@dataclass(frozen=True)
class SysrootRecord:
    """The sysroot: its provider, and its glibc version."""

    provider: str
    glibc: str
    origin: str = ""
    """As for torch; always ``index`` for zig's sysroot, newly made or cached."""


@dataclass(frozen=True)
class PassRecord:
    """One pass of nvcc's front end: its virtual architecture, and the code generated from it (``90``, ``PTX``)."""

    compute: str
    codes: tuple[str, ...]


@dataclass(frozen=True)
class GpuCodeRecord:
    """The GPU code in the wheel, and the tools that wrote it."""

    written_by: str
    """``nvcc``: only NVIDIA's tools; ``compact``: the backend rewrote their PTX."""
    passes: tuple[PassRecord, ...]
    shared_files: tuple[str, ...] = ()
    """Patterns of files that were compiled with fewer passes."""
    shared_passes: tuple[PassRecord, ...] = ()
    """The passes of these files."""
    derived: tuple[str, ...] = ()
    """Virtual architectures whose PTX was derived from that of the first of these passes."""
    regrouped: tuple[str, ...] = ()
    """Names of the generated files that replaced upstream's."""

    @property
    def codes(self) -> tuple[str, ...]:
        """All GPU code, in the order of the passes."""
        return tuple(code for item in self.passes for code in item.codes)


@dataclass(frozen=True)
class FlagsRecord:
    """Compiler options of the build that replaced upstream's."""

    nvcc: tuple[str, ...]
    cxx: tuple[str, ...]


@dataclass(frozen=True)
class VariableRecord:
    """A variable of the user's environment that reached a compiler; paths and secrets in its value are masked."""

    name: str
    value: str


@dataclass(frozen=True)
class FloorRecord:
    """Newest symbol versions: promised by the plan, measured in the wheel, and needed together with torch."""

    promised: Floor
    measured: Floor = NO_FLOOR
    effective: Optional[EffectiveFloor] = None
    """None if nothing was measured, as in an editable build."""


@dataclass(frozen=True)
class BuildRecord:
    """Sources, tools, target and options of a wheel."""

    backend: str
    """The version of the backend that built the wheel."""
    python: str
    abi: str
    """``torch``: for one minor version of torch and one Python; ``stable``: also for later ones."""
    repaired: bool
    """Whether the wheel promises to run on other machines."""
    portable: bool
    """Whether the build used the sysroot and the libstdc++ recipe."""
    stripped: bool
    upstream: SourceRecord
    companions: tuple[SourceRecord, ...]
    torch: TorchRecord
    toolkit: ToolkitRecord
    compiler: CompilerRecord
    sysroot: SysrootRecord
    gpu_code: GpuCodeRecord
    flags: FlagsRecord
    variables: tuple[VariableRecord, ...]
    cleaned: tuple[str, ...]
    """Names of variables that the build removed or shortened, because they point to folders of the host."""
    floor: FloorRecord
    pins: tuple[str, ...]
    """Requirements that the metadata restrict more than upstream's."""
    partner: str
    """The matching version of the project's partner; empty if there is none."""
    schema: int = RECORD_SCHEMA

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain dicts and lists."""
        return asdict(self)

    @property
    def sources(self) -> tuple[SourceRecord, ...]:
        """All compiled projects, the main one first."""
        return (self.upstream, *self.companions)

    def torch_needs(self) -> TorchNeeds | None:
        """Return what the build's torch needs from the system; None if unknown."""
        asked = {field: Asked(getattr(self.torch, field)) for field, _ in FAMILIES[:3] if getattr(self.torch, field)}
        return TorchNeeds(self.torch.version, "record", **asked) if asked else None


def loaded(kind: Any, data: Any, where: str) -> Any:
    """Convert plain data to a dataclass. Ignores unknown fields, which newer versions may add. Raises ValueError."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(data, Mapping):
            raise ValueError(f"{where}: an object is needed")
        hints = typing.get_type_hints(kind)
        values = {}
        for item in fields(kind):
            if item.name in data:
                values[item.name] = loaded(hints[item.name], data[item.name], f"{where}.{item.name}")
            elif item.default is MISSING:
                raise ValueError(f"{where} has no {item.name}")
        return kind(**values)
    if origin is tuple:
        if not isinstance(data, (list, tuple)):
            raise ValueError(f"{where}: a list is needed")
        return tuple(loaded(arguments[0], value, f"{where}[{n}]") for n, value in enumerate(data))
    if origin is typing.Union:  # only Optional[…] occurs
        return None if data is None else loaded(arguments[0], data, where)
    if not isinstance(data, kind) or (kind is int and isinstance(data, bool)):
        raise ValueError(f"{where}: {data!r} is not of type {kind.__name__}")
    return data
