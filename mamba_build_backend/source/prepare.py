"""Prepare the projects of a wheel for compiling: find, verify, copy and patch each source tree."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.errors import SourceError
from ..core.files import sha256
from ..core.paths import entries, is_dir, is_file, read_text
from ..core.work import BuildContext
from ..plan import BuildPlan
from ..tables import PATCHES, PatchRow
from . import locate, patching


@dataclass(frozen=True)
class Part:
    """One of the wheel's projects: its plan, its build folder, its tree, and the origin of that tree."""

    plan: BuildPlan
    context: BuildContext
    tree: Path
    source: locate.Source
    patches: tuple[PatchRow, ...] = ()
    """The applied patches: the plan's, without fixes that do not fit a changed source."""


def prepare(
    plan: BuildPlan, project: Path, cache: Path, context: BuildContext, *, patched: bool = False, in_place: bool = False
) -> list[Part]:
    """Return all parts, the main one first. ``patched``: ready to compile; ``in_place``: use a project's own tree directly.

    The main part uses the build folder itself, so that an editable build keeps its place. Raises SourceError.
    """
    first, *others = plan.parts
    parts = [prepare_one(first, project, cache, context, patched=patched, in_place=in_place)]
    for other in others:
        folder = context.folder / other.upstream.value.name
        folder.mkdir(exist_ok=True)
        parts.append(
            prepare_one(other, project, cache, replace(context, folder=folder, around=context.whole), patched=patched)
        )
    return parts


def prepare_one(
    plan: BuildPlan, project: Path, cache: Path, context: BuildContext, *, patched: bool = False, in_place: bool = False
) -> Part:
    """Return one part. A persistent build folder keeps its tree, so that ninja knows which objects are up to date."""
    row, target = plan.upstream.value, context.folder / "source"
    source = locate.find(plan, project, cache, context.environ, context.echo, context.folder)
    if row.is_own:
        # Copied over the existing tree: unchanged files keep their time stamps.
        return Part(plan, context, project if in_place else locate.place(source, target), source)
    patches = plan.patches.value if patched else ()
    content = [source.digest, *(f"{item.file} {sha256(PATCHES / item.file)}" for item in patches)]
    stamp, left_out = target / ".content", target / ".left-out"
    kept = read_text(stamp).splitlines() if is_file(stamp) else []
    if kept == content or (kept[:1] == content and not patched):
        without = read_text(left_out).splitlines()
        there = tuple(item for item in patches if item.file not in without)
        return Part(plan, context, next(path for path in entries(target) if is_dir(path)), source, there)
    shutil.rmtree(target, ignore_errors=True)
    tree = locate.place(source, target)
    if row.fork:
        context.echo(f"note: {source.path} is {row.title}, {row.fork.differences}; the wheel's record says so")
    elif not source.verified:
        context.echo(f"note: {source.path} is not {row.title} as released; the wheel's record says so")
    applied = []
    for item in patches:
        try:
            if row.fork and not patching.apply_to_fork(item, tree, row.fork, row.title):
                continue
            if not row.fork:
                patching.apply_patches([item], tree, row.title)
        except SourceError as error:
            # A changed copy needs the same patches to compile; but a changed file may already have the fix.
            if source.verified or not item.is_fix:
                raise
            context.echo(
                f"note: {error.problems[0].found}: building without this fix, so its results stay unchanged ({item.why})"
            )
        else:
            context.echo(f"{'fixing results' if item.is_fix else 'patching'} with {item.file}: {item.why}")
            applied.append(item)
    left_out.write_text("\n".join(item.file for item in patches if item not in applied), encoding="utf-8")
    stamp.write_text("\n".join(content), encoding="utf-8")
    return Part(plan, context, tree, source, tuple(applied))


def origins(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """Return the entries for each part's source in the build record and the SBOM."""
    return [
        {
            "name": part.plan.upstream.value.name,
            "version": part.plan.upstream.value.version,
            "sha256": part.source.digest,
            "verified": part.source.verified,
            "patches": [item.file for item in part.patches],
            "patches_sha256": {item.file: sha256(PATCHES / item.file) for item in part.patches},
        }
        for part in parts
    ]
