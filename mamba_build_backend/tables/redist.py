"""NVIDIA's archives of CUDA, as types: tables/redist.toml."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..core._compat import version

COMPONENTS = ("cuda_nvcc", "cuda_cudart", "cuda_cccl")
"""What makes an nvcc that compiles and links: the compiler, the runtime with its headers, and CUB."""

_PLATFORMS = {"x86_64": "linux-x86_64", "aarch64": "linux-sbsa"}
"""NVIDIA's names of what platform.machine() says."""


@dataclass(frozen=True)
class RedistHost:
    """Where NVIDIA has its archives, and under which licence."""

    SOURCES: ClassVar[tuple[str, ...]] = ("source",)

    address: str
    address_china: str
    """NVIDIA's host in China."""
    licence: str
    licence_address: str


@dataclass(frozen=True)
class Archive:
    """One archive, of one component of a CUDA release."""

    SOURCES: ClassVar[tuple[str, ...]] = ("source",)

    release: str
    """Of CUDA: ``12.4.1``."""
    component: str
    arch: str
    """NVIDIA's name of the platform: ``linux-x86_64``, ``linux-sbsa``."""
    version: str
    """Of the component."""
    bytes: int
    sha256: str

    @property
    def name(self) -> str:
        """Its file name."""
        return f"{self.top}.tar.xz"

    @property
    def top(self) -> str:
        """The folder that it holds."""
        return f"{self.component}-{self.arch}-{self.version}-archive"

    @property
    def path(self) -> str:
        """Where it lies below NVIDIA's address."""
        return f"{self.component}/{self.arch}/{self.name}"


@dataclass(frozen=True)
class CrossRuntime:
    """CUDA's runtime for another processor than the build's: a wheel of the package index, which is not installed but unpacked."""

    SOURCES: ClassVar[tuple[str, ...]] = ("source",)

    cuda: str
    """The minor version."""
    machine: str
    """As platform.machine() says it."""
    name: str
    version: str
    index_file: str
    index_sha256: str


@dataclass(frozen=True)
class RedistRelease:
    """The archives that make the nvcc of one CUDA release for one platform."""

    release: str
    archives: tuple[Archive, ...]

    @property
    def cuda(self) -> str:
        """The minor version, as nvcc says it: ``12.4``."""
        return ".".join(self.release.split(".")[:2])

    @property
    def bytes(self) -> int:
        """Of all archives together."""
        return sum(item.bytes for item in self.archives)


@dataclass(frozen=True)
class Archives:
    """NVIDIA's archives that a toolkit is made of."""

    release: RedistRelease
    missing: tuple[Archive, ...]
    """Those that are not here: they are fetched, once."""
    mirror: str
    """The address or the folder that they come from; it may hold a password."""

    @property
    def bytes(self) -> int:
        """Of what is fetched."""
        return sum(item.bytes for item in self.missing)


def releases(archives: Sequence[Archive], machine: str) -> tuple[RedistRelease, ...]:
    """The releases that are whole for this machine (of platform.machine()), the oldest first."""
    platform = _PLATFORMS.get(machine, "")
    found: dict[str, list[Archive]] = {}
    for item in archives:
        if item.arch == platform:
            found.setdefault(item.release, []).append(item)
    return tuple(
        RedistRelease(release, tuple(sorted(parts, key=lambda item: COMPONENTS.index(item.component))))
        for release, parts in sorted(found.items(), key=lambda pair: version.Version(pair[0]))
        if len(parts) == len(COMPONENTS)
    )


def checked_archive(row: Archive) -> Archive:
    """The row. Raises ValueError if it cannot be true: a file name and a hash are made of it."""
    plain = all(re.fullmatch(r"[0-9.]+", text) for text in (row.release, row.version))
    whole = re.fullmatch(r"[0-9a-f]{64}", row.sha256) and row.bytes > 0
    if not (plain and whole and row.component in COMPONENTS and row.arch in _PLATFORMS.values()):
        raise ValueError(f"tables/redist.toml: the row of {row.name} contradicts itself")
    return row
