"""A source tree: which release it is or is most similar to, and which rules of that release apply to it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatch

from ..core._compat import utils
from ..core.errors import Problem
from ..core.facts import Facts
from ..core.settings import Place, Settings
from ..core.tree_facts import Tree
from ..tables import Fork, Project, ProjectVersion, Tables
from ..tables.forks import CUDA, CXX
from ..tables.likeness import is_older, likeness
from .notebook import Notebook
from .stable_names import beyond_stable
from .types import Choice

FORCE_CUDA = ("FORCE_CUDA", "1")
"""A convention of torchvision, torch-scatter and many others: without it, their setup.py compiles the kernels only
on a machine with a GPU."""


def named_tree(settings: Settings, facts: Facts) -> Tree | None:
    """The tree that decides what is built; None if a setting names a version, or there is no tree."""
    return facts.trees[0] if facts.trees and settings.upstream_version is None else None


def decide_tree(settings: Settings, tree: Tree, tables: Tables, notebook: Notebook) -> Choice[ProjectVersion]:
    """The tree's release, or a row of its own; adds a problem if the tree cannot be built."""
    release = next((row for row in tables.versions if tree.sha256 and tree.sha256 in row.tree_sha256), None)
    if release is not None:
        return Choice(release, f"the content of {tree.path} matches this release")
    fork, name = fork_of(tree, tables), str(utils.canonicalize_name(tree.name))
    problem = next(_problems(settings, tree, fork), None)
    if problem is not None:
        notebook.problems.append(problem)
    if fork is None:
        name = name or tree.path.rpartition("/")[2]
        unknown = ProjectVersion(Project(name), tree.version, fork=Fork("", "", path=tree.path))
        return Choice(unknown, "the name and version in the source")
    name = name or fork.project
    base = next(row for row in tables.versions_of(fork.project) if row.version == fork.release)
    fork = replace(
        fork,
        path=tree.path,
        sha256=tree.sha256,
        is_whole=name == base.name,
        fits=tree.fits,
        owners=tree.owners,
        build_imports=tree.build_imports,
        beyond=beyond(tree, fork),
    )
    row = _row(tree, base, fork, name, tables)
    told = _faults(tree, fork)
    if told and problem is None:
        notebook.note(f"{tree.path} is damaged: {told}")
    for note in _notes(tree, row, fork, tables):
        notebook.note(note)
    whole = len(fork.same) + len(fork.changed) + len(fork.missing)
    like = f"{len(fork.same)} of {whole} source files match {fork.like}, the most similar release"
    return Choice(row, f"{like}; {_consent(settings)}")


def fork_of(tree: Tree, tables: Tables) -> Fork | None:
    """How a tree differs from the most similar release; None if no release is similar."""
    return likeness(dict(tree.files), utils.canonicalize_name(tree.name), tree.version, tables.released)


def _consent(settings: Settings) -> str:
    return "setting allow-unverified" if settings.allow_unverified else "named on the command line"


def _problems(settings: Settings, tree: Tree, fork: Fork | None) -> Iterator[Problem]:
    """Why a tree that is not a release cannot be built."""
    shown = shlex.quote(tree.path)
    if tree.is_archive:
        yield from _archive_problems(tree)
    compiled = any(name.endswith(CUDA[:1]) for name, _ in tree.files)
    told = _faults(tree, fork)
    if fork is None and compiled and not settings.allow_unverified and told:
        yield Problem("source", f"source: {tree.path}{_called(tree)} is not similar to any release of a known project, and is damaged: {told}", "patches and flags exist only for known projects and their copies", (
            f"git -C {shown} status   (in a git repository: lists changed and missing files)",
        ))  # fmt: skip
    elif told and not settings.allow_unverified:
        what = f"the copy of {fork.like} in {tree.path}" if fork else tree.path
        yield Problem("source-damaged", f"source: {what} is damaged: {told}", "every file must be intact", (
            *([] if tree.is_archive else [f"git -C {shown} status   (in a git repository: lists changed and missing files)"]),
            *([f"-C source=auto -C upstream={fork.project} -C upstream-version={fork.release}   (the release)"] if fork else []),
            "-C allow-unverified=true   (build anyway)",
        ))  # fmt: skip
    elif not compiled:
        yield Problem("source", f"source: {tree.path}{_called(tree)} contains no CUDA sources (*.cu)", "a CUDA extension needs them", (
            _unpacked(tree) if tree.is_archive else f"use the folder whose setup.py compiles them: find {shown} -name setup.py",
        ))  # fmt: skip
    elif fork is None:
        yield Problem("source", f"source: {tree.path}{_called(tree)} is not similar to any release of a known project", "patches and flags exist only for known projects and their copies", (
            _unpacked(tree) if tree.is_archive else f"python -m mamba_build_backend vendor {shown} && python -m pip wheel {shown}   (copies the backend into your project, and builds it)",
        ))  # fmt: skip
    elif not (settings.allow_unverified or settings.place("source") is Place.OPTION):
        yield Problem("source", f"source: {tree.path} differs from every release; the most similar is {fork.like}, {fork.differences}", f"{settings.origin('source')} names it, and a source that is not upstream's needs your consent", (
            f"-C source={shown}" if tree.is_archive else f"python -m mamba_build_backend build {shown}   (or: -C source={shown})",
            "-C allow-unverified=true   (for a fork that you trust; the wheel's record will say so)",
        ))  # fmt: skip
    elif settings.place("upstream") in (Place.OPTION, Place.ENVIRONMENT) and settings.upstream != fork.project:
        yield Problem("source", f"source: {tree.path} is most similar to {fork.like}", f"setting upstream asks for {settings.upstream}", (
            f"-C upstream={fork.project}   (build what the source is)",
        ))  # fmt: skip


def _archive_problems(tree: Tree) -> Iterator[Problem]:
    """Why an archive does not contain exactly one project."""
    whole = next((item.why for item in tree.faults if not item.file), "")
    if whole:
        yield Problem("source", f"source: {tree.path} {whole}", "an archive of one folder is needed, or the folder itself", (
            "-C source=/path/to/the/folder   (the one with setup.py)",
        ))  # fmt: skip
    elif not tree.has_setup:
        where = f", but {' and '.join(tree.below[:4])} {'have' if tree.below[1:] else 'has'} one" if tree.below else ""
        yield Problem("source", f"source: {tree.path} has no setup.py at its top level{where}", "the backend builds one project, through its setup.py", (_unpacked(tree),))  # fmt: skip


def _unpacked(tree: Tree) -> str:
    path, folder = (
        shlex.quote(tree.path),
        f"   (then -C source=FOLDER{', the one with setup.py' if not tree.below else ''})",
    )
    return f"python -m zipfile -e {path} .{folder}" if tree.path.endswith(".zip") else f"tar -xf {path}{folder}"


def _faults(tree: Tree, fork: Fork | None) -> str:
    """The faults of a tree in words; empty if there are none. A file that equals a release's file has no fault."""
    untouched = fork.released if fork else ()
    there = [name for name, _ in tree.files]
    faults = [
        item
        for item in tree.faults
        if item.file not in there or (item.file not in untouched and _counts(item.file, fork))
    ]
    told = "; ".join(f"{item.file}: {item.why}" if item.file else item.why for item in faults[:3])
    return f"{told}; and {len(faults) - 3} more" if len(faults) > 3 else told


def _counts(file: str, fork: Fork | None) -> bool:
    """Whether a fault of this file stops a build: compiled files, setup.py, and changed files of a release."""
    return file.endswith((*CUDA, *CXX)) or file == "setup.py" or (fork is not None and file in fork.changed)


def _called(tree: Tree) -> str:
    said = f"{tree.name} {tree.version}".strip()
    return f", which calls itself {said}," if said else ""


def _row(tree: Tree, base: ProjectVersion, fork: Fork, name: str, tables: Tables) -> ProjectVersion:
    """The release's row without the values that do not apply to this tree."""
    partner = base.project.partner
    binds = [path for path in fork.changed if partner and partner.calls and path.endswith(partner.calls)]
    called = [item for item in tables.projects if partner and item.name == partner.name]
    needs = any(package in tree.imports for project in called for package in project.packages)
    return replace(
        base,
        project=_project(tree, base.project, fork, name),
        version=tree.version,
        index_file="",
        index_sha256="",
        git_tag="",
        git_commit="",
        tree_sha256=(),
        transformers=base.transformers if tree.packages else "",
        partner=base.partner if tree.packages else "",
        partner_fits="" if binds or not tree.packages else base.partner_fits,
        partner_required=needs,
        fork=fork,
    )


def _project(tree: Tree, base: Project, fork: Fork, name: str) -> Project:
    whole = [
        path
        for path, _ in tree.files
        if path.endswith((*CUDA[:1], ".cpp")) and fork.is_released(path, *fork.with_folder_of(path))
    ]
    # Both tables use file names without folders: a name that occurs in several folders is ambiguous, so skip it.
    every = [path.rpartition("/")[2] for path, _ in tree.files]
    kernels = [file for path in whole if every.count(file := path.rpartition("/")[2]) == 1]
    groups = tuple(group for group in base.kernel_groups if all(file in kernels for file in group.files))
    named = (*kernels, *(f"{group.name}{end}.cu" for group in groups for end in ("", "_*")))
    passes = tuple(file for file in named if any(fnmatch(file, pattern) for pattern in base.one_pass))
    return replace(
        base,
        name=name,
        packages=tree.packages,
        extensions=tree.extensions,
        environment=(*base.environment, FORCE_CUDA),
        license=base.license if name == base.name else "",
        kernel_groups=groups,
        one_pass=passes,
        compiled=sum(path.endswith((*CUDA[:1], ".cpp")) for path, _ in tree.files),
        stable="" if fork.beyond else base.stable,
    )


def beyond(tree: Tree, fork: Fork) -> tuple[str, ...]:
    """The torch names in its sources that the stable headers lack. The headers cover every release's binding."""
    bindings = [path for path, _ in tree.files if path.endswith(".cpp") and not path.startswith("tests/")]
    names = () if fork.is_released(*bindings) else tree.names
    return beyond_stable(tree.headers, names) if bindings else ("a binding in CUDA",)


def _notes(tree: Tree, row: ProjectVersion, fork: Fork, tables: Tables) -> Iterator[str]:
    if len(fork.changed) == 1 and not fork.new:
        yield f"only {fork.changed[0]} differs from {fork.like}: if nobody changed it on purpose, the copy is damaged"
    oldest = tables.versions_of(fork.project)[0]
    if is_older(tree.version, oldest.version) and row.name == fork.project:
        yield f"{row.title} is older than the oldest known release, {oldest.version}: the rules for {fork.like} are applied to files that match it"
