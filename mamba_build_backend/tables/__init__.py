"""Facts about CUDA, torch, distributions and projects as data: each row has its source and is checked when loaded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..core._compat import specifiers, tomllib
from ..core.paths import is_dir, is_file, open_plain
from ..core.projects import PROJECTS
from ..core.typed import load_row
from ..core.versions import parsed
from .forks import Fork
from .projects import BadArch, Partner, PatchRow, Project, ProjectVersion, ThirdParty, load_projects
from .redist import Archive, Archives, CrossRuntime, RedistHost, RedistRelease, checked_archive, releases
from .released import ReleasedFiles, load_released
from .rows import (
    BadNeighbour,
    BadPair,
    Cuda,
    Distribution,
    Floor,
    FrontEnd,
    KernelGroup,
    TorchRow,
    Zig,
    ZigCompiler,
    admits,
    covers,
    in_order,
    is_newer,
    is_version,
    minor,
    nearest,
)

__all__ = [
    "PATCHES",
    "Archive",
    "Archives",
    "BadArch",
    "BadNeighbour",
    "BadPair",
    "CrossRuntime",
    "Cuda",
    "Distribution",
    "Floor",
    "Fork",
    "FrontEnd",
    "KernelGroup",
    "Partner",
    "PatchRow",
    "Project",
    "ProjectVersion",
    "RedistHost",
    "RedistRelease",
    "ReleasedFiles",
    "Tables",
    "ThirdParty",
    "TorchRow",
    "ZigCompiler",
    "admits",
    "covers",
    "is_newer",
    "is_version",
    "load_tables",
    "minor",
    "read_rows",
]

HERE = Path(__file__).parent
PATCHES = HERE.parent / "patches" if is_dir(HERE.parent / "patches") else HERE.parent.parent / "patches"
"""The folder of patches: inside a vendored backend, otherwise next to it. Without series.toml there are no patches."""


@dataclass(frozen=True)
class Tables:
    """All tables. Immutable, so a plan depends only on facts, settings and these tables."""

    cuda: tuple[Cuda, ...]
    bad_pairs: tuple[BadPair, ...]
    torch: tuple[TorchRow, ...]
    bad_neighbours: tuple[BadNeighbour, ...]
    projects: tuple[Project, ...]
    """The default project first."""
    versions: tuple[ProjectVersion, ...]
    """The versions of all projects, in rising order for each project."""
    patches: tuple[PatchRow, ...]
    distributions: tuple[Distribution, ...]
    floors: tuple[Floor, ...]
    cxx11_glibc: str
    zig: Zig
    zig_compilers: tuple[ZigCompiler, ...]
    """In order of their CUDA releases."""
    nvidia: RedistHost
    archives: tuple[Archive, ...]
    """NVIDIA's archives of CUDA releases without an nvcc on PyPI."""
    runtimes: tuple[CrossRuntime, ...] = ()
    released: tuple[ReleasedFiles, ...] = ()
    """The source files of each project's releases."""

    def versions_of(self, project: str) -> list[ProjectVersion]:
        """Return the versions of a project, oldest first; empty for an unknown project."""
        return [row for row in self.versions if row.name == project]

    def cuda_row(self, wanted: str) -> Cuda:
        """Return the row of a CUDA release, or the newest older row, or the oldest of all."""
        return nearest(self.cuda, wanted)

    def torch_row(self, wanted: str) -> TorchRow:
        """Return the row of a torch version, or the newest older row, or the oldest of all."""
        return nearest(self.torch, wanted)

    def redist(self, machine: str) -> tuple[RedistRelease, ...]:
        """Return the CUDA releases with NVIDIA archives for ``machine`` (platform.machine()), oldest first."""
        return releases(self.archives, machine)

    def cross_runtime(self, cuda: str, machine: str) -> CrossRuntime | None:
        """Return CUDA's runtime of this minor version for another processor than the build's; None if unknown."""
        return next((row for row in self.runtimes if (row.cuda, row.machine) == (minor(cuda), machine)), None)

    def zig_compiler(self, cuda: str) -> ZigCompiler | None:
        """Return the zig that works as host compiler for a CUDA release; None if unknown."""
        return next((row for row in self.zig_compilers if admits(row.cuda, cuda)), None)

    def floor_row(self, glibc: str) -> Floor:
        """Return the manylinux row of a glibc version, or the newest older row, or the oldest of all."""
        older = [row for row in self.floors if parsed(row.glibc) <= parsed(glibc)]
        return older[-1] if older else self.floors[0]

    def distribution_row(self, name: str) -> Distribution | None:
        """Return the row of a distribution, such as ``rocky 8.9`` or ``ubuntu 22.04``; None if unknown."""
        for row in self.distributions:
            if any(name == own or name.startswith(f"{own}.") for own in row.names):
                return row
        return None


@lru_cache(maxsize=1)
def load_tables() -> Tables:
    """Read and check every table. Raises ValueError if a row is incomplete, inconsistent or has no source."""
    projects, versions = load_projects(PROJECTS)
    return Tables(
        cuda=in_order("cuda", [_checked_cuda(row) for row in _typed(Cuda, "cuda")]),
        bad_pairs=tuple(_checked_pair(row) for row in _typed(BadPair, "cuda", "bad-pair")),
        torch=in_order("torch", [_checked_torch(row) for row in _typed(TorchRow, "torch")]),
        bad_neighbours=tuple(_checked_neighbour(row) for row in _typed(BadNeighbour, "torch", "bad-neighbour")),
        projects=projects,
        versions=versions,
        patches=tuple(_patch_row(row) for row in _series()),
        distributions=_typed(Distribution, "distributions", "distribution"),
        floors=_typed(Floor, "manylinux"),
        cxx11_glibc=_read("manylinux")["cxx11-abi"]["glibc"],
        zig=load_row(Zig, _read("manylinux")["zig"], "tables/manylinux.toml: zig"),
        zig_compilers=tuple(_checked_zig(row) for row in _typed(ZigCompiler, "manylinux", "zig-compiler")),
        nvidia=load_row(RedistHost, _read("redist")["nvidia"], "tables/redist.toml: nvidia"),
        archives=tuple(checked_archive(row) for row in _typed(Archive, "redist", "archive")),
        runtimes=_typed(CrossRuntime, "cross", "cross-runtime"),
        released=load_released(PROJECTS, versions),
    )


def _typed(kind: Any, name: str, array: str = "") -> tuple[Any, ...]:
    rows = _read(name)[array or name]
    return tuple(load_row(kind, row, f"tables/{name}.toml: the row {next(iter(row.values()))!r}") for row in rows)


def _checked_cuda(row: Cuda) -> Cuda:
    unknown = {code for item in row.front_ends for code in item.codes} - {"PTX", *row.archs}
    if row.compress not in ("yes", "asked", "no"):
        raise ValueError(f"tables/cuda.toml: the row of {row.version}: compress = {row.compress!r}")
    if unknown or row.gcc_min > row.gcc_max:
        raise ValueError(f"tables/cuda.toml: the row of {row.version} contradicts itself: {unknown or 'gcc'}")
    return row


def _checked_pair(row: BadPair) -> BadPair:
    for ranges in (row.cuda, row.gcc):
        specifiers.SpecifierSet(ranges)  # raises InvalidSpecifier, a ValueError
    return row


def _checked_zig(row: ZigCompiler) -> ZigCompiler:
    specifiers.SpecifierSet(row.cuda)
    return row


def _checked_torch(row: TorchRow) -> TorchRow:
    if row.cuda not in row.builds:
        raise ValueError(f"tables/torch.toml: {row.version}: {row.cuda} is not among its builds")
    for ranges in (row.numpy, row.transformers):
        specifiers.SpecifierSet(ranges)
    return row


def _checked_neighbour(row: BadNeighbour) -> BadNeighbour:
    for ranges in (row.versions, row.torch):
        specifiers.SpecifierSet(ranges)
    return row


def _series() -> list[dict[str, Any]]:
    path = PATCHES / "series.toml"
    if not is_file(path):
        return []
    with open_plain(path) as file:
        rows: list[dict[str, Any]] = tomllib.load(file).get("patch", [])
    return rows


def _patch_row(data: dict[str, Any]) -> PatchRow:
    row: PatchRow = load_row(PatchRow, data, f"patches/series.toml: {data.get('file')}")
    for ranges in (row.versions, row.cuda, row.torch, row.cxx):
        specifiers.SpecifierSet(ranges)
    if row.is_fix != bool(row.shown and row.concern):
        raise ValueError(
            f"patches/series.toml: {row.file}: a fix says how it was shown and whose results change, and no other does"
        )
    return row


def _read(name: str) -> dict[str, Any]:
    with open_plain(HERE / f"{name}.toml") as file:
        data: dict[str, Any] = tomllib.load(file)
    return data


def read_rows(name: str, *needed: str, array: str = "") -> list[dict[str, Any]]:
    """Return the rows of an array in a table's file. Raises ValueError if a row lacks a needed key."""
    rows: list[dict[str, Any]] = _read(name)[array or name]
    for row in rows:
        for key in needed:
            if row.get(key) in (None, "", []):
                raise ValueError(f"tables/{name}.toml: the row {next(iter(row.values()))!r} has no {key!r}")
    return rows
