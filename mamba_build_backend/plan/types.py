"""The types of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, Optional, TypeVar, Union

from ..core._compat import version
from ..core.errors import PlanError, Problem
from ..core.facts import Compiler, CompilerCache, Sysroot, Toolkit, Torch
from ..core.typed import Word
from ..tables import Archives, CrossRuntime, Floor, FrontEnd, KernelGroup, PatchRow, ProjectVersion

T = TypeVar("T")


@dataclass(frozen=True)
class Rejected:
    """A candidate that was not chosen."""

    what: str
    why: str


@dataclass(frozen=True)
class Choice(Generic[T]):
    """A decision: the chosen value, why, and the rejected candidates."""

    value: T
    because: str
    """For people: no code decides by these words."""
    rejected: tuple[Rejected, ...] = ()
    forced: bool = False
    """Whether the user asked for exactly this value."""


class Tool(Word):
    """Tools that a build environment may have to install in addition to the usual ones."""

    TORCH = "torch"
    NVCC = "nvcc"
    COMPILER = "compiler"
    SYSROOT = "sysroot"
    GPU_QUERY = "gpu-query"
    """The package that asks the driver for its GPUs."""


@dataclass(frozen=True)
class Install:
    """A tool that the build environment has to install."""

    tool: Tool
    requirements: tuple[str, ...]
    release: str = ""
    """Its minor version, such as ``13.0``, if decisions depend on it."""


@dataclass(frozen=True)
class OwnTree:
    """The source of a project that builds itself."""

    kind: ClassVar[str] = "self"


@dataclass(frozen=True)
class EmbeddedArchive:
    """The archive inside this sdist."""

    file: str
    kind: ClassVar[str] = "embedded"


@dataclass(frozen=True)
class IndexArchive:
    """The archive from PyPI, or from the cache if already downloaded."""

    file: str
    kind: ClassVar[str] = "index"


@dataclass(frozen=True)
class GitTag:
    """A tag of upstream's repository, identified by its commit."""

    repository: str
    tag: str
    commit: str
    kind: ClassVar[str] = "git"


@dataclass(frozen=True)
class GivenPath:
    """An archive, a tree or a repository that a setting names."""

    path: str
    kind: ClassVar[str] = "path"


SourceOrigin = Union[OwnTree, EmbeddedArchive, IndexArchive, GitTag, GivenPath]


@dataclass(frozen=True)
class TorchTarget:
    """The torch that the wheel is built for: one that is here, or one that the build installs."""

    requirement: str
    """A requirement string that pins its minor version; empty if unknown."""
    version: str
    """Its version, or the minor version if it must still be installed."""
    cuda: str
    cxx11_abi: bool | None
    cxx_standard: int
    setuptools: str
    """Specifiers of the setuptools versions that its build code works with."""


@dataclass(frozen=True)
class Abi:
    """The ABI of a wheel's binary: ``torch``, for one torch minor and Python, or ``stable``, from the minima on."""

    name: str
    torch_min: str = ""
    python_min: str = ""

    @property
    def is_stable(self) -> bool:
        """Whether one wheel serves every later torch and Python."""
        return self.name == "stable"

    @property
    def python_tag(self) -> str:
        """Interpreter and ABI tag of a wheel: ``cp39-abi3``; empty for the tags of the Python that builds."""
        return f"cp{self.python_min.replace('.', '')}-abi3" if self.is_stable else ""


TORCH_ABI = Abi("torch")


@dataclass(frozen=True)
class SharedPasses:
    """Files (name patterns) for which several architectures share a pass of nvcc's front end, and the shared passes."""

    files: tuple[str, ...] = ()
    passes: tuple[FrontEnd, ...] = ()
    derived: tuple[str, ...] = ()
    """Virtual architectures (``75``) whose pass does not run: the backend rewrites the first pass's PTX for them."""

    def flags(self) -> tuple[str, ...]:
        """Nvcc's options that select the architectures of these files."""
        return _architecture_flags(self.passes)


@dataclass(frozen=True)
class GpuCode:
    """The GPU code of a wheel, and how nvcc makes it; ``plan/nvcc.py`` explains and decides it."""

    passes: tuple[FrontEnd, ...] = ()
    """Passes of nvcc's front end, for each file that ``shared`` does not name."""
    shared: SharedPasses = SharedPasses()
    compact: bool = False
    """Whether the backend rewrites the PTX of nvcc's front end; if not, NVIDIA's tools write all GPU code."""

    @property
    def codes(self) -> tuple[str, ...]:
        """The wheel's codes: ``80``, ``90a``, and so on, and ``PTX`` once for each pass that keeps it."""
        return tuple(code for item in self.passes for code in item.codes)

    @property
    def runs(self) -> int:
        """How often nvcc's front end runs per file; for a file of ``shared``, if there are any."""
        return len(self.shared.passes) - len(self.shared.derived) if self.shared.files else len(self.passes)

    def flags(self) -> tuple[str, ...]:
        """Nvcc's options that select the architectures."""
        return _architecture_flags(self.passes)


def _architecture_flags(passes: tuple[FrontEnd, ...]) -> tuple[str, ...]:
    return tuple(flag for item in passes for flag in item.flags())


@dataclass(frozen=True)
class NvccOptions:
    """Options of every nvcc call, besides those of the architectures."""

    threads: int = 1
    """How many architectures of a file nvcc compiles in parallel."""
    split: int = 1
    """Threads of nvcc's optimiser for one architecture. With several architectures in parallel, only a front end
    from which others are derived uses them."""
    lineinfo: bool = False
    compress: str = ""
    """The mode of fatbin compression; empty for nvcc's own choice."""

    @property
    def front_end_threads(self) -> int:
        """Threads of the front end from which others are derived; all architectures wait for it."""
        return self.split if self.threads > 1 else 1

    def flags(self) -> tuple[str, ...]:
        """Nvcc's options."""
        threads = ("--threads", str(self.threads)) if self.threads > 1 else ()
        split = ("--split-compile", str(self.split)) if self.split > 1 and self.threads == 1 else ()
        lineinfo = ("-lineinfo",) if self.lineinfo else ()
        compress = (f"--compress-mode={self.compress}",) if self.compress else ()
        return (*threads, *split, *lineinfo, *compress)


@dataclass(frozen=True)
class BuildPlan:
    """Everything that the build will do."""

    distribution: str
    local_version: str
    build_tag: str
    """The build number in the wheel's file name; empty for none."""
    variant: str
    """The variant label of the wheel (draft); empty for a plain wheel."""
    upstream: Choice[ProjectVersion]
    source: Choice[SourceOrigin]
    allow_unverified: bool
    """Whether the source may differ from upstream's releases."""
    patches: Choice[tuple[PatchRow, ...]]
    torch: Choice[Torch | None]
    target: TorchTarget
    abi: Choice[Abi]
    toolkit: Choice[Toolkit | None]
    compiler: Choice[Compiler | None]
    sysroot: Choice[Sysroot | None]
    floor: Floor
    effective_floor: Choice[str]
    """The glibc that the wheel and its torch need together, and which of the two sets it."""
    gpu_code: Choice[GpuCode]
    jobs: Choice[int]
    nvcc: NvccOptions
    regrouped: tuple[KernelGroup, ...]
    """Files whose kernels are regrouped into other files than upstream's."""
    compiler_cache: Choice[CompilerCache | None]
    pins: Choice[tuple[str, ...]]
    """Requirements in the wheel's metadata that are narrower than upstream's."""
    partner: Choice[str]
    """The version of the project's partner that works with it and with this torch; empty if there is none."""
    environment: tuple[tuple[str, str | None], ...]
    """Variables that the build changes, or drops (None)."""
    installs: tuple[Install, ...]
    """What the build environment must still install."""
    portable: bool
    """Whether compilers use the sysroot and the libstdc++ recipe; if not, they use this machine's system directly."""
    repair: bool
    strip: bool
    companion: Optional[BuildPlan] = None
    """The plan of the partner that goes into the same wheel."""
    archives: Optional[Archives] = None
    """NVIDIA's archives, if the toolkit is made from them."""
    runtime: Optional[CrossRuntime] = None
    """CUDA's runtime for another processor, if the wheel is for one."""
    only_metadata: bool = False
    """Whether nothing will be compiled (the setting ``metadata-only``)."""
    warnings: tuple[str, ...] = ()
    """Questions that do not stop the build, shown before everything else."""
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def parts(self) -> tuple[BuildPlan, ...]:
        """The plans of all parts of the wheel, this one first."""
        return (self, self.companion) if self.companion else (self,)

    @property
    def nvcc_flags(self) -> tuple[str, ...]:
        """The options that replace upstream's options of nvcc, for each file that is not in ``shared``."""
        return (*self.gpu_code.value.flags(), *self.nvcc.flags())

    @property
    def title(self) -> str:
        """The projects and versions that are built, in words."""
        return " with ".join(part.upstream.value.title for part in self.parts)

    @property
    def fixes(self) -> tuple[PatchRow, ...]:
        """The patches that change results."""
        return tuple(item for item in self.patches.value if item.is_fix)

    @property
    def cuda(self) -> str:
        """The CUDA that compiles the wheel's kernels: the toolkit's, that of the nvcc to install, or torch's."""
        return cuda_of(self.toolkit.value, self.installs) or self.target.cuda

    @property
    def driver(self) -> str:
        """The CUDA that a driver must support for the kernels, such as ``12.0``; see ``compress`` in cuda.toml."""
        major = self.cuda.partition(".")[0]
        return "12.4" if major == "12" and self.nvcc.compress in ("size", "balance") else f"{major}.0"

    @property
    def torch_requirement(self) -> str:
        """The torch requirement in the wheel's metadata; empty if unknown."""
        return f"torch>={self.torch_least}" if self.abi.value.is_stable else self.target.requirement

    @property
    def torch_least(self) -> str:
        """The oldest torch that a stable wheel runs with, because of its binary or of upstream's Python code."""
        least = [self.abi.value.torch_min, *(part.upstream.value.torch_min for part in self.parts)]
        return max(filter(None, least), key=version.Version)

    @property
    def requirements(self) -> tuple[str, ...]:
        """What the build environment must still install, as requirements."""
        return tuple(text for item in self.installs for text in item.requirements)

    @property
    def carries_metadata(self) -> bool:
        """Whether all sources are PyPI archives with metadata; for other sources, setup.py must run."""
        return all(
            isinstance(part.source.value, (EmbeddedArchive, IndexArchive)) and bool(part.upstream.value.index_sha256)
            for part in self.parts
        )

    @property
    def needs_no_torch(self) -> bool:
        """Whether the wheel is stable, and no torch is here or requested."""
        return self.abi.value.is_stable and self.torch.value is None and not self.torch.forced

    def installs_tool(self, tool: Tool) -> Install | None:
        """How the build environment gets this tool; None if it has the tool or does not need it."""
        return next((item for item in self.installs if item.tool is tool), None)

    def raise_problems(self) -> None:
        """Raise PlanError with all problems, if there are any; missing requirements are not problems."""
        if self.problems:
            raise PlanError(self.problems)

    def check(self) -> ReadyPlan:
        """The plan in a form that can be carried out now. Raises PlanError with all obstacles."""
        self.raise_problems()
        toolkit, compiler, sysroot = self.toolkit.value, self.compiler.value, self.sysroot.value
        if self.installs or toolkit is None or compiler is None or sysroot is None:
            raise PlanError((not_installed(self.requirements),))
        return ReadyPlan(self, self.torch.value, toolkit, compiler, sysroot)

    def with_toolkit(self, toolkit: Toolkit) -> BuildPlan:
        """The plan with the toolkit that was made from NVIDIA's archives."""
        companion = self.companion.with_toolkit(toolkit) if self.companion else None
        return replace(self, toolkit=replace(self.toolkit, value=toolkit), companion=companion)

    def without_machine(self) -> BuildPlan:
        """The plan with only the problems of its sources: for steps that need no compiler, no GPU and no torch."""
        kept = tuple(item for item in self.problems if item.code.startswith(("upstream", "source", "companion")))
        return replace(self, problems=kept)


@dataclass(frozen=True)
class ReadyPlan:
    """A plan that can be carried out: this machine has everything that it needs."""

    plan: BuildPlan
    torch: Optional[Torch]
    toolkit: Toolkit
    compiler: Compiler
    sysroot: Sysroot

    @property
    def parts(self) -> tuple[ReadyPlan, ...]:
        """The plans of all parts of the wheel, this one first; they share the tools."""
        return tuple(replace(self, plan=part) for part in self.plan.parts)


def not_installed(requirements: Sequence[str]) -> Problem:
    """The problem that an environment lacks these requirements."""
    quoted = " ".join(f"'{item}'" for item in requirements)
    return Problem(
        "not-installed",
        f"this environment lacks {', '.join(requirements)}",
        "an isolated build installs them automatically",
        ("use the same command without --no-build-isolation", f"python -m pip install {quoted}"),
    )


def cuda_of(toolkit: Toolkit | None, installs: Sequence[Install]) -> str:
    """The CUDA of a toolkit, or of the nvcc that the build environment will install; empty without either."""
    if toolkit is not None:
        return toolkit.version
    return next((item.release for item in installs if item.tool is Tool.NVCC), "")
