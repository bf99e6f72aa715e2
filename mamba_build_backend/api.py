"""The backend from Python: what the command line does, as four functions with typed results.

    >>> from mamba_build_backend.api import plan
    >>> plan({"arch": "9.0"}, facts="machine.json").problems  # doctest: +SKIP
    ()

Settings are those of the command line's ``-C``, by key: ``{"arch": "9.0", "torch": "/path/to/site-packages"}``. Whatever a
user can mend is a `BackendError`, whose ``problems`` say what was found, what is needed and
what to type. Nothing here prints a result; progress of a build goes to stderr.
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
"""Settings by key; a list means the same as its items with ``;`` between."""


@dataclass(frozen=True)
class Doctor:
    """What was found on a machine, and what would be built there."""

    facts: Facts
    plan: BuildPlan
    project: str = "."
    """The folder of the project, for what is told to type."""

    @property
    def ok(self) -> bool:
        """Whether the plan can be carried out."""
        return not self.plan.problems

    @property
    def text(self) -> str:
        """The report of ``doctor -v``."""
        if Path(self.project) == NO_PROJECT:
            here = Here(self.facts.shell, f"{default_project()}-portable", installed=True)
        else:
            here = Here(self.facts.shell, at_home(self.project))
        return report.plan_text(self.facts, self.plan, verbose=True, here=here)


@dataclass(frozen=True)
class BuiltWheel:
    """A finished wheel: its file, its size in bytes, its SHA-256 in hexadecimal, and how long it took in seconds."""

    path: Path
    size: int
    sha256: str
    seconds: float


def doctor(project: StrPath = ".", settings: Given = None, environ: Mapping[str, str] = os.environ) -> Doctor:
    """Look at this machine and decide; compiles and changes nothing, and takes a second or so.

    ``project`` is the folder of a project with this backend. Raises SettingsError for settings that cannot be read; what
    the machine lacks is in ``plan.problems``.
    """
    given = _plain(settings)
    job = make_job(_folder(project, given), given, environ)
    return Doctor(job.facts, job.plan, str(job.project))


def plan(settings: Given = None, *, facts: Facts | StrPath) -> BuildPlan:
    """Decide for a machine that was looked at before: its facts, or the file that ``doctor --save`` wrote of it.

    A pure function of its arguments. Settings are those of the file, with the given ones on top. Raises SettingsError.
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
    """Build a wheel for each of the targets, such as ``NAME==2.3.0``, into ``out``, from one plan.

    Without a target, what the project's settings name. All problems are raised before the first compiler starts: PlanError,
    SettingsError, SourceError; BuildFailedError and AuditError after it. A wheel that is done stays where it is.
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
    """Read a finished wheel, anybody's: what it needs, which symbols set that, what GPU code it holds, and what is wrong.

    ``torch`` is the site-packages to look symbols up in, or several; without it, this environment's. ``require`` is what is
    asked of the wheel beside its own promises, such as ``glibc=2.17,arch=8.0``. Raises AuditError for a
    file that is no wheel, SettingsError for requirements that cannot be read; all else that is wrong is in ``problems``.
    """
    sites = [] if torch is None else [torch] if isinstance(torch, (str, os.PathLike)) else list(torch)
    return drive.audit(Path(wheel), [Path(site) for site in sites], environ, require=require)


def _folder(project: StrPath, settings: Mapping[str, str]) -> Path:
    """The project's folder; where the tool is installed and the current folder is no project of its own, none."""
    if own_copy.is_installed() and Path(project) == Path():
        return at_hand(None, settings)
    return Path(project).absolute()


def _plain(settings: Given) -> dict[str, str]:
    return {
        key: as_text(key, value if isinstance(value, (str, int)) else list(value))
        for key, value in (settings or {}).items()
    }
