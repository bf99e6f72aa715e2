"""Types for the rows of the tables."""

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
    """One pass of nvcc's front end and the code assembled from it; code ``PTX`` keeps the PTX itself."""

    compute: str
    codes: tuple[str, ...]

    def flags(self) -> list[str]:
        """Return the options for nvcc, which combines them into one pass.

        One option per code: sccache 0.16 fails on ``code=[sm_80,sm_90]``.
        """
        codes = [f"compute_{self.compute}" if code == "PTX" else f"sm_{code}" for code in self.codes]
        return [f"-gencode=arch=compute_{self.compute},code={code}" for code in codes]


@dataclass(frozen=True)
class Cuda:
    """A CUDA release: its host compilers (major versions of g++), GPUs, driver and installation commands."""

    SOURCES: ClassVar[tuple[str, ...]] = ("gcc-source", "arch-source", "driver-source", "install-source")

    version: str
    gcc_min: int
    gcc_max: int
    archs: tuple[str, ...]
    front_ends: tuple[FrontEnd, ...]
    compress: str
    """Whether to use nvcc's ``--compress-mode``: ``yes``, ``asked`` (only with the setting) or ``no``."""
    driver: str
    """The oldest Linux driver that runs programs of this major version (minor version compatibility)."""
    apt: str
    jetson: tuple[str, ...] = ()
    """Architectures of Tegra: their binaries run nowhere else, so only an aarch64 wheel contains them."""
    glibc_max: str = sourced("", "glibc-source")
    """The newest glibc whose <math.h> works with this release's headers; empty if none is known to clash."""
    conda: str = ""
    """An installation command; empty if no channel is known to have this release."""
    distributions: tuple[str, ...] = ()
    """Distributions whose own nvidia-cuda-toolkit this is, named as os-release(5) does."""
    index_nvcc: bool = sourced(default=False)
    """Whether PyPI has a complete nvcc of this release."""


def covers(codes: Sequence[str], capability: str) -> bool:
    """Whether a GPU can run this code: SASS of its major version and of its own or an earlier minor version, or PTX.

    Source: CUDA C++ Programming Guide.
    """
    major, _, small = capability.partition(".")
    plain = [code for code in codes if code.isdigit()]
    if any(code[:-1] == major and int(code[-1]) <= int(small) for code in plain) or f"{major}{small}a" in codes:
        return True
    return "PTX" in codes and bool(plain) and int(f"{major}{small}") >= max(map(int, plain))


@dataclass(frozen=True)
class BadPair:
    """A g++ that nvcc accepts but that fails. Both are specifiers."""

    SOURCES: ClassVar[tuple[str, ...]] = ("source",)

    cuda: str
    gcc: str
    why: str

    def holds_cuda(self, cuda: str) -> bool:
        """Whether the row is about this CUDA."""
        return bool(specifiers.SpecifierSet(self.cuda).contains(cuda))

    def bans(self, gcc: str) -> bool:
        """Whether this g++ fails with the CUDA of the pair."""
        return bool(specifiers.SpecifierSet(self.gcc).contains(gcc))


@dataclass(frozen=True)
class TorchRow:
    """A torch minor version."""

    SOURCES: ClassVar[tuple[str, ...]] = ("source",)

    version: str
    cuda: str
    """The CUDA of PyPI's build for Linux."""
    builds: tuple[str, ...]
    """All CUDA versions of published builds."""
    python: tuple[str, ...]
    cxx11_abi: bool
    """The C++ ABI of PyPI's build; :meth:`has_cxx11_abi` is for any build."""
    cxx_standard: int
    gcc_min: int
    glibc: str
    setuptools: str
    """Specifiers of the setuptools that torch.utils.cpp_extension works with."""
    cxx11_abi_builds: tuple[str, ...] = ()
    """Other builds that also have the new C++ ABI."""
    numpy: str = sourced("")
    """Specifiers of the NumPy that its binaries work with; empty for any."""
    transformers: str = sourced("")
    """The same for transformers."""
    gpus: tuple[tuple[str, tuple[str, ...]], ...] = sourced(())
    """For each build, by its CUDA, the GPUs that it has code for; see :func:`covers`."""
    gpus_aarch64: tuple[tuple[str, tuple[str, ...]], ...] = sourced(())
    """The same for the aarch64 builds, which are fewer."""

    def builds_for(self, arch: str) -> tuple[str, ...]:
        """Return the CUDA versions of published builds for this processor, ``x86_64`` or ``aarch64``."""
        return tuple(cuda for cuda, _ in self.gpus_aarch64) if arch == "aarch64" else self.builds

    def runs(self, cuda: str, arch: str, capability: str) -> bool | None:
        """Whether the build for this CUDA has code for a GPU; None if no such build is known."""
        known = dict(self.gpus_aarch64 if arch == "aarch64" else self.gpus)
        return covers(known[cuda], capability) if cuda in known else None

    def has_cxx11_abi(self, cuda: str) -> bool:
        """Whether the build for this CUDA has the new C++ ABI."""
        return self.cxx11_abi or cuda in self.cxx11_abi_builds


@dataclass(frozen=True)
class KernelGroup:
    """Upstream's files that instantiate one function template, one file per type, and the files to compile in their place.

    Kernels for different types compress well together, so a file with all types makes a smaller wheel. The template's
    first arguments, such as block sizes, are split into separate files, so that the build takes no longer.
    """

    name: str
    """The generated files are NAME.cu, NAME_1.cu and so on."""
    files: tuple[str, ...]
    header: str
    """Defines the template; in the folder of ``files``, which also gets the generated files."""
    template: str
    parameters: str
    types: tuple[str, ...]
    """The template's last arguments, as in upstream's files."""
    parts: tuple[tuple[str, ...], ...] = ()
    """The template's first arguments, one tuple per further file; all others are in the first file."""


@dataclass(frozen=True)
class BadNeighbour:
    """A package that breaks the import of torch. ``versions`` (its own) and ``torch`` are specifiers."""

    SOURCES: ClassVar[tuple[str, ...]] = ("source",)

    package: str
    versions: str
    torch: str
    why: str
    fix: str


@lru_cache(maxsize=4096)
def admits(ranges: str, release: str) -> bool:
    """Whether specifiers admit a release; empty specifiers admit all."""
    return bool(specifiers.SpecifierSet(ranges).contains(release, prereleases=True))


@dataclass(frozen=True)
class Distribution:
    """A Linux distribution: its glibc, and how to install its compilers."""

    SOURCES: ClassVar[tuple[str, ...]] = ("source",)

    names: tuple[str, ...]
    """ID and VERSION_ID of os-release(5); a minor version may follow."""
    gxx: tuple[int, ...]
    install: str
    """A command with ``{major}`` in it."""
    glibc: str
    static: str = ""
    """The command that installs libstdc++.a for the system's g++, if that is a separate package."""


@dataclass(frozen=True)
class Zig:
    """The zig release whose package makes sysroots."""

    SOURCES: ClassVar[tuple[str, ...]] = ("source",)

    version: str
    requirement: str


@dataclass(frozen=True)
class ZigCompiler:
    """A zig release that works as nvcc's host compiler, and its CUDA releases (specifiers)."""

    SOURCES: ClassVar[tuple[str, ...]] = ("source",)

    cuda: str
    version: str
    requirement: str
    archs: tuple[str, ...]
    """Machines on which it was tested, as in platform.machine()."""
    cross: tuple[str, ...] = ()
    """Other machines for which cross-compiling was tested there."""
    using_if_exists: bool = True
    """Whether this CUDA's front end supports the attribute ``using_if_exists``, which libc++ uses for C names."""


@dataclass(frozen=True)
class Floor:
    """Symbol versions: a promise (a row of a policy) or a measurement."""

    glibc: str = ""
    glibcxx: str = ""
    cxxabi: str = ""
    gcc: str = ""


Row = TypeVar("Row", Cuda, TorchRow)


@lru_cache(maxsize=1024)
def minor(text: str) -> str:
    """Return ``2.11`` for ``2.11.0+cu130``."""
    release = parsed(text).release
    return f"{release[0]}.{release[1] if len(release) > 1 else 0}"


def is_version(text: str) -> bool:
    """Whether a text is a valid version of reasonable length."""
    try:
        parsed(text)
    except ValueError:  # InvalidVersion, or a number with too many digits
        return False
    return len(text) <= _LONGEST_VERSION


_LONGEST_VERSION = 200


def is_newer(rows: Sequence[Row], wanted: str) -> bool:
    """Whether a version is newer than every row of a table."""
    return bool(parsed(minor(wanted)) > parsed(rows[-1].version))


def in_order(name: str, rows: Sequence[Any]) -> tuple[Any, ...]:
    """Return the rows, whose versions must be in rising order. Raises ValueError."""
    versions = [parsed(row.version) for row in rows]
    if versions != sorted(set(versions)):
        raise ValueError(f"the rows of {name} are out of order: {[str(item) for item in versions]}")
    return tuple(rows)


def nearest(rows: Sequence[Row], wanted: str) -> Row:
    """Return the row of a version, or the newest older row, or the oldest of all."""
    limit = parsed(wanted)
    older = [row for row in rows if parsed(row.version) <= limit]
    return older[-1] if older else rows[0]
