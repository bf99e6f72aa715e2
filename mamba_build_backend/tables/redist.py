"""Types for NVIDIA's CUDA archives, tables/redist.toml."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..core._compat import version

COMPONENTS = ("cuda_nvcc", "cuda_cudart", "cuda_cccl")
"""Components for an nvcc that compiles and links: the compiler, the runtime with its headers, and CUB."""

_PLATFORMS = {"x86_64": "linux-x86_64", "aarch64": "linux-sbsa"}
"""NVIDIA's platform names, by platform.machine()."""


@dataclass(frozen=True)
class RedistHost:
    """The address and licence of NVIDIA's archives."""

    SOURCES: ClassVar[tuple[str, ...]] = ("source",)

    address: str
    address_china: str
    """NVIDIA's host in China."""
    licence: str
    licence_address: str


@dataclass(frozen=True)
class Archive:
    """The archive of one component of a CUDA release."""

    SOURCES: ClassVar[tuple[str, ...]] = ("source",)

    release: str
    """The CUDA release: ``12.4.1``."""
    component: str
    arch: str
    """NVIDIA's name for the platform: ``linux-x86_64``, ``linux-sbsa``."""
    version: str
    """The version of the component."""
    bytes: int
    sha256: str

    @property
    def name(self) -> str:
        """Its file name."""
        return f"{self.top}.tar.xz"

    @property
    def top(self) -> str:
        """The top folder in the archive."""
        return f"{self.component}-{self.arch}-{self.version}-archive"

    @property
    def path(self) -> str:
        """The path below NVIDIA's address."""
        return f"{self.component}/{self.arch}/{self.name}"


@dataclass(frozen=True)
class CrossRuntime:
    """CUDA's runtime for another processor than the build's: a wheel from PyPI, which is unpacked, not installed."""

    SOURCES: ClassVar[tuple[str, ...]] = ("source",)

    cuda: str
    """The minor version."""
    machine: str
    """As in platform.machine()."""
    name: str
    version: str
    index_file: str
    index_sha256: str


@dataclass(frozen=True)
class RedistRelease:
    """The archives for the nvcc of one CUDA release on one platform."""

    release: str
    archives: tuple[Archive, ...]

    @property
    def cuda(self) -> str:
        """The minor version, as nvcc prints it: ``12.4``."""
        return ".".join(self.release.split(".")[:2])

    @property
    def bytes(self) -> int:
        """Total size of all archives."""
        return sum(item.bytes for item in self.archives)


@dataclass(frozen=True)
class Archives:
    """The NVIDIA archives of a toolkit."""

    release: RedistRelease
    missing: tuple[Archive, ...]
    """The archives to download, because they are not in the cache."""
    mirror: str
    """The address or folder of the archives; it may contain a password."""

    @property
    def bytes(self) -> int:
        """Total size of the downloads."""
        return sum(item.bytes for item in self.missing)


def releases(archives: Sequence[Archive], machine: str) -> tuple[RedistRelease, ...]:
    """Return the complete releases for ``machine`` (platform.machine()), oldest first."""
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
    """Return the row. Raises ValueError if it is invalid: file names and hashes come from it."""
    plain = all(re.fullmatch(r"[0-9.]+", text) for text in (row.release, row.version))
    whole = re.fullmatch(r"[0-9a-f]{64}", row.sha256) and row.bytes > 0
    if not (plain and whole and row.component in COMPONENTS and row.arch in _PLATFORMS.values()):
        raise ValueError(f"tables/redist.toml: the row of {row.name} contradicts itself")
    return row
