"""The stages in order: settings → facts → plan → apply → build → repair → audit. Each hook is one function here."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from . import metadata, patching, requires, sources
from ._compat import tomllib
from .errors import BuildFailedError, SettingsError, SourceError
from .facts import Facts
from .plan import BuildPlan, decide, decide_together
from .probe import probe_all
from .process import Echo, say
from .settings import TABLE, Settings, load_settings
from .storage import cache_root, disk_errors, hand_over, sha256, work_folder
from .tables import PATCHES, load_tables
from .workshop import Workshop


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
    pyproject = read_pyproject(project)
    given = pyproject.get("tool", {}).get(TABLE)
    settings = [load_settings(config_settings, environ, given) for config_settings in wanted]
    if editable:
        # An editable build stays on this machine: nothing to repair, and this machine's glibc to link against.
        settings = [replace(item, repair=False) for item in settings]
    cache = cache_root(settings[0])
    facts = probe_all(settings[0], environ, cache, embedded=sources.embedded_archives(project))
    plans = decide_together(settings, facts, load_tables())
    table = pyproject.get("project", {})
    return [Job(project, table, item, facts, plan, cache, environ) for item, plan in zip(settings, plans)]


def read_pyproject(project: Path) -> dict[str, Any]:
    """The project's pyproject.toml; empty where there is none."""
    path = project / "pyproject.toml"
    if not path.is_file():
        return {}
    try:
        with path.open("rb") as file:
            data: dict[str, Any] = tomllib.load(file)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}", "mend that line") from None
    return data


def wheel_requirements(job: Job) -> list[str]:
    """Build requirements; a plan that cannot work fails here, before anything large is downloaded."""
    job.plan.check()
    for note in job.plan.notes:
        say(f"mamba-build-backend: note: {note}")
    return requires.requires_for_wheel(job.plan, job.cache)


def sdist_requirements(job: Job) -> list[str]:
    """Build requirements of the sdist."""
    return ["filelock", *requires.requires_for_sdist(job.plan, job.cache)]


def write_metadata(job: Job, directory: str) -> str:
    """Write ``<name>.dist-info/METADATA`` and the licences."""
    # A project's own setup.py is run for its metadata; a released archive carries them.
    runs = not all(sources.is_released_archive(part) for part in job.plan.parts)
    requires.check_ready(job.plan, job.cache, compiles=runs)
    with _workshop(job) as shop:
        parts = _parts(job, shop)
        return metadata.write_dist_info_files(Path(directory), _metadata(job, parts), _licences(parts)).name


def build_wheel(job: Job, directory: str) -> str:
    """The main job. The wheel appears in ``directory`` whole, or not at all."""
    plan = job.plan
    requires.check_ready(plan, job.cache)
    from . import audit, repair, toolchain, upstream

    start = time.monotonic()
    with _workshop(job) as shop:
        parts = _parts(job, shop, patched=True)
        text = _metadata(job, parts)
        tools = toolchain.apply_toolchain(plan, shop.folder, job.cache, job.environ, shop.echo)
        _announce(plan, shop.echo)
        raw = [upstream.build_raw_wheel(part.plan, part.tree, tools, part.shop) for part in parts]
        stage = shop.folder / "stage"
        binaries = repair.unpack_raw(raw, stage)
        if not binaries:
            raise BuildFailedError(
                "upstream's build left no extension module (.so) in its wheel",
                "a wheel without one is of no use",
                ("-C verbose=true   (see what its setup.py did)", f"less {shop.log}"),
            )
        floors = [audit.measure(path) for path in binaries]
        record = repair.build_record(plan, _origins(parts), audit.highest(floors), job.facts.machine.python_version)
        repair.stage_wheel(plan, stage, repair.Content(text, _licences(parts), record))
        wheel = repair.pack(stage, shop.folder / "packed", shop)
        if plan.repair:
            wheel = repair.repair_wheel(plan, wheel, shop)
        assert plan.torch.value is not None
        libraries = audit.provider_libraries(
            Path(plan.torch.value.site), tools.cuda_home, job.facts.machine.python_library
        )
        promise = audit.recorded_promise(record)
        report = audit.audit_wheel(
            wheel, promise=promise if plan.repair else replace(promise, floor=None), libraries=libraries
        )
        audit.check_report(report)
        final = hand_over(wheel, Path(directory))
    measured = audit.highest([item.floor for item in report.extensions])
    shop.echo(
        f"{final.name}: {final.stat().st_size / 1e6:.1f} MB, sha256 {sha256(final)}, needs "
        f"GLIBC {measured.glibc or '-'}, GLIBCXX {measured.glibcxx or '-'}, CXXABI {measured.cxxabi or '-'}; {time.monotonic() - start:.0f} s"
    )
    return final.name


def build_editable(job: Job, directory: str) -> str:
    """Compile in place, in a build folder that stays, and point Python there."""
    plan = job.plan
    requires.check_ready(plan, job.cache)
    from . import repair, toolchain, upstream

    folder = job.settings.build_dir or str(job.project / "build" / f"editable-{job.facts.machine.python_tag}")
    job = replace(job, settings=replace(job.settings, build_dir=folder))
    with _workshop(job) as shop:
        # The project's own tree is what its author edits; another upstream's is unpacked once and edited there.
        parts = _parts(job, shop, patched=True, in_place=True)
        text = _metadata(job, parts)
        tools = toolchain.apply_toolchain(plan, shop.folder, job.cache, job.environ, shop.echo)
        _announce(plan, shop.echo)
        for part in parts:
            upstream.build_in_place(part.plan, part.tree, tools, part.shop)
            if not any("build" not in path.relative_to(part.tree).parts for path in part.tree.rglob("*.so")):
                raise BuildFailedError(
                    "upstream's build left no extension module (.so)",
                    "it is what an editable build is for",
                    f"less {shop.log}",
                )
        record = repair.build_record(plan, _origins(parts), repair.NO_FLOOR, job.facts.machine.python_version)
        content = repair.Content(text, _licences(parts), record)
        # Python must not depend on the short-lived name that the compilers were given.
        real = [Path(os.path.realpath(part.tree)) for part in parts]
        repair.add_payload(plan, real, text)
        wheel = repair.editable_wheel(real, content, job.facts.machine, shop)
        return hand_over(wheel, Path(directory)).name


def build_sdist(job: Job, directory: str) -> str:
    """The project's tree, and in it upstream's archives: a wheel from this sdist fetches no source."""
    from .sdist import write_sdist

    problems = [item for item in job.plan.problems if item.code.startswith(("upstream", "source", "companion"))]
    if problems:
        replace(job.plan, problems=tuple(problems)).check()
    requires.check_fetcher(job.plan, job.cache)
    with _workshop(job) as shop:
        parts = [] if job.plan.upstream.value.name == "self" else _parts(job, shop)
        archives = [(part.plan.upstream.value.archive_name, part.source.path) for part in parts]
        pkg_info = metadata.released_pkg_info(parts[0].tree) if parts else None
        draft = write_sdist(job.project, job.table, job.plan, pkg_info, archives, shop.folder, job.environ)
        return hand_over(draft, Path(directory)).name


def check_patches(job: Job) -> list[dict[str, str]]:
    """Try every patch on the source of every version that it is for; ``problem`` is empty where it fits."""
    requires.check_patcher()
    tables = load_tables()
    out = []
    with _workshop(job) as shop:
        for patch in tables.patches:
            for row in tables.upstream:
                if not patch.concerns(row):
                    continue
                settings = replace(job.settings, upstream=row.name, upstream_version=row.version)
                one = replace(job, settings=settings, plan=decide(settings, job.facts, tables))
                folder = shop.folder / "patches" / f"{row.name}-{row.version}"
                folder.mkdir(parents=True)
                try:
                    part = _with_tree(one, Part(one.plan, replace(shop, folder=folder)), patched=False)
                    patching.apply_patches([patch], part.tree, row.title, job.environ)
                    problem = ""
                except SourceError as error:
                    problem = error.problems[0].found
                shutil.rmtree(folder, ignore_errors=True)
                out.append({"file": patch.file, "title": row.title, "problem": problem})
    return out


@contextmanager
def _workshop(job: Job) -> Iterator[Workshop]:
    logs = job.cache / "logs"
    with work_folder(job.settings) as folder:
        if job.settings.build_dir or job.settings.keep_build_dir:
            logs = folder
        with disk_errors(logs, "-C cache-dir=/another/folder"):
            logs.mkdir(parents=True, exist_ok=True)
            log = logs / f"build-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
            log.touch()
        failed = True
        try:
            yield Workshop(folder, log, job.environ, _echo, job.settings.verbose)
            failed = False
        finally:
            # A log is kept where something went wrong, or where the build folder was meant to be looked at.
            if not (failed or logs == folder) or log.stat().st_size == 0:
                log.unlink(missing_ok=True)


def _echo(line: str) -> None:
    say(f"mamba-build-backend: {line}")


def _announce(plan: BuildPlan, echo: Echo) -> None:
    for note in plan.notes:
        echo(f"note: {note}")
    torch, toolkit, compiler = plan.torch.value, plan.toolkit.value, plan.compiler.value
    assert torch is not None and toolkit is not None and compiler is not None
    codes = " ".join(code for item in plan.front_ends.value for code in item.codes)
    echo(
        f"compiling {plan.title} for torch {torch.version}, CUDA {toolkit.version}, "
        f"g++ {compiler.version}, GPUs {codes}, {plan.jobs.value} jobs; glibc at most {plan.floor.glibc}"
    )


@dataclass(frozen=True)
class Part:
    """One of the projects that go into the wheel: its plan, where it is built, and, once there, its source."""

    plan: BuildPlan
    shop: Workshop
    tree: Path = Path()
    source: sources.Source = field(default_factory=lambda: sources.Source(Path(), ""))

    def find(self, job: Job) -> sources.Source:
        """Its source, fetched and verified."""
        return sources.find(self.plan, job.project, job.cache, job.environ, self.shop.echo, self.shop.folder)


def _plans(job: Job, shop: Workshop) -> list[Part]:
    """The parts before anything was fetched. The main one is at home in the build folder itself."""
    first, *others = job.plan.parts
    parts = [Part(first, shop)]
    for plan in others:
        folder = shop.folder / plan.upstream.value.name
        folder.mkdir(exist_ok=True)
        parts.append(Part(plan, replace(shop, folder=folder)))
    return parts


def _parts(job: Job, shop: Workshop, *, patched: bool = False, in_place: bool = False) -> list[Part]:
    """The parts with their trees; ``patched``: ready to compile; ``in_place``: a project's own tree is used as it is."""
    return [_with_tree(job, part, patched=patched, in_place=in_place) for part in _plans(job, shop)]


def _with_tree(job: Job, part: Part, *, patched: bool, in_place: bool = False) -> Part:
    row, target = part.plan.upstream.value, part.shop.folder / "source"
    source = part.find(job)
    if row.name == "self":
        # Copied over what is there: what did not change keeps its time, and ninja its objects.
        return replace(part, source=source, tree=job.project if in_place else sources.place(source, target))
    patches = part.plan.patches.value if patched else ()
    content = [source.digest, *(f"{item.file} {sha256(PATCHES / item.file)}" for item in patches)]
    stamp = target / ".content"
    kept = stamp.read_text(encoding="utf-8").splitlines() if stamp.is_file() else []
    if kept == content or (kept[:1] == content and not patched):
        # A build folder that stays keeps its tree, and with it ninja's knowledge of what is up to date.
        return replace(part, source=source, tree=next(path for path in target.iterdir() if path.is_dir()))
    shutil.rmtree(target, ignore_errors=True)
    tree = sources.place(source, target)
    if not source.verified:
        part.shop.echo(f"note: {source.path} is not {row.title} as released; the wheel's record will say so")
    for item in patches:
        part.shop.echo(f"patching with {item.file}: {item.why}")
    patching.apply_patches(patches, tree, row.title, job.environ)
    stamp.write_text("\n".join(content), encoding="utf-8")
    return replace(part, source=source, tree=tree)


def _metadata(job: Job, parts: Sequence[Part]) -> str:
    from . import upstream

    # A tree from git, or the project's own, has no metadata before its setup.py has run.
    texts = [
        metadata.read_pkg_info(part.tree)
        if (part.tree / "PKG-INFO").is_file()
        else upstream.egg_info(part.plan, part.tree, part.shop)
        for part in parts
    ]
    return metadata.compose_metadata(job.plan, texts, job.table, tuple(_licences(parts)))


def _licences(parts: Sequence[Part]) -> dict[str, Path]:
    """Licence files by the name that they get in the wheel; a companion's lie in a folder of its name."""
    main, *others = parts
    found = {path.name: path for path in metadata.license_files(main.tree)}
    for part in others:
        name = part.plan.upstream.value.name
        found.update({f"{name}/{path.name}": path for path in metadata.license_files(part.tree)})
    return found


def _origins(parts: Sequence[Part]) -> list[dict[str, Any]]:
    return [
        {
            "name": part.plan.upstream.value.name,
            "version": part.plan.upstream.value.version,
            "sha256": part.source.digest,
            "verified": part.source.verified,
            "patches": [item.file for item in part.plan.patches.value],
        }
        for part in parts
    ]
