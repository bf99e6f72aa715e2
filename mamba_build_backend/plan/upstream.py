"""Which upstream, which version, and where its source comes from."""

from __future__ import annotations

import difflib

from ..core._compat import version
from ..core.facts import Facts, Torch
from ..core.settings import SELF, Settings
from ..tables import PatchRow, Tables, UpstreamRow, admits, minor
from .types import Choice, Notebook, Rejected, TorchTarget

_SELF = (("FORCE_CUDA", "1"),)
"""torchvision's and torch-scatter's convention, and that of many after them: their setup.py would otherwise compile the
kernels only on a machine with a GPU."""


def decide_upstream(
    settings: Settings, facts: Facts, tables: Tables, target: TorchTarget, python: str, book: Notebook
) -> Choice[UpstreamRow]:
    """The row to build: the setting's, that of the archive that this tree carries, or the newest known good."""
    if settings.upstream == SELF:
        row = UpstreamRow(SELF, "", environment=_SELF)
        return Choice(row, "setting upstream: the project that holds the backend")
    rows = [row for row in tables.upstream if row.name == settings.upstream]
    if not rows:
        names = [*dict(tables.upstream_defaults), SELF]
        book.problem(
            "upstream",
            f"unknown upstream {settings.upstream!r}",
            f"it is one of {', '.join(names)}",
            f"-C upstream={names[0]}",
        )
        rows = [row for row in tables.upstream if row.name == names[0]]
    wanted = settings.upstream_version
    if wanted is None and facts.embedded:
        for row in rows:
            if row.archive_name in facts.embedded:
                return Choice(row, "the version whose source this sdist carries")
    if wanted is None:
        return _default(rows, dict(tables.upstream_defaults)[rows[0].name], target, python)
    for row in rows:
        if row.version == wanted:
            return Choice(row, "setting upstream-version")
    nearest = _nearest(rows, wanted)
    book.problem(
        "upstream-version",
        f"{rows[0].name} {wanted} is not among the versions known here, {rows[0].version} to {rows[-1].version}",
        f"the nearest {'is' if len(nearest) == 1 else 'are'} {' and '.join(row.version for row in nearest)}",
        *(f"-C upstream-version={row.version}   (or build {row.name}=={row.version})" for row in reversed(nearest)),
    )
    return Choice(nearest[-1], "the nearest known version")


def _default(
    rows: list[UpstreamRow], versions: tuple[str, ...], target: TorchTarget, python: str
) -> Choice[UpstreamRow]:
    """The newest version that is known to work and that goes with this torch and this Python."""
    good = [row for wanted in versions for row in rows if row.version == wanted]
    rejected: list[Rejected] = []
    for row in good:
        unmet = _unmet(row, target, python)
        if not unmet:
            return Choice(row, "the newest version that is known to work here", tuple(rejected))
        rejected.append(
            Rejected(row.title, "; ".join(f"it needs {kind} {least}: {row.needs_why}" for kind, least, _ in unmet))
        )
    return Choice(good[-1], "the oldest that is known to work", tuple(rejected[:-1]))


def _unmet(row: UpstreamRow, target: TorchTarget, python: str) -> list[tuple[str, str, str]]:
    """What of torch and Python is too old: its kind, the oldest that will do, and what is here."""
    pairs = (("torch", row.torch_min, target.version), ("Python", row.python_min, python))
    return [
        (kind, least, found)
        for kind, least, found in pairs
        if least and found and version.Version(found).release < version.Version(least).release
    ]


def _nearest(rows: list[UpstreamRow], wanted: str) -> list[UpstreamRow]:
    """The known version before the wanted one and the one after; of what is no version, the two that look most like it."""
    try:
        older = [row for row in rows if version.Version(row.version) <= version.Version(wanted)]
    except version.InvalidVersion:
        alike = difflib.get_close_matches(wanted, [row.version for row in rows], 2) or [rows[-1].version]
        return [row for row in rows if row.version in alike]
    newer = rows[len(older) :]
    return [*older[-1:], *newer[:1]]


def decide_source(settings: Settings, facts: Facts, row: UpstreamRow, book: Notebook) -> Choice[str]:
    """``self``, ``embedded``, ``index``, ``git``, or a path."""
    if row.is_own:
        return Choice("self", "setting upstream: the project's own tree")
    if settings.source not in ("auto", "index", "git"):
        return _path(settings, facts, row, book)
    if settings.source == "auto" and row.archive_name in facts.embedded:
        return Choice("embedded", "this sdist carries it")
    if settings.source == "git" and not row.git_commit:
        book.problem(
            "source-git",
            f"source=git: the commit of {row.title} is not known here, so it could not be verified",
            "its archive on the package index is known",
            "-C source=auto",
        )
    if settings.source == "index" and not row.index_sha256:
        book.problem(
            "source",
            f"source=index: the package index has no archive of {row.title} with its CUDA sources",
            f"its tag {row.git_tag} has them",
            "-C source=auto",
        )
    if row.index_sha256 and (settings.source != "git" or not row.git_commit):
        return Choice("index", "the package index, or the cache if it was fetched before")
    why = "setting source" if settings.source == "git" else "the package index's archive holds no CUDA sources"
    return Choice("git", f"tag {row.git_tag}, commit {row.git_commit[:10]}: {why}")


def _path(settings: Settings, facts: Facts, row: UpstreamRow, book: Notebook) -> Choice[str]:
    """The path that the setting names; of a folder of archives the one that is this row's."""
    auto = "-C source=auto   (the package index, or upstream's repository)"
    if facts.source_kind == "folder":
        for name in (row.archive_name, row.mirror_name):
            if name in facts.source_files:
                return Choice(f"{settings.source.rstrip('/')}/{name}", "in the folder that setting source names")
        book.problem(
            "source",
            f"source: {settings.source} holds neither {row.archive_name} nor {row.mirror_name} nor a setup.py",
            f"the source of {row.title} is an archive, a tree or a git repository, or a folder that holds one",
            auto,
        )
    if facts.source_kind == "missing":
        web = "://" in settings.source
        book.problem(
            "source",
            f"source: {settings.source} is not {'a path' if web else 'there'}",
            f"the source of {row.title} is an archive, a tree or a git repository on this machine",
            *(
                [f"git clone {settings.source} /a/folder, then -C source=/a/folder -C allow-unverified=true"]
                if web
                else []
            ),
            auto,
        )
    return Choice(settings.source, "setting source")


def decide_partner(
    row: UpstreamRow, torch: Torch | None, target: TorchTarget, python: str, tables: Tables, book: Notebook
) -> Choice[str]:
    """The causal-conv1d that was the newest when this mamba-ssm was released, or the newest fitting one that goes here."""
    if not row.partner:
        return Choice("", "no other project goes with it")
    choice = _partner(row, target, python, tables)
    for package in torch.packages if torch else ():
        if package.name == "causal-conv1d" and not admits(row.partner_fits, package.version):
            way = f"install 'causal-conv1d=={choice.value}'" if choice.value else "uninstall causal-conv1d"
            book.note(
                f"causal-conv1d {package.version} is installed, and {row.title} calls the binding of "
                f"{row.partner_fits}: python -m pip {way}"
            )
    if not choice.value:
        older = newest_with_partner(row, target, python, tables)
        way = f"; -C upstream-version={older} has one" if older else ""
        book.note(
            f"{row.title} finds no causal-conv1d for torch {target.version} ({choice.because}): "
            f"Mamba-1 runs without its fast path{way}"
        )
    return choice


def newest_with_partner(row: UpstreamRow, target: TorchTarget, python: str, tables: Tables) -> str:
    """The newest version of a project that a causal-conv1d goes with here; empty where none does."""
    fitting = [
        item.version
        for item in tables.upstream
        if item.name == row.name
        and item.partner
        and not _unmet(item, target, python)
        and _partner(item, target, python, tables).value
    ]
    return fitting[-1] if fitting else ""


def _partner(row: UpstreamRow, target: TorchTarget, python: str, tables: Tables) -> Choice[str]:
    known = [item for item in tables.upstream if item.name == "causal-conv1d"]
    fitting = [item for item in known if admits(row.partner_fits, item.version)]
    fitting.sort(key=lambda item: (item.version == row.partner, version.Version(item.version)))
    rejected: list[Rejected] = []
    for item in reversed(fitting):
        unmet = _unmet(item, target, python)
        if not unmet:
            return Choice(item.version, f"any {row.partner_fits} has the binding that it calls", tuple(rejected))
        kind, least, _ = unmet[0]
        rejected.append(Rejected(item.title, f"it needs {kind} {least}: {item.needs_why}"))
    kind, least, _ = _unmet(fitting[-1], target, python)[0]
    return Choice("", f"causal-conv1d {row.partner_fits} needs {kind} {least}", tuple(rejected))


def check_upstream(row: UpstreamRow, target: TorchTarget, python: str, tables: Tables, book: Notebook) -> None:
    """Say so where upstream's code does not fit this torch or Python."""
    for kind, least, found in _unmet(row, target, python):
        older = [item for item in tables.upstream if item.name == row.name and not _unmet(item, target, python)]
        fix = (f"-C upstream-version={older[-1].version}   (the newest that goes with what is here)",) if older else ()
        book.problem(
            "upstream-needs",
            f"{row.title} does not go with {kind} {found}",
            f"it needs {kind} {least} or newer: {row.needs_why}",
            *fix,
            f"use {kind} {least} or newer",
        )


def decide_patches(row: UpstreamRow, cuda: str, target: TorchTarget, tables: Tables) -> Choice[tuple[PatchRow, ...]]:
    """The patches that this source needs for this CUDA and this torch, in the order of the series."""
    release = minor(target.version) if target.version else ""
    pairs = [(patch, patch.misfit(row, cuda, release, target.cxx_standard)) for patch in tables.patches]
    chosen = tuple(patch for patch, why in pairs if not why)
    because = (
        "; ".join(dict.fromkeys(patch.why for patch in chosen)) or f"{row.title} compiles as it is, as far as is known"
    )
    return Choice(chosen, because, tuple(Rejected(patch.file, why) for patch, why in pairs if why))
