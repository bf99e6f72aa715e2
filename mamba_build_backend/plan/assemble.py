"""Assemble one plan from settings, facts and tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..core._compat import requirements, utils
from ..core.errors import Problem, with_command
from ..core.facts import CacheProgram, Compiler, CompilerCache, Facts, SourceKind, Sysroot, Toolkit, Torch
from ..core.settings import Settings, companion_key
from ..tables import CrossRuntime, Fork, FrontEnd, KernelGroup, ProjectVersion, Tables, admits, minor
from .abi import decide_abi
from .companion import both, decide_partner, newest_with_partner
from .compiler import decide_compiler
from .compiler_cache import apart, decide_compiler_cache
from .cross import decide_runtime
from .fork import named_tree
from .gpus import check_gpus, check_own_runtime
from .jobs import decide_jobs, decide_split
from .metadata_only import metadata_alone, offering_metadata
from .notebook import Notebook
from .nvcc import SMALLEST, decide_gpu_code, decide_options, decide_passes
from .offers import Offers
from .patches import decide_patches
from .platform import NO_PLACE, check_machine, check_platform
from .remedies import dotted_python
from .source import decide_source
from .sysroot import decide_effective_floor, decide_floor, decide_sysroot, is_portable
from .toolkit import decide_nvcc
from .torch import decide_pins, decide_torch, for_many
from .types import Abi, BuildPlan, Choice, GpuCode, Install, NvccOptions, Tool, TorchTarget, cuda_of
from .upstream import check_upstream, decide_upstream


def decide(settings: Settings, facts: Facts, tables: Tables, *, apart: frozenset[str] = frozenset()) -> BuildPlan:
    """Make the plan for a machine. Facts never raise an exception: problems are part of the plan.

    ``apart`` has the names of projects that get a separate wheel.
    """
    plan = _decide_one(settings, facts, tables)
    row = plan.upstream.value
    own = row.project.partner.name if row.project.partner else ""
    wanted = settings.companions
    # If a project cannot be imported without its partner, put both into one wheel: PyPI has some old partners only
    # without their CUDA sources.
    there = plan.partner.value or any(utils.canonicalize_name(tree.name) == own for tree in facts.trees[1:])
    if own and own not in apart and row.partner_required and there and not settings.is_set(companion_key(own)):
        wanted = (*wanted, own)
    for name in wanted:
        plan = _with_companion(plan, name, settings, facts, tables)
    plan = replace(plan, notes=(*plan.notes, *_other_owners(plan)))
    return metadata_alone(plan) if settings.metadata_only else offering_metadata(plan, facts)


def decide_together(wanted: Sequence[Settings], facts: Facts | Sequence[Facts], tables: Tables) -> list[BuildPlan]:
    """A plan for each of the settings, in order; a partner without a version matches an earlier project.

    ``facts`` is one record for all, or one for each, since each may have its own source.
    """
    plans: list[BuildPlan] = []
    every = [facts] * len(wanted) if isinstance(facts, Facts) else facts
    for settings, found in zip(wanted, every):
        if named_tree(settings, found):
            others = {utils.canonicalize_name(item.trees[0].name) for item in every if item.trees and item is not found}
            plans.append(decide(settings, found, tables, apart=frozenset(others)))
            continue
        caller = next((item for item in plans if _calls(item, settings.upstream)), None)
        if caller is None:
            plans.append(decide(settings, found, tables))
            continue
        release = settings.upstream_version or caller.partner.value
        plan = decide(replace(settings, upstream_version=release or None), found, tables)
        row, fits = plan.upstream.value, caller.upstream.value.partner_fits
        if not admits(fits, row.version):
            older = newest_with_partner(caller.upstream.value, caller.target, dotted_python(found.machine), tables)
            chosen = caller.upstream.value.version if caller.partner.value else older
            both_named = f"{caller.upstream.value.name}=={chosen} {row.name}"
            way = f"python -m mamba_build_backend build {both_named}   (the matching version)"
            unlike = f"{caller.upstream.value.title} and {row.title} do not work together"
            needed = f"{caller.upstream.value.title} calls the binding of {row.name} {fits}"
            problem = Problem("companion", unlike, needed, (way,))
            plan = replace(plan, problems=(*plan.problems, problem))
        plans.append(plan)
    return plans


def overwriting(plans: Sequence[BuildPlan]) -> Iterator[str]:
    """A sentence for each pair of wheels that contain modules of the same names."""
    for number, plan in enumerate(plans):
        for other in plans[:number]:
            if both := sorted(_modules(plan) & _modules(other)):
                yield (
                    f"{_which(other)} and {_which(plan)} both contain {', '.join(both)}. The one installed last overwrites the "
                    "other's files, and pip does not warn. Use a separate environment for each"
                )


def _which(plan: BuildPlan) -> str:
    fork = plan.upstream.value.fork
    return f"{plan.title} ({fork.path})" if fork else plan.title


def _modules(plan: BuildPlan) -> set[str]:
    projects = [part.upstream.value.project for part in plan.parts]
    return {name for project in projects for name in (*project.packages, *project.extensions)}


def _calls(plan: BuildPlan, name: str) -> bool:
    row = plan.upstream.value
    return bool(row.partner) and row.project.partner is not None and row.project.partner.name == name


def _with_companion(plan: BuildPlan, name: str, settings: Settings, facts: Facts, tables: Tables) -> BuildPlan:
    """The plan with that of the project ``name`` as companion; both come from the same facts, so they agree."""
    given = facts
    row = plan.upstream.value
    beside = [tree for tree in facts.trees[1:] if row.fork and utils.canonicalize_name(tree.name) == name]
    if not (plan.partner.value or beside) or not _calls(plan, name):
        key = companion_key(name)
        found = f"{key}: no {name} works with {row.title} here"
        callers = [item.name for item in tables.projects if item.partner and item.partner.name == name]
        why = plan.partner.because if _calls(plan, name) else f"only {' and '.join(callers)} can contain {name}"
        older = newest_with_partner(row, plan.target, dotted_python(facts.machine), tables)
        ways = [f"-C upstream-version={older}   (the newest version that works with a {name} here)"] if older else []
        problem = Problem("companion", found, why, (*ways, f"-C {key}=false"))
        return replace(plan, problems=plan.problems or (problem,))
    # An archive, a tree or a repository is the source of one project: the other one's comes from its usual place.
    alone = facts.source_kind in (SourceKind.ARCHIVE, SourceKind.TREE, SourceKind.REPOSITORY)
    other = replace(
        settings,
        upstream=name,
        upstream_version=plan.partner.value,
        abi=plan.abi.value.name,  # the two share a wheel's tag
        source="auto" if alone else settings.source,
    )
    if beside:
        # Both trees were changed together.
        facts = replace(facts, trees=tuple(beside[:1]), source_kind=SourceKind.TREE)
        other = replace(other, upstream_version=None, source=beside[0].path, allow_unverified=True)
    companion = _decide_one(other, facts, tables)
    if companion.upstream.value.fork and plan.abi.value.is_stable and not companion.upstream.value.stable:
        plan = _decide_one(replace(settings, abi="torch"), given, tables)
        own = _decide_one(replace(other, abi=settings.abi), facts, tables)  # above, the ABI was fixed
        plan = replace(plan, abi=replace(plan.abi, because=own.abi.because))
        return _with_companion(plan, name, settings, given, tables)
    return replace(
        plan,
        companion=replace(companion, notes=(), warnings=(), problems=()),
        pins=replace(
            plan.pins, value=tuple(pin for pin in plan.pins.value if requirements.Requirement(pin).name != name)
        ),
        installs=both(plan.installs, companion.installs),
        notes=both(plan.notes, companion.notes),
        problems=both(plan.problems, companion.problems),
    )


def _decide_one(settings: Settings, facts: Facts, tables: Tables) -> BuildPlan:
    notebook = Notebook()
    check_platform(facts, settings.upstream, notebook)
    torch, target = decide_torch(settings, facts, tables, notebook)
    no_place = tuple(item for item in notebook.problems if item.code in NO_PLACE)
    upstream = decide_upstream(settings, facts, tables, target, dotted_python(facts.machine), notebook)
    source = decide_source(settings, facts, upstream.value, notebook)
    abi = decide_abi(settings, facts, tables, upstream.value, target, notebook)
    offers = Offers(settings, facts, tables, upstream.value, torch.value, target, abi.value)
    abi, nvcc = decide_nvcc(offers, abi, other=settings.abi == "auto")
    offers = replace(offers, abi=abi.value)
    nvcc.tell(notebook)
    if abi.value.is_stable:
        torch, target = for_many(torch, target, notebook)
    toolkit, cuda = nvcc.toolkit, cuda_of(nvcc.toolkit.value, nvcc.installs) or target.cuda
    check_upstream(upstream.value, target, dotted_python(facts.machine), tables, notebook)
    host = _decide_host(settings, facts, tables, cuda, target, abi.value, notebook)
    compilation = _decide_compilation(settings, facts, tables, upstream.value, cuda, toolkit.value, notebook)
    check_gpus(offers, cuda, toolkit.value, compilation.passes, notebook)
    check_own_runtime(offers, cuda, notebook)
    pins = decide_pins(upstream.value, torch.value, target, abi.value, tables, notebook)
    partner = decide_partner(upstream.value, torch.value, target, dotted_python(facts.machine), tables, notebook)
    patches = decide_patches(settings, upstream.value, cuda, target, abi.value, tables, notebook)
    installs = (*nvcc.installs, *host.installs, *_other_installs(offers, torch, notebook))
    check_machine(settings, facts, abi.value, installs, notebook)
    return BuildPlan(
        distribution=utils.canonicalize_name(settings.distribution_name) if settings.distribution_name else "",
        local_version=_local_version(settings, upstream.value.fork, target, cuda, abi.value),
        build_tag=str(settings.build_tag or ""),
        variant=variant_label(settings.variant, cuda if abi.value.is_stable else target.cuda),
        upstream=upstream,
        source=source,
        allow_unverified=settings.allow_unverified,
        patches=patches,
        torch=torch,
        target=target,
        abi=abi,
        toolkit=toolkit,
        compiler=host.compiler,
        sysroot=host.sysroot,
        floor=decide_floor(settings, tables, torch.value, target, abi.value),
        effective_floor=decide_effective_floor(settings, tables, torch.value, target),
        gpu_code=compilation.gpu_code,
        jobs=compilation.jobs,
        nvcc=compilation.nvcc,
        regrouped=_regrouped(settings, upstream.value.project.kernel_groups, compilation.nvcc),
        compiler_cache=compilation.compiler_cache,
        pins=pins,
        partner=partner,
        environment=tuple((item.variable, item.kept) for item in facts.polluted),
        installs=installs,
        archives=nvcc.archives,
        runtime=host.runtime,
        portable=is_portable(settings, host.sysroot.value),
        repair=settings.repair,
        strip=settings.strip,
        warnings=tuple(notebook.warnings),
        notes=tuple(notebook.notes),
        problems=no_place or tuple(notebook.problems),  # a Mac, or AMD's torch: do not also report a missing nvcc
    )


@dataclass(frozen=True)
class _Host:
    """The tools that compile and link the wheel's host code, and which of them must be installed."""

    runtime: CrossRuntime | None
    compiler: Choice[Compiler | None]
    sysroot: Choice[Sysroot | None]
    installs: tuple[Install, ...]


def _decide_host(
    settings: Settings, facts: Facts, tables: Tables, cuda: str, target: TorchTarget, abi: Abi, notebook: Notebook
) -> _Host:
    runtime = decide_runtime(settings, facts, tables, cuda, abi, notebook)
    compiler, host = decide_compiler(settings, facts, tables, cuda, target, abi, notebook)
    sysroot, glibc = decide_sysroot(settings, facts, tables, cuda, compiler.value, host, notebook)
    return _Host(runtime, compiler, sysroot, (*host, *glibc))


@dataclass(frozen=True)
class _Compilation:
    """The GPU code, the parallelism and the nvcc options."""

    passes: tuple[FrontEnd, ...]
    gpu_code: Choice[GpuCode]
    jobs: Choice[int]
    nvcc: NvccOptions
    compiler_cache: Choice[CompilerCache | None]


def _decide_compilation(
    settings: Settings,
    facts: Facts,
    tables: Tables,
    row: ProjectVersion,
    cuda: str,
    toolkit: Toolkit | None,
    notebook: Notebook,
) -> _Compilation:
    passes = decide_passes(settings, facts, tables, row, cuda, toolkit, notebook)
    compiler_cache = decide_compiler_cache(settings, facts, passes.value, notebook)
    # sccache runs nvcc's steps itself.
    sccache = compiler_cache.value is not None and compiler_cache.value.name is CacheProgram.SCCACHE
    if sccache:
        passes = replace(passes, value=apart(passes.value))
    gpu_code = decide_gpu_code(settings, row, passes, share=not sccache)
    files = row.project.compiled
    jobs, threads = decide_jobs(settings, facts, () if sccache else gpu_code.value.codes, files, notebook)
    jobs, split = (jobs, 1) if sccache else decide_split(settings, facts, jobs, threads, files, cuda)
    nvcc = decide_options(settings, tables, cuda, threads, split, notebook)
    return _Compilation(passes.value, gpu_code, jobs, nvcc, compiler_cache)


def _other_installs(offers: Offers, torch: Choice[Torch | None], notebook: Notebook) -> Iterator[Install]:
    wanted = torch.value is None and (torch.forced or not offers.abi.is_stable)
    if wanted and not any(item.code.startswith("torch-") for item in notebook.problems):
        yield Install(Tool.TORCH, (offers.target.requirement,))
    if offers.settings.arch == "native" and not offers.facts.gpus_asked:
        yield Install(Tool.GPU_QUERY, ("nvidia-ml-py",))


def _regrouped(settings: Settings, groups: tuple[KernelGroup, ...], nvcc: NvccOptions) -> tuple[KernelGroup, ...]:
    # Skip regrouping for local (unrepaired) builds, where incremental recompiles matter, and for compression that gains
    # nothing by it.
    return groups if settings.repair and nvcc.compress == SMALLEST else ()


def _other_owners(plan: BuildPlan) -> Iterator[str]:
    """Notes about installed distributions that contain the same files under another name, which pip overwrites."""
    forks = [part.upstream.value.fork for part in plan.parts if part.upstream.value.fork]
    made = plan.distribution or plan.upstream.value.name
    for owner in dict.fromkeys(owner for fork in forks for owner in fork.owners if owner.name != made):
        yield (
            f"{owner.name} {owner.version} is installed and contains the module {owner.module}, as {made} does. The two "
            f"overwrite each other, and pip does not warn. First run: python -m pip uninstall {owner.name}"
        )
    rows = [part.upstream.value for part in plan.parts if part.upstream.value.project.packages]
    rows = [] if forks else rows
    ours = plan.distribution or (f"{rows[0].name}-portable" if rows else "")
    installed = {package.name: package.version for package in plan.torch.value.packages} if plan.torch.value else {}
    for row in rows:
        for name in (row.name, f"{row.name}-portable"):
            if (
                name in installed and name != ours and not installed[name].endswith("+portable")
            ):  # a stand-in has no files
                replaces = name == rows[0].name and not plan.distribution
                drop_in = f", or replace it with -C distribution-name={name}" if replaces else ""
                yield with_command(
                    f"{name} {installed[name]} is installed, and {ours} contains the same files. "
                    f"Remove it before you install this wheel{drop_in}",
                    f"python -m pip uninstall -y {name}",
                )


def _local_version(settings: Settings, fork: Fork | None, target: TorchTarget, cuda: str, abi: Abi) -> str:
    if fork and not settings.is_set("local-version"):
        # A fork's version may equal upstream's or another fork's, and installers treat equal versions as the same.
        return f"fork{fork.sha256[:8]}" if fork.sha256 else ""
    if settings.local_version != "auto":
        return settings.local_version or ""
    if abi.is_stable:
        return f"cu{cuda.partition('.')[0]}"
    # The same label as in upstream's wheel names, but also in METADATA: upstream only renames the finished file.
    release = minor(target.version) if target.version else ""
    cxx11 = "" if target.cxx11_abi is None else f"cxx11abi{str(target.cxx11_abi).upper()}"
    return f"cu{target.cuda.partition('.')[0]}torch{release}{cxx11}"


def variant_label(setting: str | None, cuda: str) -> str:
    """The setting's label, or for ``auto`` the CUDA that the driver must support, such as ``cu13``; empty for none."""
    return f"cu{cuda.partition('.')[0]}" if setting == "auto" else setting or ""
