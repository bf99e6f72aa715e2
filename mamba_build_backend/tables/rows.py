"""The rows of the tables, as types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, TypeVar

from ..core._compat import specifiers
from ..core.typed import sourced
from ..core.versions import parsed


@dataclass(frozen=True)
class FrontEnd:
    """One pass of nvcc's front end and what is assembled from it; code ``PTX`` keeps the PTX itself."""

    compute: str
    codes: tuple[str, ...]

    def flags(self) -> list[str]:
        """The options for nvcc, which makes one pass of them all.

        One for each code: sccache 0.16 fails on ``code=[sm_80,sm_90]``.
        """
        codes = [f"compute_{self.compute}" if code == "PTX" else f"sm_{code}" for code in self.codes]
        return [f"-gencode=arch=compute_{self.compute},code={code}" for code in codes]


@dataclass(frozen=True)
class Cuda:
    """A CUDA release: the host compilers that it takes (major versions of g++), its GPUs, its driver, its sources."""

    SOURCES: ClassVar[tuple[str, ...]] = ("gcc-source", "arch-source", "driver-source", "install-source")

    version: str
    gcc_min: int
    gcc_max: int
    archs: tuple[str, ...]
    front_ends: tuple[FrontEnd, ...]
    compress: str
    """Whether nvcc's ``--compress-mode`` is used: ``yes``, ``asked`` (where the setting is given) or ``no``."""
    driver: str
    """The oldest Linux driver that runs programs of this major version (minor version compatibility)."""
    apt: str
    jetson: tuple[str, ...] = ()
    """Architectures of Tegra alone: their binaries run nowhere else, so only an aarch64 wheel carries them."""
    glibc_max: str = sourced("", "glibc-source")
    """The newest glibc whose <math.h> its headers go with; empty where none is known to clash."""
    conda: str = ""
    """A command; empty where no channel is known to have this release."""
    distributions: tuple[str, ...] = ()
    """Distributions whose own nvidia-cuda-toolkit this is, named as os-release(5) does."""
    index_nvcc: bool = sourced(default=False)
    """Whether the package index has a whole nvcc of this release."""


def covers(codes: Sequence[str], capability: str) -> bool:
    """Whether a GPU is served by this code: SASS of its major version and of its own or an earlier minor, or PTX (CUDA C++ Programming Guide)."""
    major, _, small = capability.partition(".")
    plain = [code for code in codes if code.isdigit()]
    if any(code[:-1] == major and int(code[-1]) <= int(small) for code in plain) or f"{major}{small}a" in codes:
        return True
    return "PTX" in codes and bool(plain) and int(f"{major}{small}") >= max(map(int, plain))


@dataclass(frozen=True)
class BadPair:
    """A g++ that nvcc accepts and that fails all the same. Both are specifiers."""

    SOURCES: ClassVar[tuple[str, ...]] = ("source",)

    cuda: str
    gcc: str
    why: str

    def holds_cuda(self, cuda: str) -> bool:
        """Whether this CUDA is meant."""
        return bool(specifiers.SpecifierSet(self.cuda).contains(cuda))

    def bans(self, gcc: str) -> bool:
        """Whether this g++ is meant, with the CUDA of the pair."""
        return bool(specifiers.SpecifierSet(self.gcc).contains(gcc))


@dataclass(frozen=True)
class TorchRow:
    """A torch minor version."""

    SOURCES: ClassVar[tuple[str, ...]] = ("source",)

    version: str
    cuda: str
    """The CUDA of the build that the package index gives on Linux."""
    builds: tuple[str, ...]
    """All CUDA versions that it is published for."""
    python: tuple[str, ...]
    cxx11_abi: bool
    """Of the build that the package index gives; :meth:`has_cxx11_abi` knows the others."""
    cxx_standard: int
    gcc_min: int
    glibc: str
    setuptools: str
    """Specifiers of the setuptools that torch.utils.cpp_extension works with."""
    cxx11_abi_builds: tuple[str, ...] = ()
    """Others of its builds that have the new C++ ABI all the same."""
    numpy: str = sourced("")
    """Specifiers of the NumPy that its binaries work with; empty for any."""
    transformers: str = sourced("")
    """The same of transformers."""
    gpus: tuple[tuple[str, tuple[str, ...]], ...] = sourced(())
    """For each build, by its CUDA, the GPUs that it has code for; see :func:`covers`."""
    gpus_aarch64: tuple[tuple[str, tuple[str, ...]], ...] = sourced(())
    """The same of the builds for aarch64, which are fewer."""

    def builds_for(self, arch: str) -> tuple[str, ...]:
        """The CUDA versions that it is published for on this processor, ``x86_64`` or ``aarch64``."""
        return tuple(cuda for cuda, _ in self.gpus_aarch64) if arch == "aarch64" else self.builds

    def runs(self, cuda: str, arch: str, capability: str) -> bool | None:
        """Whether the build for this CUDA has code for a GPU; None where nobody knows of such a build."""
        known = dict(self.gpus_aarch64 if arch == "aarch64" else self.gpus)
        return covers(known[cuda], capability) if cuda in known else None

    def has_cxx11_abi(self, cuda: str) -> bool:
        """Whether the build for this CUDA has the new C++ ABI."""
        return self.cxx11_abi or cuda in self.cxx11_abi_builds


@dataclass(frozen=True)
class KernelGroup:
    """Upstream's files that instantiate one function template, each for other types, and the files to compile in their place.

    The kernels for one type compress well beside those for another, so that a file with all types makes a smaller wheel. Values of the
    template's first arguments, such as block sizes, go to files of their own, so that the build takes no longer.
    """

    name: str
    """Of the generated files: NAME.cu, NAME_1.cu and so on."""
    files: tuple[str, ...]
    header: str
    """Defines the template; in the folder of ``files``, where the generated files are written, too."""
    template: str
    parameters: str
    types: tuple[str, ...]
    """The template's last arguments, as the files have them."""
    parts: tuple[tuple[str, ...], ...] = ()
    """The template's first arguments, a tuple for each further file; all others are in the first."""


@dataclass(frozen=True)
class BadNeighbour:
    """A package beside torch that keeps it from being imported. ``versions`` (its own) and ``torch`` are specifiers."""

    SOURCES: ClassVar[tuple[str, ...]] = ("source",)

    package: str
    versions: str
    torch: str
    why: str
    fix: str


@lru_cache(maxsize=4096)
def admits(ranges: str, release: str) -> bool:
    """Whether specifiers admit a release; empty ones admit all."""
    return bool(specifiers.SpecifierSet(ranges).contains(release, prereleases=True))


@dataclass(frozen=True)
class Distribution:
    """A Linux distribution: its C library, and how to install one of its own compilers."""

    SOURCES: ClassVar[tuple[str, ...]] = ("source",)

    names: tuple[str, ...]
    """ID and VERSION_ID of os-release(5); a minor version may follow."""
    gxx: tuple[int, ...]
    install: str
    """A command with ``{major}`` in it."""
    glibc: str
    static: str = ""
    """The command that installs libstdc++.a for the system's g++, where that is a package of its own."""


@dataclass(frozen=True)
class Zig:
    """The release of zig whose package makes sysroots."""

    SOURCES: ClassVar[tuple[str, ...]] = ("source",)

    version: str
    requirement: str


@dataclass(frozen=True)
class ZigCompiler:
    """A release of zig whose compiler is nvcc's host compiler, and the CUDA releases (specifiers) that it goes with."""

    SOURCES: ClassVar[tuple[str, ...]] = ("source",)

    cuda: str
    version: str
    requirement: str
    archs: tuple[str, ...]
    """Machines that it was tried on, as platform.machine() names them."""
    cross: tuple[str, ...] = ()
    """Other machines that it was tried to compile for there."""
    using_if_exists: bool = True
    """Whether this CUDA's front end knows the attribute ``using_if_exists``, which libc++ has on the names of C."""


@dataclass(frozen=True)
class Floor:
    """Symbol versions: a promise (a policy's row) or a measurement."""

    glibc: str = ""
    glibcxx: str = ""
    cxxabi: str = ""
    gcc: str = ""


Row = TypeVar("Row", Cuda, TorchRow)


@lru_cache(maxsize=1024)
def minor(text: str) -> str:
    """``2.11`` of ``2.11.0+cu130``."""
    release = parsed(text).release
    return f"{release[0]}.{release[1] if len(release) > 1 else 0}"


def is_version(text: str) -> bool:
    """Whether a text can be read as a version; one of more letters than any has is none."""
    try:
        parsed(text)
    except ValueError:  # InvalidVersion, and that of a number of too many digits
        return False
    return len(text) <= _LONGEST_VERSION


_LONGEST_VERSION = 200


def is_newer(rows: Sequence[Row], wanted: str) -> bool:
    """Whether a version is newer than all that a table knows."""
    return bool(parsed(minor(wanted)) > parsed(rows[-1].version))


def in_order(name: str, rows: Sequence[Any]) -> tuple[Any, ...]:
    """The rows, whose versions must rise. Raises ValueError."""
    versions = [parsed(row.version) for row in rows]
    if versions != sorted(set(versions)):
        raise ValueError(f"the rows of {name} are out of order: {[str(item) for item in versions]}")
    return tuple(rows)


def nearest(rows: Sequence[Row], wanted: str) -> Row:
    """The row of a version, or the newest older one, or the oldest of all."""
    limit = parsed(wanted)
    older = [row for row in rows if parsed(row.version) <= limit]
    return older[-1] if older else rows[0]
