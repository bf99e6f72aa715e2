"""Choose the upstream project and its version."""

from __future__ import annotations

import difflib

from ..core._compat import version
from ..core.facts import Facts
from ..core.projects import SELF
from ..core.settings import Settings
from ..tables import Project, ProjectVersion, Tables
from .fork import FORCE_CUDA, decide_tree, named_tree
from .notebook import Notebook
from .types import Choice, Rejected, TorchTarget


def decide_upstream(
    settings: Settings, facts: Facts, tables: Tables, target: TorchTarget, python: str, notebook: Notebook
) -> Choice[ProjectVersion]:
    """The row to build: the setting's, the one of the archive in this sdist, or the newest known good one."""
    if settings.upstream == SELF:
        row = ProjectVersion(Project(SELF, environment=(FORCE_CUDA,)), "")
        return Choice(row, "setting upstream: the project that holds the backend")
    tree = named_tree(settings, facts)
    if tree is not None:
        return decide_tree(settings, tree, tables, notebook)
    rows = tables.versions_of(settings.upstream)
    if not rows:
        names = [*(project.name for project in tables.projects), SELF]
        close = difflib.get_close_matches(settings.upstream, names, 1)
        notebook.problem(
            "upstream",
            f"unknown project {settings.upstream!r}; the known ones are {', '.join(names)}",
            f"did you mean {close[0]!r}?" if close else "",
            f"-C upstream={(close or names)[0]}",
        )
        rows = tables.versions_of(names[0])
    wanted = settings.upstream_version
    if wanted is None and facts.embedded:
        for row in rows:
            if row.archive_name in facts.embedded:
                return Choice(row, "the version whose source this sdist contains")
    if wanted is None:
        return _default(rows, target, python)
    for row in rows:
        if row.version == wanted:
            return Choice(row, "setting upstream-version")
    nearest = _nearest(rows, wanted)
    notebook.problem(
        "upstream-version",
        f"{rows[0].name} {wanted} is not a known version ({rows[0].version} to {rows[-1].version})",
        f"the nearest known {'is' if len(nearest) == 1 else 'are'} {' and '.join(row.version for row in nearest)}",
        *(f"-C upstream-version={row.version}   (or build {row.name}=={row.version})" for row in reversed(nearest)),
    )
    return Choice(nearest[-1], "the nearest known version")


def _default(rows: list[ProjectVersion], target: TorchTarget, python: str) -> Choice[ProjectVersion]:
    """The newest version known to work that supports this torch and this Python."""
    good = [row for wanted in rows[0].project.good for row in rows if row.version == wanted]
    rejected: list[Rejected] = []
    for row in good:
        lacks = unmet(row, target, python)
        if not lacks:
            return Choice(row, "the newest version known to work here", tuple(rejected))
        rejected.append(
            Rejected(row.title, "; ".join(f"needs {kind} {least}: {row.needs_why}" for kind, least, _ in lacks))
        )
    return Choice(good[-1], "the oldest version known to work", tuple(rejected[:-1]))


def unmet(row: ProjectVersion, target: TorchTarget, python: str) -> list[tuple[str, str, str]]:
    """Whether torch or Python is too old: the kind, the oldest supported version, and the version here."""
    pairs = (("torch", row.torch_min, target.version), ("Python", row.python_min, python))
    return [
        (kind, least, found)
        for kind, least, found in pairs
        if least and found and version.Version(found).release < version.Version(least).release
    ]


def _nearest(rows: list[ProjectVersion], wanted: str) -> list[ProjectVersion]:
    """The known versions before and after the wanted one; if it is not a version, the two most similar texts."""
    try:
        older = [row for row in rows if version.Version(row.version) <= version.Version(wanted)]
    except version.InvalidVersion:
        alike = difflib.get_close_matches(wanted, [row.version for row in rows], 2) or [rows[-1].version]
        return [row for row in rows if row.version in alike]
    newer = rows[len(older) :]
    return [*older[-1:], *newer[:1]]


def check_upstream(row: ProjectVersion, target: TorchTarget, python: str, tables: Tables, notebook: Notebook) -> None:
    """Add a problem if upstream's code does not work with this torch or Python."""
    for kind, least, found in unmet(row, target, python):
        older = [item for item in tables.versions_of(row.name) if not unmet(item, target, python)]
        fix = (
            (f"-C upstream-version={older[-1].version}   (the newest version that works with what is installed)",)
            if older
            else ()
        )
        notebook.problem(
            "upstream-needs",
            f"{row.title} does not work with {kind} {found}",
            f"it needs {kind} {least} or newer: {row.needs_why}",
            *fix,
            f"use {kind} {least} or newer",
        )
