"""The format of ``doctor --json``, schema 2: facts and plan with stable names. No I/O.

Each field is a key of the JSON, described by ``schemas/doctor-2.json``; the plan's internal fields may be renamed at
any time. ``facts`` is the same as in ``doctor --save`` and has its own schema number. Sentences (``because``, ``why``,
notes) are for people.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Optional, TypeVar

from ..core.errors import Problem
from ..core.facts import CacheProgram, CompilerKind, Facts, Origin, SysrootProvider, ToolkitLayout, to_json
from ..core.outside_text import without_secrets
from .types import BuildPlan, Choice, GivenPath, Tool

SCHEMA = 2
SCHEMA_FILE = Path(__file__).parent.parent / "schemas" / f"doctor-{SCHEMA}.json"
"""The JSON Schema of :func:`plan_json`."""

T = TypeVar("T")


@dataclass(frozen=True)
class PassedOver:
    """A candidate that was not chosen."""

    what: str
    why: str


@dataclass(frozen=True)
class Decision(Generic[T]):
    """The choice, why, and the rejected candidates; ``chosen`` is null if nothing fits, or if it will be installed."""

    chosen: Optional[T]
    because: str
    passed_over: tuple[PassedOver, ...]


@dataclass(frozen=True)
class ChosenTorch:
    """An installed torch."""

    site: str
    version: str
    cuda: Optional[str]
    cxx11_abi: Optional[bool]
    origin: Origin


@dataclass(frozen=True)
class ChosenToolkit:
    """A CUDA toolkit."""

    home: str
    """Empty if the build will make the toolkit from NVIDIA's archives."""
    version: str
    layout: ToolkitLayout
    origin: Origin


@dataclass(frozen=True)
class ChosenCompiler:
    """A host compiler."""

    path: str
    kind: CompilerKind
    version: str
    target: str
    origin: Origin


@dataclass(frozen=True)
class ChosenSysroot:
    """The glibc to link against; ``glibc`` is empty for zig's, which provides any version."""

    path: str
    provider: SysrootProvider
    glibc: str
    origin: Origin


@dataclass(frozen=True)
class ChosenCache:
    """A compiler cache."""

    path: str
    name: CacheProgram
    version: str


@dataclass(frozen=True)
class Changed:
    """How a tree differs from the most similar release: paths in the tree, and for ``missing`` in the release."""

    project: str
    release: str
    sha256: str
    """Hash of the names and contents of all its files."""
    same: tuple[str, ...]
    changed: tuple[str, ...]
    new: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """A project in the wheel: its source (``self``, ``embedded``, ``index``, ``git`` or ``path``) and its patches."""

    name: str
    version: str
    because: str
    source: str
    path: str
    """The path of the source ``path``; empty for other sources."""
    patches: tuple[str, ...]
    fixes: tuple[str, ...]
    """The patches that change results."""
    fork: Optional[Changed]
    """How a tree that is not a release differs from one."""


@dataclass(frozen=True)
class Target:
    """What the wheel is built for. ``abi`` is ``torch`` or ``stable``; the two minima belong to ``stable``."""

    torch: str
    """A version, or a minor version if torch must still be installed."""
    torch_requirement: str
    cuda: str
    cxx11_abi: Optional[bool]
    cxx_standard: int
    abi: str
    torch_min: str
    python_min: str
    because: str


@dataclass(frozen=True)
class SymbolVersions:
    """The newest symbol versions that the wheel may need."""

    glibc: str
    glibcxx: str
    cxxabi: str
    gcc: str


@dataclass(frozen=True)
class FloorPromise:
    """The wheel's promise, and the glibc that the wheel and its torch need together."""

    promised: SymbolVersions
    with_torch: str
    because: str


@dataclass(frozen=True)
class Pass:
    """A pass of nvcc's front end: its virtual architecture, and the codes that are made from it."""

    compute: str
    codes: tuple[str, ...]


@dataclass(frozen=True)
class GpuCode:
    """The compiled GPU code; ``shared_passes`` are for files (patterns) whose architectures share a pass."""

    codes: tuple[str, ...]
    written_by: str
    """``nvcc``: only NVIDIA's tools; ``compact``: the backend rewrites their PTX."""
    passes: tuple[Pass, ...]
    shared_files: tuple[str, ...]
    shared_passes: tuple[Pass, ...]
    derived: tuple[str, ...]
    """Virtual architectures whose PTX is rewritten from the first shared pass's."""
    nvcc_flags: tuple[str, ...]
    because: str


@dataclass(frozen=True)
class Jobs:
    """The number of parallel compilers, the architectures of each, and the optimiser's threads per architecture."""

    compilers: int
    threads: int
    split: int
    because: str


@dataclass(frozen=True)
class Requirements:
    """Requirements, and why."""

    requirements: tuple[str, ...]
    because: str


@dataclass(frozen=True)
class Partner:
    """The version of the project's partner that works with it; empty if there is none."""

    version: str
    because: str


@dataclass(frozen=True)
class Installed:
    """A tool that the build environment must still install."""

    tool: Tool
    requirements: tuple[str, ...]


@dataclass(frozen=True)
class Fetched:
    """An NVIDIA archive that the build would download."""

    name: str
    url: str
    """Without a password."""
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Plan:
    """The plan: what the build would do."""

    distribution: str
    """The name in the settings; otherwise the project's."""
    local_version: str
    build_tag: str
    variant: str
    parts: tuple[Part, ...]
    """The main project first."""
    target: Target
    torch: Decision[ChosenTorch]
    toolkit: Decision[ChosenToolkit]
    compiler: Decision[ChosenCompiler]
    sysroot: Decision[ChosenSysroot]
    compiler_cache: Decision[ChosenCache]
    floor: FloorPromise
    gpu_code: GpuCode
    jobs: Jobs
    pins: Requirements
    partner: Partner
    installs: tuple[Installed, ...]
    fetches: tuple[Fetched, ...]
    """Archives for ``toolkit`` that must still be downloaded."""
    cleaned: tuple[str, ...]
    """Variables that the build drops or shortens."""
    portable: bool
    repair: bool
    strip: bool


@dataclass(frozen=True)
class DoctorReport:
    """The whole answer."""

    ok: bool
    """Whether the build can start."""
    facts: Facts
    plan: Plan
    notes: tuple[str, ...]
    problems: tuple[Problem, ...]
    schema: int = SCHEMA


def plan_json(facts: Facts, plan: BuildPlan) -> dict[str, Any]:
    """Facts and plan in machine-readable form."""
    report = DoctorReport(not plan.problems, facts, _plan(plan), (*plan.warnings, *plan.notes), plan.problems)
    found: dict[str, Any] = to_json(report)
    return found


def _plan(plan: BuildPlan) -> Plan:
    torch, toolkit, compiler = plan.torch.value, plan.toolkit.value, plan.compiler.value
    sysroot, cache = plan.sysroot.value, plan.compiler_cache.value
    return Plan(
        distribution=plan.distribution,
        local_version=plan.local_version,
        build_tag=plan.build_tag,
        variant=plan.variant,
        parts=tuple(_part(part) for part in plan.parts),
        target=_target(plan),
        torch=_decision(
            plan.torch,
            ChosenTorch(torch.site, torch.version, torch.cuda, torch.cxx11_abi, torch.origin) if torch else None,
        ),
        toolkit=_decision(
            plan.toolkit,
            ChosenToolkit(toolkit.home, toolkit.version, toolkit.layout, toolkit.origin) if toolkit else None,
        ),
        compiler=_decision(
            plan.compiler,
            ChosenCompiler(compiler.path, compiler.kind, compiler.version, compiler.target, compiler.origin)
            if compiler
            else None,
        ),
        sysroot=_decision(
            plan.sysroot,
            ChosenSysroot(sysroot.path, sysroot.provider, sysroot.glibc, sysroot.origin) if sysroot else None,
        ),
        compiler_cache=_decision(
            plan.compiler_cache, ChosenCache(cache.path, cache.name, cache.version) if cache else None
        ),
        floor=_floor(plan),
        gpu_code=_gpu_code(plan),
        jobs=Jobs(plan.jobs.value, plan.nvcc.threads, plan.nvcc.split, plan.jobs.because),
        pins=Requirements(plan.pins.value, plan.pins.because),
        partner=Partner(plan.partner.value, plan.partner.because),
        installs=tuple(Installed(item.tool, item.requirements) for item in plan.installs),
        fetches=fetches(plan),
        cleaned=tuple(name for name, _ in plan.environment),
        portable=plan.portable,
        repair=plan.repair,
        strip=plan.strip,
    )


def fetches(plan: BuildPlan) -> tuple[Fetched, ...]:
    """The NVIDIA archives that a build would download."""
    archives = plan.archives
    if archives is None:
        return ()
    mirror = without_secrets(archives.mirror)
    return tuple(Fetched(item.name, f"{mirror}/{item.path}", item.bytes, item.sha256) for item in archives.missing)


def _decision(choice: Choice[Any], chosen: T | None) -> Decision[T]:
    return Decision(chosen, choice.because, tuple(PassedOver(item.what, item.why) for item in choice.rejected))


def _part(plan: BuildPlan) -> Part:
    row, source = plan.upstream.value, plan.source.value
    path = source.path if isinstance(source, GivenPath) else ""
    patches = tuple(item.file for item in plan.patches.value)
    fixes = tuple(item.file for item in plan.fixes)
    fork = row.fork
    changed = (
        Changed(fork.project, fork.release, fork.sha256, fork.same, fork.changed, fork.new, fork.missing)
        if fork and fork.release
        else None
    )
    return Part(row.name, row.version, plan.upstream.because, source.kind, path, patches, fixes, changed)


def _target(plan: BuildPlan) -> Target:
    target, abi = plan.target, plan.abi.value
    return Target(
        torch=target.version,
        torch_requirement=plan.torch_requirement,
        cuda=target.cuda,
        cxx11_abi=target.cxx11_abi,
        cxx_standard=target.cxx_standard,
        abi=abi.name,
        torch_min=abi.torch_min,
        python_min=abi.python_min,
        because=plan.abi.because,
    )


def _floor(plan: BuildPlan) -> FloorPromise:
    floor = plan.floor
    promised = SymbolVersions(floor.glibc, floor.glibcxx, floor.cxxabi, floor.gcc)
    return FloorPromise(promised, plan.effective_floor.value, plan.effective_floor.because)


def _gpu_code(plan: BuildPlan) -> GpuCode:
    code = plan.gpu_code.value
    return GpuCode(
        codes=code.codes,
        written_by="compact" if code.compact else "nvcc",
        passes=tuple(Pass(item.compute, item.codes) for item in code.passes),
        shared_files=code.shared.files,
        shared_passes=tuple(Pass(item.compute, item.codes) for item in code.shared.passes),
        derived=code.shared.derived,
        nvcc_flags=plan.nvcc_flags,
        because=plan.gpu_code.because,
    )
