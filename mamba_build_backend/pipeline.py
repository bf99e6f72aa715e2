"""The stages of a build in order: plan → source → toolchain → compile → content → repair → audit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from . import build_requires
from .build_summary import Stopwatch, summary
from .core.commands import Here, guessed
from .core.error_boundary import PREFIX
from .core.errors import BuildFailedError, SettingsError, parts_of, way_lines
from .core.facts import Origin
from .core.files import hand_over
from .core.process import Echo, quoted, say
from .core.work import BuildContext
from .job import Job, build_context
from .plan import BuildPlan
from .plan.jobs import native_share
from .plan.nvcc import APPEND, PREPEND
from .plan.types import ReadyPlan
from .source import prepare
from .source.prepare import Part
from .wheel import build_record, licenses, metadata, sbom, variants, write_record
from .wheel.promised_metadata import check_promised

if TYPE_CHECKING:
    from .audit.types import Provider, Report
    from .symbols.floors import EffectiveFloor
    from .tables import Floor
    from .toolchain.types import Toolchain
    from .wheel.build_record import VariableRecord
    from .wheel.repair import Content

Result = TypeVar("Result")
CompilePart = Callable[[BuildPlan, Path, "Toolchain", BuildContext], Result]
"""The function that compiles one part of a build, from its plan, its tree, the tools and its context."""


@dataclass(frozen=True)
class Sources:
    """The sources to compile, and what is known about the wheel before that."""

    parts: list[Part]
    metadata: str
    """The text of METADATA."""
    licenses: dict[str, Path]
    """By their names in the wheel."""
    origins: list[dict[str, Any]]


@dataclass(frozen=True)
class Compiled(Generic[Result]):
    """A compiled build; ``results`` has one item for each part."""

    job: Job
    ready: ReadyPlan
    context: BuildContext
    sources: Sources
    tools: Toolchain
    results: list[Result]
    watch: Stopwatch


def wheel_requirements(job: Job) -> list[str]:
    """Build requirements of a wheel; a plan with problems fails here, before anything large is downloaded."""
    job.plan.raise_problems()
    for note in _notes(job, job.plan):
        say(f"{PREFIX}note: {note}")
    return build_requires.requires_for_wheel(job.plan, job.cache)


def sdist_requirements(job: Job) -> list[str]:
    """Build requirements of an sdist; those of a wheel, if only setup.py knows the project's name and version."""
    if job.is_own and not job.is_static:
        return wheel_requirements(job)
    return build_requires.requires_for_sdist(job.plan, job.cache)


def write_metadata(job: Job, directory: str) -> str:
    """Write ``<name>.dist-info/METADATA`` and the licences; return the folder's name."""
    if job.plan.carries_metadata:
        build_requires.check_sources(job.plan, job.cache)
    else:
        build_requires.check_ready(job.plan, job.cache)
    with build_context(job) as context:
        if not job.plan.carries_metadata:
            job = _with_toolkit(job, context)
        sources = _prepare_sources(job, context)
        return metadata.write_dist_info_files(Path(directory), sources.metadata, sources.licenses).name


def build_wheel(job: Job, directory: str, promised: str | None = None) -> str:
    """Build the wheel; return its name. It appears in ``directory`` complete or not at all.

    ``promised`` is the .dist-info that the metadata hook wrote, if the frontend relies on it.
    """
    _check_ready(job)
    # These imports need build requirements, which are installed now.
    from .compile.run_setup_py import build_raw_wheel

    with _compiled(job, promised, build_raw_wheel) as done:
        stage, torch = done.context.folder / "stage", _torch_symbols(done)
        content = _stage_wheel(done, stage, torch)
        wheel = _pack(done, stage)
        report = _audit(wheel, content, torch)
        final = hand_over(wheel, Path(directory))
        done.watch.lap("audit")
    for line in summary(done.watch, report, final):
        done.context.echo(line)
    return final.name


def build_editable(job: Job, directory: str, promised: str | None = None) -> str:
    """Compile in place, in a permanent build folder, and write a wheel that points there; return its name."""
    _check_ready(job)
    if job.facts.machine.host:
        raise SettingsError(
            f"machine={job.facts.machine.arch} is set (by {job.settings.origin('machine')}), but the installation is editable",
            f"this machine, which would import it, is {job.facts.machine.host}",
            "-C machine=auto",
        )
    from .compile.run_setup_py import build_in_place
    from .wheel import repair

    folder = job.settings.build_dir or str(job.project / "build" / f"editable-{job.facts.machine.python_tag}")
    job = replace(job, settings=replace(job.settings, build_dir=folder))
    with _compiled(job, promised, build_in_place, in_place=True) as done:
        trees = [part.tree for part in done.sources.parts]
        for tree in trees:
            _check_extension(tree, done.context)
        content = _content(done, build_record.NO_FLOOR)
        # Python must not depend on the temporary folder name that the compilers got.
        real = [Path(os.path.realpath(tree)) for tree in trees]
        repair.add_payload(done.ready, real, content.metadata)
        wheel = repair.editable_wheel(real, content, job.facts.machine, done.context)
        for tree, part in zip(real, done.sources.parts):
            if part.plan.upstream.value.fork:
                at = part.source.path
                done.context.echo(
                    f"note: Python imports a patched copy, {tree}; after you edit {at}, run install -e again"
                )
        return hand_over(wheel, Path(directory)).name


def build_sdist(job: Job, directory: str) -> str:
    """An sdist with the project's tree and upstream's archives: building a wheel from it downloads no source."""
    from .wheel.sdist import write_sdist

    if job.is_own and not job.is_static:
        build_requires.check_ready(job.plan, job.cache)
    job.plan.without_machine().raise_problems()
    build_requires.check_fetcher(job.plan, job.cache)
    with build_context(job) as context:
        if job.is_own and not job.is_static:
            job = _with_toolkit(job, context)
        parts = [] if job.is_static else prepare.prepare(job.plan, job.project, job.cache, context)
        carried = [] if job.is_own else _carried(parts, job.project, context.echo)
        archives = [(part.plan.upstream.value.archive_name, part.source.path) for part in carried]
        pkg_info = None
        if parts:
            pkg_info = _pkg_info(parts[0]) if job.is_own else metadata.released_pkg_info(parts[0].tree)
        draft = write_sdist(
            job.project, job.table, job.plan, pkg_info, archives, context.folder, job.environ, context.echo
        )
        return hand_over(draft, Path(directory)).name


def _carried(parts: list[Part], project: Path, echo: Echo) -> list[Part]:
    """The parts in an sdist, without the project's own tree. Raises SettingsError for a fork elsewhere."""
    forks = [part for part in parts if part.plan.upstream.value.fork]
    own = [part for part in forks if part.source.path == project.absolute()]
    for part in forks if own else ():
        if part not in own:
            title = part.plan.upstream.value.title
            echo(
                f"note: the sdist does not contain {title} of {part.source.path}; a wheel built from the sdist uses the "
                "matching release"
            )
    if forks and not own:
        part = forks[0]
        raise SettingsError(
            f"the sdist would contain {part.plan.upstream.value.title} from {part.source.path}, which is not a release",
            "an sdist may contain only upstream's releases or its own project",
            f"{quoted(['python', '-m', 'mamba_build_backend', 'vendor', part.source.path])}   (then: python -m build --sdist there)",
        )
    return [part for part in parts if part not in forks]


@contextmanager
def _compiled(
    job: Job, promised: str | None, compile_part: CompilePart[Result], *, in_place: bool = False
) -> Iterator[Compiled[Result]]:
    """The stages that every binary build shares; the work folder exists until the caller is done with it."""
    from . import toolchain

    watch = Stopwatch()
    with build_context(job) as context:
        job = _with_toolkit(job, context)
        _fetch_runtime(job, context)
        ready = job.plan.check()
        watch.lap("fetch")
        # An author edits the project's own tree; another upstream's source is unpacked once and edited there.
        sources = _prepare_sources(job, context, patched=True, in_place=in_place)
        if promised is not None:
            check_promised(Path(promised), sources.metadata, sources.licenses)
        watch.lap("source")
        tools = toolchain.apply_toolchain(ready, context.folder, job.cache, job.environ, context.echo)
        watch.lap("tools")
        _announce(job, ready, context.echo)
        label = _label(job.plan)
        with toolchain.compiler_cache.in_use(tools, label, context.folder, job.environ, context.echo) as used:
            results = [compile_part(part.plan, part.tree, used, part.context) for part in sources.parts]
        watch.lap("compile")
        yield Compiled(job, ready, context, sources, tools, results, watch)


def _check_ready(job: Job) -> None:
    """Raise SettingsError or PlanError if no wheel can be built now."""
    if job.plan.only_metadata:
        raise SettingsError(
            f"metadata-only is set (by {job.settings.origin('metadata-only')}), but a wheel was requested",
            "with that setting, the backend produces only metadata",
            "-C metadata-only=false   (or remove the setting where it was made)",
        )
    build_requires.check_ready(job.plan, job.cache)


def _with_toolkit(job: Job, context: BuildContext) -> Job:
    """The job with an existing toolkit: downloads and unpacks NVIDIA's archives if the plan uses them."""
    if job.plan.archives is None:
        return job
    from .source import redist

    found = redist.obtain(job.plan.archives, job.cache, context.environ, context.echo)
    return replace(job, plan=job.plan.with_toolkit(found))


def _fetch_runtime(job: Job, context: BuildContext) -> None:
    """Download CUDA's runtime for another processor, if the wheel is for one."""
    if job.plan.runtime is not None:
        from .source import index

        index.obtain(job.plan.runtime, job.cache, context.environ, context.echo)


def _prepare_sources(job: Job, context: BuildContext, *, patched: bool = False, in_place: bool = False) -> Sources:
    parts = prepare.prepare(job.plan, job.project, job.cache, context, patched=patched, in_place=in_place)
    texts = [_pkg_info(part) for part in parts]
    files = licenses.licences(parts, texts)
    text = metadata.compose_metadata(job.plan, texts, job.table, tuple(files))
    return Sources(parts, text, files, prepare.origins(parts))


def _pkg_info(part: Part) -> str:
    # A git tree and the project's own tree have no metadata before setup.py has run. The metadata in the project's own
    # sdist come from this backend, and leave the requirements open.
    if not part.plan.upstream.value.is_own and (released := metadata.released_pkg_info(part.tree)):
        return released
    # Imported late: a step that only reads metadata has not installed the imports of the compile step.
    from .compile import run_setup_py

    return run_setup_py.egg_info(part.plan, part.tree, part.context)


def _notes(job: Job, plan: BuildPlan) -> Iterator[str]:
    """A plan's warnings and notes, with commands spelled for the user's shell."""
    here = Here(guessed(job.facts.shell, job.facts.machine.python_prefix))
    for note in (*plan.warnings, *plan.notes):
        text, _, command = note.partition("\n")
        yield "\n".join((text, *way_lines("fix: ", *parts_of(here.way(command))))) if command else text


def _announce(job: Job, ready: ReadyPlan, echo: Echo) -> None:
    plan = ready.plan
    for note in _notes(job, plan):
        echo(f"note: {note}")
    if ready.torch is None:
        echo("note: no torch was found; the wheel is built without torch and is not checked against one")
    elif ready.torch.origin is Origin.CALLER:
        echo(
            f"note: using the torch of {ready.torch.found_in}, which is a guess; "
            "to use another one, add -C torch=/path/to/site-packages"
        )
    for item in _compiler_variables(job):
        if item.name not in (PREPEND, APPEND):  # the compile step reports what reaches nvcc
            echo(f"note: {item.name}={item.value} reaches the compilers; the wheel's record contains it")
    codes = " ".join(plan.gpu_code.value.codes)
    echo(
        f"compiling {plan.title} for torch {_torches(ready)}, CUDA {ready.toolkit.version}, "
        f"{ready.compiler.title}, GPUs {codes}, {plan.jobs.value} jobs; glibc at most {plan.floor.glibc}"
    )
    if saved := native_share(plan.gpu_code.value):
        where = "" if job.facts.gpus else " (on a machine that has the GPU)"
        echo(f"-C arch=native compiles for only one GPU{where}, in about {saved:.0%} of the time")


def _torches(ready: ReadyPlan) -> str:
    """The torches that the wheel is for, in words."""
    torch, plan = ready.torch, ready.plan
    return f"{plan.torch_least} and newer" if torch is None or plan.abi.value.is_stable else torch.version


def _label(plan: BuildPlan) -> str:
    """A short name shared by builds that have object files in common."""
    return hashlib.sha256(f"{plan.title} {plan.target.version} {plan.target.cuda}".encode()).hexdigest()[:12]


def _torch_symbols(done: Compiled[Path]) -> Provider | None:
    """The torch that the wheel is checked against; None if there is none here."""
    from .audit import check as audit

    torch = done.ready.torch
    if torch is None:
        return None
    library = done.job.facts.machine.python_library
    return audit.provider(Path(torch.site), torch.version, done.tools.cuda_home, library)


def _stage_wheel(done: Compiled[Path], stage: Path, torch: Provider | None) -> Content:
    """Unpack upstream's wheels and give them their metadata, record, SBOM and payload. Raises BuildFailedError."""
    from .audit import check as audit
    from .wheel import repair

    binaries = repair.unpack_raw(done.results, stage)
    if not binaries:
        raise BuildFailedError(
            "upstream's build produced a wheel without an extension module (.so)",
            "a usable wheel contains at least one",
            ("-C verbose=true   (shows what setup.py did)", f"less {done.context.log}"),
        )
    content = _content(done, *audit.measure_all(binaries, torch))
    repair.stage_wheel(done.ready, stage, content)
    return content


def _content(done: Compiled[Any], floor: Floor, effective: EffectiveFloor | None = None) -> Content:
    from .wheel.repair import Content

    job, plan, sources, torch = done.job, done.job.plan, done.sources, done.ready.torch
    site = Path(torch.site) if torch else None
    python = job.facts.machine.python_version
    return Content(
        sources.metadata,
        sources.licenses,
        write_record.record_of(done.ready, sources.origins, python, floor, effective, _compiler_variables(job)),
        sbom.sbom(plan, sources.origins, sources.metadata, sbom.header_versions(done.tools.cuda_home, site)),
        variants.variant_json(plan.variant, plan.target.cuda) if plan.variant else "",
        plan.build_tag,
    )


def _compiler_variables(job: Job) -> tuple[VariableRecord, ...]:
    """The user's variables that reach a compiler, in the record's form."""
    from .compile.run_setup_py import build_environment

    return write_record.compiler_variables(build_environment(job.plan, None, job.environ))


def _check_extension(tree: Path, context: BuildContext) -> None:
    if not any("build" not in path.relative_to(tree).parts for path in tree.rglob("*.so")):
        raise BuildFailedError(
            "upstream's build produced no extension module (.so)",
            "an editable build needs one",
            f"less {context.log}",
        )


def _pack(done: Compiled[Path], stage: Path) -> Path:
    from .wheel import repair

    plan = done.job.plan
    wheel = repair.repair_wheel(plan, stage, done.context) if plan.repair else repair.pack(stage, done.context)
    done.watch.lap("repair")
    return wheel


def _audit(wheel: Path, content: Content, torch: Provider | None) -> Report:
    """Check the finished wheel. Raises AuditError if it does not keep its record's promises."""
    from .audit import check as audit

    report = audit.audit_wheel(wheel, promise=audit.recorded_promise(content.record), torches=[torch] if torch else [])
    audit.check_report(report)
    return report
