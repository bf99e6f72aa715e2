"""Python API: four typed functions that do what the command line does.

    >>> from mamba_build_backend.api import plan
    >>> plan({"arch": "9.0"}, facts="machine.json").problems  # doctest: +SKIP
    ()

Settings have the keys of the command line's ``-C``: ``{"arch": "9.0", "torch": "/path/to/site-packages"}``. An error
that a user can fix raises `BackendError`. Its ``problems`` say what was found, what is needed and which command fixes
it. The functions print no results; a build writes its progress to stderr.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

from .audit.types import Report
from .cli import drive
from .cli.at_hand import NO_PROJECT, at_hand
from .core import own_copy
from .core.commands import Here, at_home
from .core.errors import BackendError
from .core.facts import Facts
from .core.own_copy import check_carries
from .core.projects import default_project
from .core.setting_values import as_text
from .core.settings import Settings, load_settings
from .job import make_job
from .plan import BuildPlan, decide, report
from .probe import recording
from .tables import load_tables

__all__ = [
    "BackendError",
    "BuildPlan",
    "BuiltWheel",
    "Doctor",
    "Facts",
    "Report",
    "Settings",
    "audit",
    "build",
    "doctor",
    "plan",
]

StrPath = Union[str, "os.PathLike[str]"]
Given = Optional[Mapping[str, Union[str, bool, int, Sequence[str]]]]
"""Settings by key. A list is equivalent to its items joined with ``;``."""


@dataclass(frozen=True)
class Doctor:
    """What the probes found on a machine, and the plan for it."""

    facts: Facts
    """The results of the probes."""
    plan: BuildPlan
    """What a build would do; ``plan.problems`` is empty if the build can start."""
    project: str = "."
    """The project's folder, which the commands in ``text`` name."""

    @property
    def ok(self) -> bool:
        """True if the plan has no problems, so a build can start."""
        return not self.plan.problems

    @property
    def text(self) -> str:
        """The report of ``doctor -v``, as plain text of several lines."""
        if Path(self.project) == NO_PROJECT:
            here = Here(self.facts.shell, f"{default_project()}-portable", installed=True)
        else:
            here = Here(self.facts.shell, at_home(self.project))
        return report.plan_text(self.facts, self.plan, verbose=True, here=here)


@dataclass(frozen=True)
class BuiltWheel:
    """A finished wheel."""

    path: Path
    """The wheel's file."""
    size: int
    """In bytes."""
    sha256: str
    """The SHA-256 of the file, in hexadecimal."""
    seconds: float
    """The wall-clock time of the build, isolated environment included, to a tenth of a second."""


def doctor(project: StrPath = ".", settings: Given = None, environ: Mapping[str, str] = os.environ) -> Doctor:
    """Probe this machine and plan a build. Compiles and changes nothing, and takes about a second.

    ``project`` is the folder of a project that uses this backend. ``environ`` replaces the process's environment
    variables.

    Raises SettingsError for an invalid setting. ``plan.problems`` lists everything that the machine lacks.
    """
    given = _plain(settings)
    job = make_job(_folder(project, given), given, environ)
    return Doctor(job.facts, job.plan, str(job.project))


def plan(settings: Given = None, *, facts: Facts | StrPath) -> BuildPlan:
    """Plan a build from facts, or from the path of a file that ``doctor --save`` wrote. Probes nothing.

    A file also holds settings; ``settings`` override them. The result depends only on the arguments. Its
    ``problems`` list everything that the machine lacks.

    Raises SettingsError for an invalid setting, and for a file that cannot be read.
    """
    if isinstance(facts, Facts):
        known, found = load_settings(_plain(settings), {}, None), facts
    else:
        known, found = recording.load(Path(facts), _plain(settings))
    check_carries(known.upstream)
    return decide(known, found, load_tables())


def build(
    *targets: str,
    out: StrPath = "dist",
    project: StrPath = ".",
    settings: Given = None,
    isolated: bool = True,
    environ: Mapping[str, str] = os.environ,
) -> list[BuiltWheel]:
    """Build a wheel for each target into the folder ``out``. Returns the wheels in the order of the builds.

    A target is a project (``NAME``), a project with a version (``NAME==2.3.0``) or the folder of a source tree. Without
    a target, the project's settings name it. All targets are planned from the same facts. With ``isolated=False`` the
    build uses the tools of the running environment. ``environ`` replaces the process's environment variables.

    Raises SettingsError, SourceError or PlanError (with the problems of all targets) before the first compiler starts,
    and ToolError without pip and uv. A build runs in a frontend's process; if it fails, BuildFailedError is raised, and
    its ``exit_code`` names the cause: 4 source, 5 build, 6 audit, 7 folder, 8 tool. StorageError is raised for an
    ``out`` that cannot be written. Finished wheels stay there.
    """
    wanted = drive.with_targets(_plain(settings), targets)
    folder = _folder(project, wanted[0])
    built = drive.build(folder, wanted, Path(out).absolute(), environ, isolated=isolated)
    return [BuiltWheel(Path(item["wheel"]), item["size"], item["sha256"], item["seconds"]) for item in built["wheels"]]


def audit(
    wheel: StrPath,
    torch: StrPath | Sequence[StrPath] | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    require: str = "",
) -> Report:
    """Read a finished wheel from any builder: what it needs, which symbols set that, and its GPU code. Runs none of it.

    ``torch`` is one or several site-packages folders to look symbols up in; the default is this environment's torch.
    ``require`` adds conditions to the wheel's own promises: ``glibc=2.17,arch=8.0``. Sizes in the report are bytes.

    Raises AuditError for a file that is not a wheel, SettingsError for an invalid ``require``, and BackendError for a
    folder without torch. All other faults are items of the report's ``problems``.
    """
    sites = [] if torch is None else [torch] if isinstance(torch, (str, os.PathLike)) else list(torch)
    return drive.audit(Path(wheel), [Path(site) for site in sites], environ, require=require)


def _folder(project: StrPath, settings: Mapping[str, str]) -> Path:
    """The project's folder; `NO_PROJECT` if the tool is installed and the current folder is not a project."""
    if own_copy.is_installed() and Path(project) == Path():
        return at_hand(None, settings)
    return Path(project).absolute()


def _plain(settings: Given) -> dict[str, str]:
    return {
        key: as_text(key, value if isinstance(value, (str, int)) else list(value))
        for key, value in (settings or {}).items()
    }
