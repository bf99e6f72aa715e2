"""What is known of the world, as data: each row with its source, checked when it is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..core._compat import specifiers, tomllib, version
from .rows import (
    Alike,
    BadArch,
    BadPair,
    Cuda,
    Distribution,
    Floor,
    FrontEnd,
    PatchRow,
    Tables,
    TorchRow,
    UpstreamRow,
    admits,
    is_newer,
    is_version,
    minor,
)

__all__ = [
    "PATCHES",
    "Alike",
    "BadArch",
    "BadPair",
    "Cuda",
    "Distribution",
    "Floor",
    "FrontEnd",
    "PatchRow",
    "Tables",
    "TorchRow",
    "UpstreamRow",
    "admits",
    "is_newer",
    "is_version",
    "load_tables",
    "minor",
    "read_rows",
]

HERE = Path(__file__).parent
PATCHES = HERE.parent / "patches" if (HERE.parent / "patches").is_dir() else HERE.parent.parent / "patches"
"""The folder of patches: in the backend where it was vendored, else beside it. Without a series there are none."""


@lru_cache(maxsize=1)
def load_tables() -> Tables:
    """Read and check every table. Raises ValueError for a row that is incomplete, contradicts itself or has no source."""
    upstream = _read("upstream")
    rows = tuple(_upstream_row(name, project, row) for name, project in upstream.items() for row in project["versions"])
    defaults = tuple((name, tuple(project["good"])) for name, project in upstream.items())
    for name, good in defaults:
        for version_ in good:
            if not any(row.name == name and row.version == version_ for row in rows):
                raise ValueError(f"tables/upstream.toml: {name}'s {version_} has no row")
    for name in upstream:
        _ordered(name, [row for row in rows if row.name == name])
    return Tables(
        cuda=_ordered("cuda", [_cuda_row(row) for row in read_rows("cuda", "version", *_CUDA)]),
        bad_pairs=tuple(_bad_pair(row) for row in read_rows("cuda", "cuda", "gcc", "why", "source", array="bad-pair")),
        torch=_ordered("torch", [_torch_row(row) for row in read_rows("torch", "version", *_TORCH)]),
        upstream=rows,
        upstream_defaults=defaults,
        patches=tuple(_patch_row(row) for row in _series()),
        distributions=tuple(
            Distribution(tuple(row["names"]), tuple(row["gxx"]), row["install"], row.get("static", ""), row["glibc"])
            for row in read_rows("distributions", "names", "glibc", "gxx", "install", "source", array="distribution")
        ),
        floors=tuple(
            Floor(row["glibc"], row["glibcxx"], row["cxxabi"], row["gcc"])
            for row in read_rows("manylinux", "glibc", "glibcxx", "cxxabi", "gcc")
        ),
        cxx11_glibc=_read("manylinux")["cxx11-abi"]["glibc"],
    )


_CUDA = (
    "gcc-min",
    "gcc-max",
    "gcc-source",
    "archs",
    "front-ends",
    "arch-source",
    "compress",
    "driver",
    "driver-source",
    "apt",
    "install-source",
)


def _cuda_row(row: Mapping[str, Any]) -> Cuda:
    front_ends = tuple(FrontEnd(compute, tuple(codes)) for compute, codes in row["front-ends"])
    archs = tuple(row["archs"])
    unknown = {code for item in front_ends for code in item.codes} - {"PTX", *archs}
    if row.get("glibc-max") and not row.get("glibc-source"):
        raise ValueError(f"tables/cuda.toml: the row of {row['version']}: glibc-max has no source")
    if row["compress"] not in ("yes", "asked", "no"):
        raise ValueError(f"tables/cuda.toml: the row of {row['version']}: compress = {row['compress']!r}")
    if unknown or row["gcc-min"] > row["gcc-max"]:
        raise ValueError(f"tables/cuda.toml: the row of {row['version']} contradicts itself: {unknown or 'gcc'}")
    return Cuda(
        version=row["version"],
        gcc_min=row["gcc-min"],
        gcc_max=row["gcc-max"],
        archs=archs,
        front_ends=front_ends,
        jetson=tuple(row.get("jetson", ())),
        compress=row["compress"],
        glibc_max=row.get("glibc-max", ""),
        driver=row["driver"],
        conda=row.get("conda", ""),
        apt=row["apt"],
        distributions=tuple(row.get("distributions", ())),
    )


def _bad_pair(row: Mapping[str, Any]) -> BadPair:
    for key in ("cuda", "gcc"):
        specifiers.SpecifierSet(row[key])  # raises InvalidSpecifier, a ValueError
    return BadPair(row["cuda"], row["gcc"], row["why"])


_TORCH = ("cuda", "builds", "python", "cxx11-abi", "cxx-standard", "gcc-min", "glibc", "setuptools", "source")


def _torch_row(row: Mapping[str, Any]) -> TorchRow:
    if row["cuda"] not in row["builds"]:
        raise ValueError(f"tables/torch.toml: {row['version']}: {row['cuda']} is not among its builds")
    for key in ("numpy", "transformers"):
        specifiers.SpecifierSet(row.get(key, ""))
        if row.get(key) and not row.get(f"{key}-source"):
            raise ValueError(f"tables/torch.toml: {row['version']}: {key} has no source")
    return TorchRow(
        version=row["version"],
        cuda=row["cuda"],
        builds=tuple(row["builds"]),
        python=tuple(row["python"]),
        cxx11_abi=row["cxx11-abi"],
        cxx11_abi_builds=tuple(row.get("cxx11-abi-builds", ())),
        cxx_standard=row["cxx-standard"],
        gcc_min=row["gcc-min"],
        glibc=row["glibc"],
        setuptools=row["setuptools"],
        numpy=row.get("numpy", ""),
        transformers=row.get("transformers", ""),
    )


def _upstream_row(name: str, project: Mapping[str, Any], row: Mapping[str, Any]) -> UpstreamRow:
    title = f"tables/upstream.toml: {name} {row.get('version')}"
    for key in ("version", "source"):
        if not row.get(key):
            raise ValueError(f"{title} has no {key!r}")
    digest, commit = row.get("index-sha256", ""), row.get("git-commit", "")
    if not (digest and row.get("index-file")) and not (commit and row.get("git-tag")):
        raise ValueError(f"{title} has neither an archive with its sha256 nor a tag with its commit")
    if (digest and len(digest) != 64) or (commit and len(commit) != 40):
        raise ValueError(f"{title}: not a sha256, or not a commit")
    trees = tuple(row.get("tree-sha256", ()))
    if len(trees) != bool(digest) + bool(commit) or any(len(tree) != 64 for tree in trees):
        raise ValueError(f"{title}: one tree-sha256 is needed for its archive, and one for its tag")
    if (row.get("torch-min") or row.get("python-min")) and not row.get("needs-why"):
        raise ValueError(f"{title}: what it needs has no 'needs-why'")
    specifiers.SpecifierSet(row.get("transformers", ""))
    return UpstreamRow(
        name=name,
        version=row["version"],
        index_file=row.get("index-file", ""),
        index_sha256=digest,
        repository=project["repository"],
        git_tag=row.get("git-tag", ""),
        git_commit=commit,
        tree_sha256=trees,
        packages=tuple(project["packages"]),
        extensions=tuple(project["extensions"]),
        environment=tuple(project["environment"].items()),
        license=project["license"],
        unneeded=tuple(project.get("unneeded", ())),
        extras=tuple((extra, tuple(names)) for extra, names in project.get("extras", {}).items()),
        avoid=tuple(_bad_arch(name, item) for item in project.get("avoid", ())),
        one_pass=tuple(project.get("one-pass", ())),
        compiled=project.get("compiled", 0),
        alike=tuple(_alike(item) for item in project.get("alike", ())),
        cuda_min=row.get("cuda-min", ""),
        transformers=row.get("transformers", ""),
        torch_min=row.get("torch-min", ""),
        python_min=row.get("python-min", ""),
        needs_why=row.get("needs-why", ""),
        stable=bool(project.get("stable")) and admits(project["stable"], row["version"]),
        partner=row.get("partner", ""),
        partner_fits=row.get("partner-fits", ""),
        partner_required=row.get("partner-required", False),
    )


def _alike(row: Mapping[str, Any]) -> Alike:
    return Alike(
        name=row["name"],
        files=tuple(row["files"]),
        header=row["header"],
        template=row["template"],
        parameters=row["parameters"],
        types=tuple(row["types"]),
        parts=tuple(tuple(part) for part in row["parts"]),
    )


def _bad_arch(name: str, row: Mapping[str, Any]) -> BadArch:
    if not row.get("source"):
        raise ValueError(f"tables/upstream.toml: {name}: avoid {row.get('arch')} has no 'source'")
    specifiers.SpecifierSet(row["cuda"])
    return BadArch(row["arch"], row["cuda"], row["use"], row["why"])


def _series() -> list[dict[str, Any]]:
    path = PATCHES / "series.toml"
    if not path.is_file():
        return []
    with path.open("rb") as file:
        rows: list[dict[str, Any]] = tomllib.load(file).get("patch", [])
    return rows


def _patch_row(row: Mapping[str, Any]) -> PatchRow:
    for key in ("file", "upstream", "versions", "why", "reported", "until"):
        if not row.get(key):
            raise ValueError(f"patches/series.toml: {row.get('file')} has no {key!r}")
    ranges = {key: row.get(key, "") for key in ("versions", "cuda", "torch", "cxx")}
    for text in ranges.values():
        specifiers.SpecifierSet(text)
    return PatchRow(file=row["file"], upstream=row["upstream"], why=row["why"], **ranges)


def _read(name: str) -> dict[str, Any]:
    with (HERE / f"{name}.toml").open("rb") as file:
        data: dict[str, Any] = tomllib.load(file)
    return data


def read_rows(name: str, *needed: str, array: str = "") -> list[dict[str, Any]]:
    """The rows of an array of a table's file. Raises ValueError where one lacks a needed key."""
    rows: list[dict[str, Any]] = _read(name)[array or name]
    for row in rows:
        for key in needed:
            if row.get(key) in (None, "", []):
                raise ValueError(f"tables/{name}.toml: the row {next(iter(row.values()))!r} has no {key!r}")
    return rows


def _ordered(name: str, rows: Iterable[Any]) -> Any:
    found = tuple(rows)
    versions = [version.Version(row.version) for row in found]
    if versions != sorted(set(versions)):
        raise ValueError(f"the rows of {name} are out of order: {[str(item) for item in versions]}")
    return found
