"""The stages in order: settings → facts → plan → apply → build → repair → audit. Each hook is one function here."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import build_requires
from .build_summary import Stopwatch, table
from .core import own_copy, pyproject
from .core.errors import BuildFailedError, SourceError
from .core.facts import Facts, SysrootProvider
from .core.files import hand_over, sha256
from .core.process import Echo, say
from .core.settings import TABLE, Settings, load_settings
from .core.storage import cache_root, disk_errors
from .core.timestamp import source_date_epoch
from .core.work import BuildContext
from .core.work_folder import work_folder
from .plan import BuildPlan, decide, decide_together
from .plan.jobs import native_share
from .plan.types import ReadyPlan
from .probe import probe_all
from .source import locate, patching, prepare
from .source.prepare import Part
from .symbols import floors
from .tables import Floor, load_tables
from .wheel import build_record, licenses, metadata, sbom, variants


@dataclass(frozen=True)
class Job:
    """One build: where the project is, what was asked for, what was found, and what will be done."""

    project: Path
    table: Mapping[str, Any]
    """The project's own ``[project]`` table."""
    settings: Settings
    facts: Facts
    plan: BuildPlan
    cache: Path
    environ: Mapping[str, str]

    @property
    def is_own(self) -> bool:
        """Whether the project itself is what is built, and not one of the known upstreams."""
        return self.plan.upstream.value.is_own

    @property
    def is_static(self) -> bool:
        """Whether it is, and pyproject.toml names it and its version."""
        return self.is_own and bool(self.table.get("name") and self.table.get("version"))


def here(config_settings: Mapping[str, Any] | None, *, editable: bool = False) -> Job:
    """The job of the project in the current folder, which is where frontends call hooks."""
    return make_job(Path.cwd(), config_settings, os.environ, editable=editable)


def make_job(
    project: Path, config_settings: Mapping[str, Any] | None, environ: Mapping[str, str], *, editable: bool = False
) -> Job:
    """Read settings, look at the machine, decide."""
    return make_jobs(project, [config_settings], environ, editable=editable)[0]


def make_jobs(
    project: Path,
    wanted: Sequence[Mapping[str, Any] | None],
    environ: Mapping[str, str],
    *,
    editable: bool = False,
) -> list[Job]:
    """A job for each of several settings, from one look at the machine.

    A causal-conv1d beside a mamba-ssm, and without a version of its own, is the one that goes with it.
    """
    own_copy.check_one_backend(project)
    content = pyproject.load(project)
    given = content.get("tool", {}).get(TABLE)
    settings = [load_settings(config_settings, environ, given) for config_settings in wanted]
    for item in settings:
        own_copy.check_carries(item.upstream)
    if editable:
        # An editable build stays on this machine: nothing to repair, and this machine's glibc to link against.
        settings = [replace(item, repair=False) for item in settings]
    cache = cache_root(settings[0])
    facts = probe_all(settings[0], environ, cache, embedded=locate.embedded_archives(project))
    plans = decide_together(settings, facts, load_tables())
    table = content.get("project", {})
    return [Job(project, table, item, facts, plan, cache, environ) for item, plan in zip(settings, plans)]


def wheel_requirements(job: Job) -> list[str]:
    """Build requirements; a plan that cannot work fails here, before anything large is downloaded."""
    job.plan.raise_problems()
    for note in job.plan.notes:
        say(f"mamba-build-backend: note: {note}")
    return build_requires.requires_for_wheel(job.plan, job.cache)


def build_requirements(project: Path, settings: Settings, facts: Facts) -> list[str]:
    """All that an isolated build of a wheel installs: what pyproject.toml asks for, and what this machine lacks.

    Neither this user's cache nor this Python's own ziglang counts: the list is for another user and an isolated build. Raises
    PlanError for a plan that cannot work.
    """
    lasting = tuple(item for item in facts.sysroots if item.provider is not SysrootProvider.ZIG)
    plan = decide(settings, replace(facts, sysroots=lasting), load_tables())
    plan.raise_problems()
    static = pyproject.load(project).get("build-system", {}).get("requires", [])
    return list(dict.fromkeys([*static, *build_requires.requires_for_wheel(plan, None)]))


def sdist_requirements(job: Job) -> list[str]:
    """Build requirements of the sdist; those of a wheel, where the project's setup.py has to say its name and version."""
    if job.is_own and not job.is_static:
        return wheel_requirements(job)
    return build_requires.requires_for_sdist(job.plan, job.cache)


def write_metadata(job: Job, directory: str) -> str:
    """Write ``<name>.dist-info/METADATA`` and the licences."""
    if job.plan.carries_metadata:
        build_requires.check_sources(job.plan, job.cache)
    else:
        build_requires.check_ready(job.plan, job.cache)
    with _context(job) as context:
        made = prepare.prepare(job.plan, job.project, job.cache, context)
        return metadata.write_dist_info_files(Path(directory), *_metadata(job, made)).name


def build_wheel(job: Job, directory: str) -> str:
    """The main job. The wheel appears in ``directory`` whole, or not at all."""
    plan = job.plan
    ready = build_requires.check_ready(plan, job.cache)
    from . import toolchain
    from .audit import check as audit
    from .compile import run_setup_py
    from .wheel import repair

    watch = Stopwatch()
    with _context(job) as context:
        made = prepare.prepare(plan, job.project, job.cache, context, patched=True)
        text, licences = _metadata(job, made)
        origins = prepare.origins(made)
        watch.lap("source")
        tools = toolchain.apply_toolchain(ready, context.folder, job.cache, job.environ, context.echo)
        watch.lap("tools")
        _announce(job, ready, context.echo)
        with toolchain.compiler_cache.in_use(tools, _label(plan), context.folder, job.environ, context.echo) as tools:
            raw = [run_setup_py.build_raw_wheel(part.plan, part.tree, tools, part.context) for part in made]
        watch.lap("compile")
        stage = context.folder / "stage"
        binaries = repair.unpack_raw(raw, stage)
        if not binaries:
            raise BuildFailedError(
                "upstream's build left no extension module (.so) in its wheel",
                "a wheel without one is of no use",
                ("-C verbose=true   (see what its setup.py did)", f"less {context.log}"),
            )
        torch = audit.provider(
            Path(ready.torch.site), ready.torch.version, tools.cuda_home, job.facts.machine.python_library
        )
        floor, effective = audit.measure_all(binaries, torch)
        told = _record(job, ready, context, origins, floor, effective)
        variant = variants.variant_json(plan.variant, plan.target.cuda) if plan.variant else ""
        contents = _sbom(ready, origins, text, tools.cuda_home)
        repair.stage_wheel(ready, stage, repair.Content(text, licences, told, contents, variant))
        wheel = repair.repair_wheel(plan, stage, context) if plan.repair else repair.pack(stage, context)
        watch.lap("repair")
        report = audit.audit_wheel(wheel, promise=audit.recorded_promise(told), torches=[torch])
        audit.check_report(report)
        # pip reads the name of what a hook hands over, and refuses one with a label: there the file alone says it.
        label = "" if job.facts.frontend.startswith("pip") else plan.variant
        final = hand_over(wheel, Path(directory), variants.variant_name(wheel.name, label))
        watch.lap("audit")
    for line in table(watch.laps, report):
        context.echo(f"  {line}")
    measured = floors.highest([item.floor for item in report.extensions])
    context.echo(
        f"{final.name}: {final.stat().st_size / 1e6:.1f} MB, sha256 {sha256(final)}, needs "
        f"GLIBC {measured.glibc or '-'}, GLIBCXX {measured.glibcxx or '-'}, CXXABI {measured.cxxabi or '-'}; {watch.seconds:.0f} s"
    )
    return final.name


def build_editable(job: Job, directory: str) -> str:
    """Compile in place, in a build folder that stays, and point Python there."""
    plan = job.plan
    ready = build_requires.check_ready(plan, job.cache)
    from . import toolchain
    from .compile import run_setup_py
    from .wheel import repair

    folder = job.settings.build_dir or str(job.project / "build" / f"editable-{job.facts.machine.python_tag}")
    job = replace(job, settings=replace(job.settings, build_dir=folder))
    with _context(job) as context:
        # The project's own tree is what its author edits; another upstream's is unpacked once and edited there.
        made = prepare.prepare(plan, job.project, job.cache, context, patched=True, in_place=True)
        text, licences = _metadata(job, made)
        origins = prepare.origins(made)
        tools = toolchain.apply_toolchain(ready, context.folder, job.cache, job.environ, context.echo)
        _announce(job, ready, context.echo)
        with toolchain.compiler_cache.in_use(tools, _label(plan), context.folder, job.environ, context.echo) as tools:
            for part in made:
                run_setup_py.build_in_place(part.plan, part.tree, tools, part.context)
        for part in made:
            if not any("build" not in path.relative_to(part.tree).parts for path in part.tree.rglob("*.so")):
                raise BuildFailedError(
                    "upstream's build left no extension module (.so)",
                    "it is what an editable build is for",
                    f"less {context.log}",
                )
        told = _record(job, ready, context, origins, build_record.NO_FLOOR)
        content = repair.Content(text, licences, told, _sbom(ready, origins, text, tools.cuda_home))
        # Python must not depend on the short-lived name that the compilers were given.
        real = [Path(os.path.realpath(part.tree)) for part in made]
        repair.add_payload(ready, real, text)
        wheel = repair.editable_wheel(real, content, job.facts.machine, context)
        return hand_over(wheel, Path(directory)).name


def build_sdist(job: Job, directory: str) -> str:
    """The project's tree, and in it upstream's archives: a wheel from this sdist fetches no source."""
    from .wheel.sdist import write_sdist

    if job.is_own and not job.is_static:
        build_requires.check_ready(job.plan, job.cache)
    job.plan.without_machine().raise_problems()
    build_requires.check_fetcher(job.plan, job.cache)
    with _context(job) as context:
        made = [] if job.is_static else prepare.prepare(job.plan, job.project, job.cache, context)
        carried = [] if job.is_own else made
        archives = [(part.plan.upstream.value.archive_name, part.source.path) for part in carried]
        pkg_info = (_pkg_info(made[0]) if job.is_own else metadata.released_pkg_info(made[0].tree)) if made else None
        draft = write_sdist(
            job.project, job.table, job.plan, pkg_info, archives, context.folder, job.environ, context.echo
        )
        return hand_over(draft, Path(directory)).name


def check_patches(job: Job) -> list[dict[str, str]]:
    """Try every patch on the source of every version that it is for; ``problem`` is empty where it fits."""
    build_requires.check_patch_sources()
    tables = load_tables()
    out = []
    with _context(job) as context:
        for patch in tables.patches:
            for row in tables.versions:
                if not patch.concerns(row):
                    continue
                settings = replace(job.settings, upstream=row.name, upstream_version=row.version)
                one = replace(job, settings=settings, plan=decide(settings, job.facts, tables))
                folder = context.folder / "patches" / f"{row.name}-{row.version}"
                folder.mkdir(parents=True)
                try:
                    part = prepare.prepare_one(one.plan, one.project, one.cache, replace(context, folder=folder))
                    patching.apply_patches([patch], part.tree, row.title)
                    problem = ""
                except SourceError as error:
                    problem = error.problems[0].found
                shutil.rmtree(folder, ignore_errors=True)
                out.append({"file": patch.file, "title": row.title, "problem": problem})
    return out


@contextmanager
def _context(job: Job) -> Iterator[BuildContext]:
    logs = job.cache / "logs"
    environ = {**job.environ, "SOURCE_DATE_EPOCH": str(source_date_epoch(job.environ))}
    with work_folder(job.settings) as folder:
        if job.settings.build_dir or job.settings.keep_build_dir:
            logs = folder
        with disk_errors(logs, "-C cache-dir=/another/folder"):
            logs.mkdir(parents=True, exist_ok=True)
            log = logs / f"build-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
            log.touch()
        failed = True
        try:
            yield BuildContext(folder, log, environ, _echo, job.settings.verbose)
            failed = False
        finally:
            # A log is kept where something went wrong, or where the build folder was meant to be looked at.
            if not (failed or logs == folder) or log.stat().st_size == 0:
                log.unlink(missing_ok=True)


def _echo(line: str) -> None:
    say(f"mamba-build-backend: {line}")


def _label(plan: BuildPlan) -> str:
    """Something short that says which builds have compiled files in common."""
    return hashlib.sha256(f"{plan.title} {plan.target.version} {plan.target.cuda}".encode()).hexdigest()[:12]


def _announce(job: Job, ready: ReadyPlan, echo: Echo) -> None:
    plan = ready.plan
    for note in plan.notes:
        echo(f"note: {note}")
    codes = " ".join(code for item in plan.front_ends.value for code in item.codes)
    echo(
        f"compiling {plan.title} for torch {ready.torch.version}, CUDA {ready.toolkit.version}, "
        f"g++ {ready.compiler.version}, GPUs {codes}, {plan.jobs.value} jobs; glibc at most {plan.floor.glibc}"
    )
    if saved := native_share(plan.front_ends.value, plan.one_pass):
        where = "" if job.facts.gpus else ", on a machine that has it"
        echo(f"-C arch=native compiles for one GPU alone{where}: about {saved:.0%} of this time")


def _metadata(job: Job, made: Sequence[Part]) -> tuple[str, dict[str, Path]]:
    """METADATA, and the licences that it lists."""
    texts = [_pkg_info(part) for part in made]
    licences = licenses.licences(made, texts)
    return metadata.compose_metadata(job.plan, texts, job.table, tuple(licences)), licences


def _record(
    job: Job,
    ready: ReadyPlan,
    context: BuildContext,
    origins: Sequence[Mapping[str, Any]],
    floor: Floor,
    effective: floors.EffectiveFloor | None = None,
) -> dict[str, Any]:
    places = build_record.places(context.folder, job.project, job.cache, Path(ready.torch.site))
    return build_record.build_record(job.plan, origins, floor, job.facts.machine.python_version, effective, places)


def _sbom(ready: ReadyPlan, origins: Sequence[Mapping[str, Any]], text: str, cuda_home: Path) -> dict[str, Any]:
    return sbom.sbom(ready.plan, origins, text, sbom.header_versions(cuda_home, Path(ready.torch.site)))


def _pkg_info(part: Part) -> str:
    from .compile import run_setup_py

    # A tree from git, or the project's own, has no metadata before its setup.py has run; what a project's own sdist carries
    # is this backend's, and leaves the requirements open.
    own = part.plan.upstream.value.is_own
    return ("" if own else metadata.released_pkg_info(part.tree)) or run_setup_py.egg_info(
        part.plan, part.tree, part.context
    )
