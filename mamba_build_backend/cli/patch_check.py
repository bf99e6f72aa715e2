"""Try every patch on every source version that it is for."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from .. import build_requires
from ..core.errors import SourceError
from ..core.work import BuildContext
from ..job import Job, build_context
from ..plan import decide
from ..source import patching, prepare
from ..tables import PatchRow, ProjectVersion, load_tables


def check_patches(job: Job) -> list[dict[str, str]]:
    """Try every patch on downloaded sources; ``problem`` is empty if a patch fits."""
    build_requires.check_patch_sources()
    tables = load_tables()
    found: dict[tuple[str, str], str] = {}
    with build_context(job) as context:
        for row in tables.versions:
            patches = [patch for patch in tables.patches if patch.concerns(row)]
            found |= {(patch, row.title): problem for patch, problem in _problems(job, patches, row, context).items()}
    order = {patch.file: number for number, patch in enumerate(tables.patches)}
    tried = sorted(found.items(), key=lambda item: order[item[0][0]])
    return [{"file": file, "title": title, "problem": problem} for (file, title), problem in tried]


def _problems(job: Job, patches: list[PatchRow], row: ProjectVersion, context: BuildContext) -> dict[str, str]:
    """The problem of each patch, by its file; the source is prepared once for all of them."""
    settings = replace(job.settings, upstream=row.name, upstream_version=row.version)
    plan = decide(settings, job.facts, load_tables())
    folder = context.folder / "patches" / f"{row.name}-{row.version}"
    folder.mkdir(parents=True)
    try:
        part = prepare.prepare_one(plan, job.project, job.cache, replace(context, folder=folder))
        return {patch.file: _misfit(patch, part.tree, row.title) for patch in patches}
    except SourceError as error:
        return {patch.file: error.problems[0].found for patch in patches}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _misfit(patch: PatchRow, tree: Path, title: str) -> str:
    try:
        patching.patched_files(patch, tree, title)
    except SourceError as error:
        return error.problems[0].found
    return ""
