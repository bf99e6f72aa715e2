"""Prepare one build: settings → facts → plan, for a hook or for the command line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from time import strftime
from typing import Any

from .core import own_copy, pyproject
from .core.error_boundary import PREFIX
from .core.errors import SettingsError
from .core.facts import Facts
from .core.paths import expanded, is_file
from .core.process import say
from .core.projects import SELF, default_project, project_names
from .core.settings import TABLE, Place, Settings, load_settings
from .core.storage import cache_root, disk_errors
from .core.timestamp import source_date_epoch
from .core.work import BuildContext
from .core.work_folder import work_folder
from .plan import BuildPlan, decide_together
from .probe import look, probe_all, with_source
from .probe.handover import handover
from .source.locate import embedded_archives
from .tables import load_tables

ConfigSettings = Mapping[str, Any]


class Kind(Enum):
    """What the frontend builds."""

    WHEEL = "wheel"
    EDITABLE = "editable"
    SDIST = "sdist"


class Step(Enum):
    """The position of a hook in an install. Each hook runs in its own process."""

    FIRST = 1
    """Always probes the machine."""
    NEXT = 2
    LAST = 3


@dataclass(frozen=True)
class Job:
    """One build: the project's folder, the settings, the facts and the plan."""

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
        """Whether the project builds itself, and not a known upstream."""
        return self.plan.upstream.value.is_own

    @property
    def is_static(self) -> bool:
        """Whether the project builds itself and pyproject.toml states its name and version."""
        return self.is_own and bool(self.table.get("name") and self.table.get("version"))


def hook_job(config_settings: ConfigSettings | None, kind: Kind, step: Step) -> Job:
    """The job of the project in the current folder, where frontends call hooks.

    Facts that an earlier hook of the same install handed over are reused if they are still valid.
    """
    project = Path.cwd()
    (settings,), table = read_settings(project, [config_settings], os.environ, editable=kind is Kind.EDITABLE)
    cache, embedded = cache_root(settings), embedded_archives(project)
    file = handover(kind.value, project, settings, os.environ, cache)
    earlier = file.take() if file is not None and step is not Step.FIRST else None
    seen = look(settings, os.environ, cache, embedded=embedded, earlier=earlier)
    if settings.verbose:
        say(f"{PREFIX}{seen.text}")
    if file is not None and step is Step.LAST:
        file.remove()
    elif file is not None:
        file.leave(seen.facts, seen.marks)
    (plan,) = decide_together([settings], seen.facts, load_tables())
    return Job(project, table, settings, seen.facts, plan, cache, os.environ)


def make_job(project: Path, config_settings: ConfigSettings | None, environ: Mapping[str, str]) -> Job:
    """Read settings, probe the machine, make the plan."""
    return make_jobs(project, [config_settings], environ)[0]


def make_jobs(project: Path, wanted: Sequence[ConfigSettings | None], environ: Mapping[str, str]) -> list[Job]:
    """A job for each of several settings, with the machine probed only once.

    A partner without a version of its own gets the version that matches the project that uses it.
    """
    settings, table = read_settings(project, wanted, environ)
    cache = cache_root(settings[0])
    facts = probe_all(settings[0], environ, cache, embedded=embedded_archives(project))
    each = [facts if item.source == settings[0].source else with_source(facts, item) for item in settings]
    plans = decide_together(settings, each, load_tables())
    return [Job(project, table, *item, cache, environ) for item in zip(settings, each, plans)]


def read_settings(
    project: Path, wanted: Sequence[ConfigSettings | None], environ: Mapping[str, str], *, editable: bool = False
) -> tuple[list[Settings], Mapping[str, Any]]:
    """The settings for each build, and the ``[project]`` table. Raises SettingsError."""
    own_copy.check_one_backend(project)
    content = pyproject.load(project)
    table = content.get("tool", {}).get(TABLE)
    settings = [_from_project(load_settings(item, environ, table), project, content) for item in wanted]
    for item in settings:
        own_copy.check_carries(item.upstream)
    if editable:
        # An editable build stays on this machine: nothing to repair, and this machine's glibc to link against.
        settings = [replace(item, repair=False) for item in settings]
    return settings, content.get("project", {})


def _from_project(settings: Settings, project: Path, content: Mapping[str, Any]) -> Settings:
    """The settings, completed from the project; its relative paths are resolved from its own folder."""
    if content and settings.place("upstream") is Place.DEFAULT and own_copy.is_installed():
        settings = replace(settings, upstream=_own(project))
    path = expanded(settings.source)
    relative = settings.place("source") is Place.PROJECT and settings.source not in ("auto", "index", "git")
    return replace(settings, source=str(project / path)) if relative else settings


def _own(project: Path) -> str:
    """The upstream of a project that names none: itself. Raises SettingsError without setup.py."""
    if is_file(project / "setup.py"):
        return SELF
    names = " or ".join(f'"{name}"' for name in project_names())
    raise SettingsError(
        f"{project} has no setup.py, and its pyproject.toml does not say which project it packages",
        f"add a setup.py that describes the extension, or set upstream to a known project: {names}",
        f'upstream = "{default_project()}"   (under [tool.{TABLE}] in pyproject.toml)',
    )


@contextmanager
def build_context(job: Job) -> Iterator[BuildContext]:
    """The job's work folder and log; the log stays if the build fails or its folder is kept."""
    logs = job.cache / "logs"
    environ = {**job.environ, "SOURCE_DATE_EPOCH": str(source_date_epoch(job.environ))}
    with work_folder(job.settings) as folder:
        if job.settings.build_dir or job.settings.keep_build_dir:
            logs = folder
        with disk_errors(logs, "-C cache-dir=/another/folder"):
            logs.mkdir(parents=True, exist_ok=True)
            log = logs / f"build-{strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
            log.touch()
        failed = True
        try:
            yield BuildContext(folder, log, environ, _echo, job.settings.verbose)
            failed = False
        finally:
            if not (failed or logs == folder) or log.stat().st_size == 0:
                log.unlink(missing_ok=True)


def _echo(line: str) -> None:
    say(f"{PREFIX}{line}")
