"""The build record: what a wheel was built from, with and for, as it travels in the wheel. Pure.

The types are the format: each field is a key of the JSON, under a ``schema`` number. It is apart from the plan, whose fields may be
renamed at any time, while old wheels keep their records for ever. A record holds no folder, nothing of the hour and nothing that was
passed over: two builds of one plan write the same bytes.
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
    """A patch that was applied: its file below ``patches/``, and the SHA-256 of its content."""

    file: str
    sha256: str
    kind: str = "drift"
    """``fix`` where it changes results; ``drift`` where the source does not compile or import without it."""


@dataclass(frozen=True)
class SourceRecord:
    """One project that was compiled into the wheel."""

    name: str
    version: str
    """Empty for a project's own sources."""
    origin: str
    """``self``, ``embedded``, ``index``, ``git`` or ``path``; empty where an old record does not say."""
    sha256: str
    """Of the archive; of a tag the commit, of a tree the hash of its files."""
    verified: bool
    """Whether it is what upstream released."""
    patches: tuple[PatchRecord, ...] = ()
    packages: tuple[str, ...] = ()
    """What is imported of it."""
    extensions: tuple[str, ...] = ()
    """The modules that the wheel has to hold."""
    like: str = ""
    """Of a tree that somebody changed: the release that it is most like, such as ``NAME 1.1.1``."""
    changed: tuple[str, ...] = ()
    """Its files that are not as in that release, and those that the release has not."""


@dataclass(frozen=True)
class TorchRecord:
    """The torch that the wheel was compiled for."""

    version: str
    """Empty where the wheel is for many, and none was there."""
    cuda: str
    cxx11_abi: Optional[bool]
    cxx_standard: int
    requirement: str
    """What the wheel's metadata ask of torch."""
    origin: str
    """How it was found (:class:`~mamba_build_backend.core.facts.Origin`); empty where an old record does not say."""
    glibc: str = ""
    """With the next two: the newest symbol versions that its libraries ask of the system; empty where unread."""
    glibcxx: str = ""
    cxxabi: str = ""


@dataclass(frozen=True)
class ToolkitRecord:
    """The CUDA toolkit: its version, and how its parts lie."""

    version: str
    layout: str
    origin: str = ""
    """As of torch."""


@dataclass(frozen=True)
class CompilerRecord:
    """The host compiler."""

    kind: str
    version: str
    target: str
    origin: str = ""
    """As of torch."""


@dataclass(frozen=True)
class SysrootRecord:
    """What was linked against: who made it, and the glibc that it has."""

    provider: str
    glibc: str
    origin: str = ""
    """As of torch; ``index`` for zig's, whether it was made just now or lay in the cache."""


@dataclass(frozen=True)
class PassRecord:
    """One pass of nvcc's front end: its virtual architecture, and the code that is made of it (``90``, ``PTX``)."""

    compute: str
    codes: tuple[str, ...]


@dataclass(frozen=True)
class GpuCodeRecord:
    """Which GPU code is in the wheel, and what made it."""

    written_by: str
    """``nvcc``: NVIDIA's tools alone; ``compact``: the backend rewrote their PTX."""
    passes: tuple[PassRecord, ...]
    shared_files: tuple[str, ...] = ()
    """Patterns of files that were compiled with fewer passes."""
    shared_passes: tuple[PassRecord, ...] = ()
    """Those passes."""
    derived: tuple[str, ...] = ()
    """Virtual architectures whose PTX was written from that of the first of those passes."""
    regrouped: tuple[str, ...] = ()
    """Names of the files that took the place of upstream's."""

    @property
    def codes(self) -> tuple[str, ...]:
        """All code, in the order of the passes."""
        return tuple(code for item in self.passes for code in item.codes)


@dataclass(frozen=True)
class FlagsRecord:
    """Options that the build gave the compilers in place of upstream's."""

    nvcc: tuple[str, ...]
    cxx: tuple[str, ...]


@dataclass(frozen=True)
class VariableRecord:
    """A variable of the user's environment that reached a compiler; folders and secrets in it are replaced."""

    name: str
    value: str


@dataclass(frozen=True)
class FloorRecord:
    """Symbol versions: the newest that the build promised to need, that were measured, and those together with torch's."""

    promised: Floor
    measured: Floor = NO_FLOOR
    effective: Optional[EffectiveFloor] = None
    """None where nothing was measured, as in an editable build."""


@dataclass(frozen=True)
class BuildRecord:
    """What a wheel was built from, with and for."""

    backend: str
    """The version of this backend."""
    python: str
    abi: str
    """``torch``: tied to torch's minor version and one Python; ``stable``: for later ones too."""
    repaired: bool
    """Whether it promises to run elsewhere; if not, it is for the machine that built it."""
    portable: bool
    """Whether compilers saw the sysroot and the libstdc++ recipe."""
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
    """Names of variables that the build dropped or shortened, since they lead to folders of the host."""
    floor: FloorRecord
    pins: tuple[str, ...]
    """Requirements that the metadata make narrower than upstream's."""
    partner: str
    """The version of the project's partner that goes with it; empty where there is none."""
    schema: int = RECORD_SCHEMA

    def to_json(self) -> dict[str, Any]:
        """The record as plain dicts and lists."""
        return asdict(self)

    @property
    def sources(self) -> tuple[SourceRecord, ...]:
        """All that was compiled, the main project first."""
        return (self.upstream, *self.companions)

    def torch_needs(self) -> TorchNeeds | None:
        """What its torch asks of the system; None where that was not read."""
        asked = {field: Asked(getattr(self.torch, field)) for field, _ in FAMILIES[:3] if getattr(self.torch, field)}
        return TorchNeeds(self.torch.version, "record", **asked) if asked else None


def loaded(kind: Any, data: Any, where: str) -> Any:
    """Plain data as a dataclass. A field that is not known was added later, and is passed over. Raises ValueError."""
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
    if origin is typing.Union:  # Optional[…], the only union here
        return None if data is None else loaded(arguments[0], data, where)
    if not isinstance(data, kind) or (kind is int and isinstance(data, bool)):
        raise ValueError(f"{where}: {data!r} is not of type {kind.__name__}")
    return data
