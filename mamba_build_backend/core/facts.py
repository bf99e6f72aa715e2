"""What was found on a machine: frozen records with a JSON round trip and without I/O.

A miss is a value: a broken candidate stays in the list with ``problem`` filled in, so that the plan can say why it was
rejected. Any machine can be written down as such a record and planned for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, Optional

from .tree_facts import Tree
from .typed import Word, load

SCHEMA = 2


class Origin(Word):
    """Where a candidate was found, for decisions; ``found_in`` says the same in words for people."""

    SETTING = "setting"
    VARIABLE = "variable"
    """A variable of torch, CUDA or the compilers names it: ``CUDA_HOME``, ``CXX``, ``VIRTUAL_ENV``."""
    PYTHON = "python"
    """``sys.path`` of the Python that runs the hooks."""
    ENVIRONMENT = "environment"
    """The environment that is built for."""
    CALLER = "caller"
    """The environment that the calling frontend's command line names: a hint."""
    USER = "user"
    CONDA = "conda"
    PATH = "path"
    SYSTEM = "system"
    """A folder of the system's installers and packages."""
    INDEX = "index"
    """A wheel from PyPI."""
    ARCHIVE = "archive"
    """NVIDIA's archives, which the build unpacks into its cache."""
    CACHE = "cache"
    """An earlier build of this backend made it."""
    UNKNOWN = "unknown"


class ToolkitLayout(Word):
    """The folder layout of a CUDA toolkit."""

    HOME = "home"
    """One folder."""
    CONDA = "conda"
    """An environment with ``targets/``."""
    DEBIAN = "debian"
    """nvcc in /usr/lib/nvidia-cuda-toolkit, headers in /usr/include."""
    HPC_SDK = "hpc-sdk"
    """The mathematical libraries are in a folder of their own."""
    PYPI = "pypi"
    """The nvidia/cu13 folders of NVIDIA's wheels."""


class CompilerKind(Word):
    """The families of C++ compilers."""

    GCC = "gcc"
    CLANG = "clang"
    ZIG = "zig"
    """From PyPI: clang with its own C++ library and glibc."""


class SysrootProvider(Word):
    """Who made a sysroot."""

    ZIG = "zig"
    CONDA = "conda"
    PATH = "path"
    """The user: a folder that a setting names."""
    HOST = "host"
    """This machine's own system."""


class CacheProgram(Word):
    """The known compiler caches."""

    CCACHE = "ccache"
    SCCACHE = "sccache"


class SourceKind(Word):
    """What the setting ``source`` points to."""

    NONE = ""
    """The setting is not a path."""
    TREE = "tree"
    ARCHIVE = "archive"
    REPOSITORY = "repository"
    FOLDER = "folder"
    """A folder with archives and repositories."""
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
    """What the user can type: used for shown commands, never for the build."""

    python: str = "python"
    """The command that starts this Python."""
    manager: Manager = Manager.UNKNOWN
    pip: bool = True
    """Whether this Python has pip."""
    settings_by_variable: bool = False
    """Whether that pip is older than 23.1 and lacks ``-C``: settings are then given as variables."""
    uv: bool = True
    """Whether uv is on PATH."""
    root: Optional[bool] = None
    """Whether the user is root; None if unknown."""
    container: bool = False
    modules: bool = False
    """Whether `module load` exists, as on clusters."""

    @property
    def system(self) -> bool:
        """Whether uv needs ``--system``, because there is no virtual environment."""
        return self.manager is Manager.SYSTEM


@dataclass(frozen=True)
class Machine:
    """The machine and the Python that the wheel is for. Memory and disk in bytes."""

    system: str
    arch: str
    libc: str
    libc_version: str
    cores: int
    """Cores that this process may use, within its affinity and cgroup quota."""
    memory_available: int
    python_version: str
    python_tag: str
    """The ABI tag: ``cp311``, or ``cp313t`` if free-threaded."""
    python_prefix: str
    distribution: str = ""
    """``ID VERSION_ID`` of os-release(5), such as ``ubuntu 20.04``."""
    cores_total: int = 0
    cores_limit: str = ""
    """The reason why ``cores`` is below ``cores_total``: ``affinity`` or ``cgroup quota``."""
    disk_free: int = 0
    """Bytes free in the build folder; 0 if unknown."""
    host: str = ""
    """This machine's processor if the wheel is for another one; empty if ``arch`` is both."""
    python_library: Optional[str] = None
    """A file that exports the Python C API: libpython, or a statically linked interpreter."""
    python_header: Optional[bool] = None
    """Whether Python.h exists; None if not probed."""

    @property
    def runs_on(self) -> str:
        """The processor that the build's programs run on."""
        return self.host or self.arch


@dataclass(frozen=True)
class Package:
    """An installed distribution that matters for torch."""

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
    """With the next two: the newest symbol versions that torch's libraries need from the system; empty if not read."""
    glibcxx: str = ""
    cxxabi: str = ""
    cuda_headers: tuple[str, ...] = ()
    """The headers that an extension needs (``probe.cuda.PARTS``) and that NVIDIA's wheels next to torch contain."""
    packages: tuple[Package, ...] = ()
    """The packages that matter (``probe.torch.NEIGHBOURS``) and are installed next to torch."""
    archs: tuple[str, ...] = ()
    """The GPUs that this torch has code for, such as ``80``, and ``PTX`` for later ones; empty if not read."""
    installer: str = ""
    """The installer named in torch's metadata: ``pip``, ``uv``, ``conda``; empty if not read."""
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
    """The architectures that its nvcc compiles for, such as ``90``; empty if nvcc did not answer."""
    includes: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    """Headers and libraries that an extension needs and that these folders lack."""
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
        """Its display name: ``g++ 12.2.0``."""
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
    """A program that caches compiler output."""

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
    """A variable that would point the build's compilers to folders of the host or of conda."""

    variable: str
    value: str
    kept: Optional[str] = None
    """The part of the value that the build keeps; None drops the variable."""


@dataclass(frozen=True)
class Facts:
    """Everything that was probed, in the order in which it was found."""

    machine: Machine
    torches: tuple[Torch, ...] = ()
    toolkits: tuple[Toolkit, ...] = ()
    compilers: tuple[Compiler, ...] = ()
    sysroots: tuple[Sysroot, ...] = ()
    compiler_caches: tuple[CompilerCache, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    driver: str = ""
    """Version of NVIDIA's kernel driver; empty if there is none."""
    gpus_asked: bool = True
    """Whether nvidia-ml-py or nvidia-smi could ask the driver for GPUs."""
    amd_driver: bool = False
    """Whether the kernel driver for AMD GPUs is loaded."""
    polluted: tuple[Polluted, ...] = ()
    embedded: tuple[str, ...] = ()
    """File names of the upstream archives that this source tree contains, as sdists do."""
    source_kind: SourceKind = SourceKind.NONE
    source_files: tuple[str, ...] = ()
    """The content of a folder of archives and repositories."""
    trees: tuple[Tree, ...] = ()
    """The tree that the setting ``source`` names, and trees of known projects next to it."""
    frontend: str = ""
    """The command that calls the hooks, such as ``pip download``; empty if no frontend does."""
    fetched: tuple[str, ...] = ()
    """Names of the sources and archives that are already downloaded (``probe/fetched.py``)."""
    shell: Shell = Shell()
    schema: int = SCHEMA


def to_json(value: Any) -> Any:
    """A record as plain dicts and lists."""
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def from_json(data: Mapping[str, Any]) -> Facts:
    """The inverse of :func:`to_json` for Facts, also of schema 1. Raises ValueError for a missing or unknown field."""
    loaded = load(Facts, _upgraded(data) if data.get("schema", 1) == 1 else data, "facts")
    if not isinstance(loaded, Facts):
        raise TypeError(f"facts: {loaded!r}")
    return loaded


# Facts of schema 1 say only in words where a candidate was found.
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
    """The same facts in schema 2: each candidate has an ``origin``. The loader reports anything unexpected."""
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
