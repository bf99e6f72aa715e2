"""What is known of the world, as data: each row with its source, checked when it is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from .._compat import tomllib, version

HERE = Path(__file__).parent


@dataclass(frozen=True)
class FrontEnd:
    """One pass of nvcc's front end and what is assembled from it; code ``PTX`` keeps the PTX itself."""

    compute: str
    codes: tuple[str, ...]

    def flag(self) -> str:
        """The option for nvcc."""
        codes = [f"compute_{self.compute}" if code == "PTX" else f"sm_{code}" for code in self.codes]
        return f"-gencode=arch=compute_{self.compute},code=[{','.join(codes)}]"


@dataclass(frozen=True)
class Cuda:
    """A CUDA release: host compilers that it takes (major versions of g++) and the SASS that covers its GPUs."""

    version: str
    gcc_min: int
    gcc_max: int
    front_ends: tuple[FrontEnd, ...]
    compress: bool


@dataclass(frozen=True)
class TorchRow:
    """The build of a torch minor version that the package index gives."""

    version: str
    cuda: str


Row = TypeVar("Row", Cuda, TorchRow)


@dataclass(frozen=True)
class UpstreamRow:
    """One version of one upstream project; ``version`` is empty for ``self``."""

    name: str
    version: str
    index_file: str = ""
    index_sha256: str = ""
    packages: tuple[str, ...] = ()
    guard: str = ""
    extensions: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    license: str = ""
    extras: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def title(self) -> str:
        """Name and version, as one says them."""
        return f"{self.name} {self.version}" if self.version else "this project"


@dataclass(frozen=True)
class Floor:
    """Symbol versions: a promise (a policy's row) or a measurement."""

    glibc: str = ""
    glibcxx: str = ""
    cxxabi: str = ""
    gcc: str = ""


@dataclass(frozen=True)
class Tables:
    """All tables. Immutable, so a plan depends on nothing else than facts, settings and this."""

    cuda: tuple[Cuda, ...]
    torch: tuple[TorchRow, ...]
    upstream: tuple[UpstreamRow, ...]
    upstream_defaults: tuple[tuple[str, str], ...]
    floors: tuple[Floor, ...]
    cxx11_glibc: str

    def cuda_row(self, wanted: str) -> Cuda:
        """The row of a CUDA release, or the newest older one, or the oldest of all."""
        return _nearest(self.cuda, wanted)

    def torch_row(self, wanted: str) -> TorchRow:
        """The row of a torch version, or the newest older one, or the oldest of all."""
        return _nearest(self.torch, wanted)

    def floor_row(self, glibc: str) -> Floor:
        """The manylinux row of a glibc version, or the newest older one, or the oldest of all."""
        older = [row for row in self.floors if version.Version(row.glibc) <= version.Version(glibc)]
        return older[-1] if older else self.floors[0]


def _nearest(rows: Sequence[Row], wanted: str) -> Row:
    older = [row for row in rows if version.Version(row.version) <= version.Version(wanted)]
    return older[-1] if older else rows[0]


@lru_cache(maxsize=1)
def load_tables() -> Tables:
    """Read and check every table. Raises ValueError for a row that is incomplete or has no source."""
    cuda = tuple(
        Cuda(
            version=row["version"],
            gcc_min=row["gcc-min"],
            gcc_max=row["gcc-max"],
            front_ends=tuple(FrontEnd(compute, tuple(codes)) for compute, codes in row["front-ends"]),
            compress=row["compress"],
        )
        for row in _rows("cuda", "gcc-source", "arch-source", "version", "gcc-min", "gcc-max", "front-ends", "compress")
    )
    torch = tuple(TorchRow(row["version"], row["cuda"]) for row in _rows("torch", "source", "version", "cuda"))
    floors = tuple(
        Floor(row["glibc"], row["glibcxx"], row["cxxabi"], row["gcc"])
        for row in _rows("manylinux", "glibc", "glibcxx", "cxxabi", "gcc")
    )
    upstream = _read("upstream")
    rows = tuple(_upstream_row(name, project, row) for name, project in upstream.items() for row in project["versions"])
    defaults = tuple((name, project["default"]) for name, project in upstream.items())
    for name, default in defaults:
        if not any(row.name == name and row.version == default for row in rows):
            raise ValueError(f"tables/upstream.toml: {name}'s default {default} has no row")
    return Tables(_ordered(cuda), _ordered(torch), rows, defaults, floors, _read("manylinux")["cxx11-abi"]["glibc"])


def _upstream_row(name: str, project: Mapping[str, Any], row: Mapping[str, Any]) -> UpstreamRow:
    for key in ("version", "index-sha256", "index-file", "source"):
        if not row.get(key):
            raise ValueError(f"tables/upstream.toml: a row of {name} has no {key!r}")
    if len(row["index-sha256"]) != 64:
        raise ValueError(f"tables/upstream.toml: {name} {row['version']}: not a sha256")
    return UpstreamRow(
        name=name,
        version=row["version"],
        index_file=row["index-file"],
        index_sha256=row["index-sha256"],
        packages=tuple(project["packages"]),
        guard=project["guard"],
        extensions=tuple(project["extensions"]),
        environment=tuple(project["environment"].items()),
        license=project["license"],
        extras=tuple((extra, tuple(names)) for extra, names in project["extras"].items()),
    )


def _read(name: str) -> dict[str, Any]:
    with (HERE / f"{name}.toml").open("rb") as file:
        data: dict[str, Any] = tomllib.load(file)
    return data


def _rows(name: str, *needed: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = _read(name)[name]
    for row in rows:
        for key in needed:
            if row.get(key) in (None, "", []):
                raise ValueError(
                    f"tables/{name}.toml: the row of {row.get('version') or row.get('glibc')} has no {key!r}"
                )
    return rows


def _ordered(rows: Any) -> Any:
    versions = [version.Version(row.version) for row in rows]
    if versions != sorted(versions):
        raise ValueError(f"rows are out of order: {[row.version for row in rows]}")
    return rows
