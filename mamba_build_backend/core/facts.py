"""What was found on a machine: frozen records with a JSON round trip and no I/O of their own.

A miss is a value: a candidate that is broken stays in the list with ``problem`` filled in, so that the plan can say why
it was passed over. Any machine in the world can be written down as such a record and planned for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, Optional

from .tree_facts import Tree
from .typed import Word, load

SCHEMA = 2


class Origin(Word):
    """Where a candidate was found, for decisions; ``found_in`` beside it says it to a person."""

    SETTING = "setting"
    VARIABLE = "variable"
    """A variable of torch's, CUDA's or the compilers' that names it: ``CUDA_HOME``, ``CXX``, ``VIRTUAL_ENV``."""
    PYTHON = "python"
    """The path of the Python that runs the hooks."""
    ENVIRONMENT = "environment"
    """The environment that is built for."""
    CALLER = "caller"
    """The environment that the command line of the calling frontend names: a hint."""
    USER = "user"
    CONDA = "conda"
    PATH = "path"
    SYSTEM = "system"
    """Where installers and packages of the system put it."""
    INDEX = "index"
    """A wheel of the package index."""
    ARCHIVE = "archive"
    """NVIDIA's archives, which the build unpacks into its cache."""
    CACHE = "cache"
    """Made by an earlier build of this backend."""
    UNKNOWN = "unknown"


class ToolkitLayout(Word):
    """How the parts of a CUDA toolkit lie."""

    HOME = "home"
    """One folder."""
    CONDA = "conda"
    """An environment with ``targets/``."""
    DEBIAN = "debian"
    """nvcc in /usr/lib/nvidia-cuda-toolkit, headers in /usr/include."""
    HPC_SDK = "hpc-sdk"
    """Mathematical libraries in a folder of their own."""
    PYPI = "pypi"
    """The nvidia/cu13 folders of wheels."""


class CompilerKind(Word):
    """The families of C++ compilers that are told apart."""

    GCC = "gcc"
    CLANG = "clang"
    ZIG = "zig"
    """The package index's: clang with a C++ library and a glibc of its own."""


class SysrootProvider(Word):
    """Who made a sysroot."""

    ZIG = "zig"
    CONDA = "conda"
    PATH = "path"
    """The user: a folder that a setting names."""
    HOST = "host"
    """This machine's own system."""


class CacheProgram(Word):
    """The compiler caches that are known."""

    CCACHE = "ccache"
    SCCACHE = "sccache"


class SourceKind(Word):
    """What the setting ``source`` points to."""

    NONE = ""
    """The setting is no path."""
    TREE = "tree"
    ARCHIVE = "archive"
    REPOSITORY = "repository"
    FOLDER = "folder"
    """Of archives and repositories."""
    MISSING = "missing"


class Manager(Word):
    """Who made the environment and installs into it."""

    UNKNOWN = ""
    VENV = "venv"
    """A virtual environment, by whichever tool."""
    CONDA = "conda"
    PIXI = "pixi"
    SYSTEM = "system"
    """The system's own Python, or an image's."""


@dataclass(frozen=True)
class Shell:
    """What the user can type: for what is told, never for what is built."""

    python: str = "python"
    """The word that starts this Python."""
    manager: Manager = Manager.UNKNOWN
    pip: bool = True
    """Whether this Python has pip."""
    settings_by_variable: bool = False
    """Whether that pip is older than 23.1, and does not know ``-C``: settings are variables then."""
    uv: bool = True
    """Whether uv is on PATH."""
    root: Optional[bool] = None
    """Whether the user is root; None where that is not known."""
    container: bool = False
    modules: bool = False
    """Whether `module load` is there, as on clusters."""

    @property
    def system(self) -> bool:
        """Whether uv must be told that no virtual environment is meant."""
        return self.manager is Manager.SYSTEM


@dataclass(frozen=True)
class Machine:
    """The machine and the Python that the wheel is for. Memory and disk in bytes."""

    system: str
    arch: str
    libc: str
    libc_version: str
    cores: int
    """Cores that this process may use: affinity and cgroup quota taken off."""
    memory_available: int
    python_version: str
    python_tag: str
    """The tag of its ABI: ``cp311``, ``cp313t`` where it is free-threaded."""
    python_prefix: str
    distribution: str = ""
    """``ID VERSION_ID`` of os-release(5), such as ``ubuntu 20.04``."""
    cores_total: int = 0
    cores_limit: str = ""
    """What keeps ``cores`` under ``cores_total``: ``affinity`` or ``cgroup quota``."""
    disk_free: int = 0
    """In the folder where builds work; 0 where it cannot be told."""
    host: str = ""
    """Where the wheel is for another processor than this machine's, this machine's; empty where ``arch`` is both."""
    python_library: Optional[str] = None
    """A file that exports the Python C API: libpython, or a statically linked interpreter."""
    python_header: Optional[bool] = None
    """Whether Python.h is there; None where nobody looked."""

    @property
    def runs_on(self) -> str:
        """The processor that the build's programs run on."""
        return self.host or self.arch


@dataclass(frozen=True)
class Package:
    """An installed distribution that matters beside torch."""

    name: str
    version: str


@dataclass(frozen=True)
class Torch:
    """One torch installation, read without importing it."""

    site: str
    found_in: str
    version: str = ""
    cuda: Optional[str] = None
    hip: Optional[str] = None
    cxx11_abi: Optional[bool] = None
    cxx_standard: int = 17
    tag: Optional[str] = None
    glibc: str = ""
    """With the next two: the newest symbol versions that its own libraries ask of the system; empty where unread."""
    glibcxx: str = ""
    cxxabi: str = ""
    cuda_headers: tuple[str, ...] = ()
    """Of the headers that an extension needs (``probe.cuda.HEADERS``), those that NVIDIA's wheels beside torch hold."""
    packages: tuple[Package, ...] = ()
    """Of the packages that matter (``probe.torch.NEIGHBOURS``), those installed beside it."""
    archs: tuple[str, ...] = ()
    """The GPUs that its own build has code for, such as ``80``, and ``PTX`` for later ones; empty where unread."""
    installer: str = ""
    """Who installed it, by its metadata: ``pip``, ``uv``, ``conda``; empty where unread."""
    problem: Optional[str] = None
    origin: Origin = Origin.UNKNOWN


@dataclass(frozen=True)
class Toolkit:
    """One CUDA toolkit."""

    home: str
    found_in: str
    layout: ToolkitLayout = ToolkitLayout.HOME
    version: str = ""
    archs: tuple[str, ...] = ()
    """What its nvcc compiles for, such as ``90``; empty where it could not be asked."""
    includes: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    """Headers and libraries that an extension needs and that are in none of these folders."""
    problem: Optional[str] = None
    origin: Origin = Origin.UNKNOWN


@dataclass(frozen=True)
class Compiler:
    """One C++ compiler. ``libstdcxx_static`` and ``libstdcxx_shared`` are its own runtime's files."""

    path: str
    found_in: str
    kind: CompilerKind = CompilerKind.GCC
    version: str = ""
    target: str = ""
    cxx_includes: tuple[str, ...] = ()
    gcc_includes: tuple[str, ...] = ()
    libstdcxx_static: Optional[str] = None
    libstdcxx_shared: Optional[str] = None
    libstdcxx: str = ""
    """The newest symbol version of its shared libstdc++, such as ``3.4.30``."""
    problem: Optional[str] = None
    origin: Origin = Origin.UNKNOWN

    @property
    def title(self) -> str:
        """As one says it: ``g++ 12.2.0``."""
        return f"{'g++' if self.kind is CompilerKind.GCC else self.kind} {self.version or '?'}"


@dataclass(frozen=True)
class Sysroot:
    """glibc headers and libraries to link against."""

    provider: SysrootProvider
    path: str
    found_in: str
    glibc: str = ""
    problem: Optional[str] = None
    origin: Origin = Origin.UNKNOWN


@dataclass(frozen=True)
class CompilerCache:
    """A program that remembers what a compiler made."""

    name: CacheProgram
    path: str
    version: str = ""
    problem: Optional[str] = None


@dataclass(frozen=True)
class Gpu:
    """One GPU, as its driver describes it."""

    name: str
    capability: str


@dataclass(frozen=True)
class Polluted:
    """A variable that would lead the build's compilers to folders of the host or of conda."""

    variable: str
    value: str
    kept: Optional[str] = None
    """What of it the build keeps; None drops the variable."""


@dataclass(frozen=True)
class Facts:
    """Everything that was looked at, in the order in which it was found."""

    machine: Machine
    torches: tuple[Torch, ...] = ()
    toolkits: tuple[Toolkit, ...] = ()
    compilers: tuple[Compiler, ...] = ()
    sysroots: tuple[Sysroot, ...] = ()
    compiler_caches: tuple[CompilerCache, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    driver: str = ""
    """Version of NVIDIA's kernel driver; empty where there is none."""
    gpus_asked: bool = True
    """Whether the driver could be asked for GPUs: through nvidia-ml-py or nvidia-smi."""
    amd_driver: bool = False
    """Whether the kernel's driver for AMD's GPUs is loaded."""
    polluted: tuple[Polluted, ...] = ()
    embedded: tuple[str, ...] = ()
    """The upstream archives that this source tree carries, as sdists do: their file names."""
    source_kind: SourceKind = SourceKind.NONE
    source_files: tuple[str, ...] = ()
    """What it holds, where it is a folder of archives and repositories."""
    trees: tuple[Tree, ...] = ()
    """The tree that the setting ``source`` names, and those of known projects that lie beside it."""
    frontend: str = ""
    """The command that calls the hooks, such as ``pip download``; empty where it is no frontend."""
    fetched: tuple[str, ...] = ()
    """Of the sources and archives that a build may fetch, the names of those that are here (``probe/fetched.py``)."""
    shell: Shell = Shell()
    schema: int = SCHEMA


def to_json(value: Any) -> Any:
    """A record as plain dicts and lists."""
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def from_json(data: Mapping[str, Any]) -> Facts:
    """The inverse of :func:`to_json` for Facts, of schema 1 too. Raises ValueError for a missing or unknown field."""
    loaded = load(Facts, _upgraded(data) if data.get("schema", 1) == 1 else data, "facts")
    if not isinstance(loaded, Facts):
        raise TypeError(f"facts: {loaded!r}")
    return loaded


# Facts of schema 1: there words alone said where a candidate was found.
_SETTING = "setting "
_VARIABLES = ("CUDA_HOME", "CUDA_PATH", "CXX", "VIRTUAL_ENV")
_CONDA = ("CONDA_PREFIX", "CONDA_BUILD_SYSROOT", "BUILD_PREFIX", "PREFIX")
_SYSTEM = ("/usr/local", "/opt/rh", "Debian's nvidia-cuda-toolkit", "the HPC SDK", "this machine")
_OTHERS = {
    "PATH": "path",
    "this Python's path": "python",
    "the user's site-packages": "user",
    "the package index's nvcc": "index",
    "the cache": "cache",
}


def _upgraded(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same facts in schema 2: each candidate has an ``origin``. What is not as expected is left to the loader."""
    out = dict(data, schema=2)
    for name in ("torches", "toolkits", "compilers", "sysroots"):
        if isinstance(out.get(name), list):
            out[name] = [_with_origin(item) if isinstance(item, dict) else item for item in out[name]]
    return out


def _with_origin(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"origin": _origin(str(item.get("found_in", ""))), **item}


def _origin(words: str) -> str:
    if words.startswith(_SETTING):
        return "setting"
    if words.startswith("the environment that "):
        return "caller"
    if words.startswith("the environment "):
        return "environment"
    if words.startswith("ziglang"):
        return "index"
    for names, origin in ((_CONDA, "conda"), (_VARIABLES, "variable"), (_SYSTEM, "system")):
        if words.startswith(names):
            return origin
    return _OTHERS.get(words, "unknown")
