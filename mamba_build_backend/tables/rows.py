"""The rows of the tables, as types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..core._compat import specifiers, version
from ..core.settings import SELF


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

    version: str
    gcc_min: int
    gcc_max: int
    archs: tuple[str, ...]
    front_ends: tuple[FrontEnd, ...]
    jetson: tuple[str, ...]
    """Architectures of Tegra alone: their binaries run nowhere else, so only an aarch64 wheel carries them."""
    compress: str
    """Whether nvcc's ``--compress-mode`` is used: ``yes``, ``asked`` (where the setting is given) or ``no``."""
    glibc_max: str
    """The newest glibc whose <math.h> its headers go with; empty where none is known to clash."""
    driver: str
    """The oldest Linux driver that runs programs of this major version (minor version compatibility)."""
    conda: str
    """A command; empty where no channel is known to have this release."""
    apt: str
    distributions: tuple[str, ...]
    """Distributions whose own nvidia-cuda-toolkit this is, named as os-release(5) does."""


@dataclass(frozen=True)
class BadPair:
    """A g++ that nvcc accepts and that fails all the same. Both are specifiers."""

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

    version: str
    cuda: str
    """The CUDA of the build that the package index gives on Linux."""
    builds: tuple[str, ...]
    """All CUDA versions that it is published for."""
    python: tuple[str, ...]
    cxx11_abi: bool
    """Of the build that the package index gives; :meth:`has_cxx11_abi` knows the others."""
    cxx11_abi_builds: tuple[str, ...]
    cxx_standard: int
    gcc_min: int
    glibc: str
    setuptools: str
    """Specifiers of the setuptools that torch.utils.cpp_extension works with."""
    numpy: str
    """Specifiers of the NumPy that its binaries work with; empty for any."""
    transformers: str
    """The same of transformers."""

    def has_cxx11_abi(self, cuda: str) -> bool:
        """Whether the build for this CUDA has the new C++ ABI."""
        return self.cxx11_abi or cuda in self.cxx11_abi_builds


@dataclass(frozen=True)
class BadArch:
    """An architecture for which nvcc makes wrong code of a project, and the one whose code its GPUs run instead."""

    arch: str
    cuda: str
    use: str
    why: str


@dataclass(frozen=True)
class Alike:
    """Files that hold one function template for several types: what is compiled in their place, dealt out in another way.

    Compiled as one, they make a smaller wheel, as the kernels for one type are compressed with those for another. Values of the
    template's first arguments go to files of their own, so that it takes no longer.
    """

    name: str
    """Of the files that are made: NAME.cu, NAME_1.cu and so on."""
    files: tuple[str, ...]
    header: str
    """Has the template; lies beside the files, as does what is made."""
    template: str
    parameters: str
    types: tuple[str, ...]
    """The template's last arguments, as the files have them."""
    parts: tuple[tuple[str, ...], ...] = ()
    """The template's first arguments, a tuple for each further file; the rest of them is in the first."""


@dataclass(frozen=True)
class UpstreamRow:
    """One version of one upstream project; ``version`` is empty for ``self``."""

    name: str
    version: str
    index_file: str = ""
    index_sha256: str = ""
    """Empty where the index's archive holds no CUDA sources."""
    repository: str = ""
    git_tag: str = ""
    git_commit: str = ""
    tree_sha256: tuple[str, ...] = ()
    """What the content of the index's archive, and of the tag, is known by (archives.tree_sha256)."""
    packages: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    license: str = ""
    extras: tuple[tuple[str, tuple[str, ...]], ...] = ()
    unneeded: tuple[str, ...] = ()
    """Requirements that upstream makes of everybody by mistake."""
    avoid: tuple[BadArch, ...] = ()
    one_pass: tuple[str, ...] = ()
    """Patterns of file names: these have nothing of GPUs after Ampere, so that one pass of nvcc's front end is enough."""
    compiled: int = 0
    """How many files there are to compile, at most; 0 where nobody knows."""
    alike: tuple[Alike, ...] = ()
    """Files whose kernels are so much alike that they are compressed to far less together; first those that take longest."""
    cuda_min: str = ""
    """The oldest nvcc that its setup.py takes."""
    transformers: str = ""
    """Specifiers of the transformers that its imports work with; empty where it imports none."""
    torch_min: str = ""
    python_min: str = ""
    """The oldest torch and Python that it goes with, whatever its metadata say."""
    needs_why: str = ""
    stable: bool = False
    """Whether its binding compiles with the stable-ABI headers (``mamba_build_backend/stable``)."""
    partner: str = ""
    """The version of causal-conv1d that goes with this mamba-ssm."""
    partner_fits: str = ""
    """Specifiers of those whose binding takes the arguments that this one passes."""
    partner_required: bool = False
    """Whether it cannot be imported without."""

    @property
    def is_own(self) -> bool:
        """Whether it is the project itself that holds the backend, and none of the known upstreams."""
        return self.name == SELF

    @property
    def title(self) -> str:
        """Name and version, as one says them."""
        return f"{self.name} {self.version}" if self.version else "this project"

    @property
    def archive_name(self) -> str:
        """The file name of its source archive: the index's, or the same for one made from the tag."""
        return self.index_file or f"{self.name.replace('-', '_')}-{self.version}.tar.gz"

    @property
    def mirror_name(self) -> str:
        """The folder that ``git clone --mirror`` makes of its repository."""
        return f"{self.repository.rpartition('/')[2]}.git"


@dataclass(frozen=True)
class PatchRow:
    """A patch to upstream's sources. ``versions``, ``cuda``, ``torch`` and ``cxx`` are specifiers; empty ones admit all."""

    file: str
    upstream: str
    versions: str
    cuda: str
    torch: str
    cxx: str
    """Of the language standard: ``>=20``."""
    why: str

    def concerns(self, row: UpstreamRow) -> bool:
        """Whether it is for this upstream and this version."""
        return row.name == self.upstream and admits(self.versions, row.version)

    def misfit(self, row: UpstreamRow, cuda: str, torch: str, cxx: int) -> str:
        """Why it is not applied; empty where it is."""
        if not self.concerns(row):
            return f"it is for {self.upstream} {self.versions}"
        for what, ranges, found in (
            ("CUDA", self.cuda, cuda),
            ("torch", self.torch, torch),
            ("C++", self.cxx, str(cxx)),
        ):
            if ranges and not (found and admits(ranges, found)):
                return f"it is for {what} {ranges}"
        return ""


def admits(ranges: str, release: str) -> bool:
    """Whether specifiers admit a release; empty ones admit all."""
    return bool(specifiers.SpecifierSet(ranges).contains(release, prereleases=True))


@dataclass(frozen=True)
class Distribution:
    """A Linux distribution: its C library, and how to install one of its own compilers."""

    names: tuple[str, ...]
    """ID and VERSION_ID of os-release(5); a minor version may follow."""
    gxx: tuple[int, ...]
    install: str
    """A command with ``{major}`` in it."""
    static: str
    """The command that installs libstdc++.a for the system's g++, where that is a package of its own."""
    glibc: str


@dataclass(frozen=True)
class Floor:
    """Symbol versions: a promise (a policy's row) or a measurement."""

    glibc: str = ""
    glibcxx: str = ""
    cxxabi: str = ""
    gcc: str = ""


Row = TypeVar("Row", Cuda, TorchRow)


@dataclass(frozen=True)
class Tables:
    """All tables. Immutable, so a plan depends on nothing else than facts, settings and this."""

    cuda: tuple[Cuda, ...]
    bad_pairs: tuple[BadPair, ...]
    torch: tuple[TorchRow, ...]
    upstream: tuple[UpstreamRow, ...]
    upstream_defaults: tuple[tuple[str, tuple[str, ...]], ...]
    """Each project's versions that are known to work, the newest first."""
    patches: tuple[PatchRow, ...]
    distributions: tuple[Distribution, ...]
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

    def distribution_row(self, name: str) -> Distribution | None:
        """The row of a distribution, such as ``rocky 8.9`` or ``ubuntu 22.04``; None for an unknown one."""
        for row in self.distributions:
            if any(name == own or name.startswith(f"{own}.") for own in row.names):
                return row
        return None


def minor(text: str) -> str:
    """``2.11`` of ``2.11.0+cu130``."""
    release = version.Version(text).release
    return f"{release[0]}.{release[1] if len(release) > 1 else 0}"


def is_version(text: str) -> bool:
    """Whether a text can be read as a version."""
    try:
        version.Version(text)
    except version.InvalidVersion:
        return False
    return True


def is_newer(rows: Sequence[Row], wanted: str) -> bool:
    """Whether a version is newer than all that a table knows."""
    return bool(version.Version(minor(wanted)) > version.Version(rows[-1].version))


def _nearest(rows: Sequence[Row], wanted: str) -> Row:
    older = [row for row in rows if version.Version(row.version) <= version.Version(wanted)]
    return older[-1] if older else rows[0]
