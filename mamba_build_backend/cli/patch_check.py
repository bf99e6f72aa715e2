"""Try every patch on every source version that it is for."""

from __future__ import annotations

import shutil
from dataclasses import replace

from .. import build_requires
from ..core.errors import SourceError
from ..core.work import BuildContext
from ..job import Job, build_context
from ..plan import decide
from ..source import patching, prepare
from ..tables import PatchRow, ProjectVersion, load_tables


def check_patches(job: Job) -> list[dict[str, str]]:
    """Try them all on fetched sources; ``problem`` is empty where a patch fits."""
    build_requires.check_patch_sources()
    tables = load_tables()
    with build_context(job) as context:
        return [
            {"file": patch.file, "title": row.title, "problem": _problem(job, patch, row, context)}
            for patch in tables.patches
            for row in tables.versions
            if patch.concerns(row)
        ]


def _problem(job: Job, patch: PatchRow, row: ProjectVersion, context: BuildContext) -> str:
    settings = replace(job.settings, upstream=row.name, upstream_version=row.version)
    plan = decide(settings, job.facts, load_tables())
    folder = context.folder / "patches" / f"{row.name}-{row.version}"
    folder.mkdir(parents=True)
    try:
        part = prepare.prepare_one(plan, job.project, job.cache, replace(context, folder=folder))
        patching.apply_patches([patch], part.tree, row.title)
    except SourceError as error:
        return error.problems[0].found
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return ""
