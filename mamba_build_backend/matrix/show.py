"""Format a planned matrix as text, as JSON, and as the matrix of a GitHub workflow. No I/O."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from typing import Any

from ..core.errors import Problem
from ..core.facts import to_json
from ..plan import BuildPlan
from .model import PlannedCell

SCHEMA = 1


def reason(item: PlannedCell) -> str:
    """Return in one line why a cell is skipped; empty if it can be built."""
    if not item.problems:
        return ""
    first, *others = item.problems
    needed = "" if first.code in ("python", "cuda", "cxx11abi") else first.needed
    more = f" (and {len(others)} more: -v)" if others else ""
    return "; ".join(part for part in (first.found, needed) if part) + more


def summary(plan: BuildPlan, item: PlannedCell) -> str:
    """Describe the wheel in one line."""
    codes = " ".join(plan.gpu_code.value.codes)
    compiler = plan.compiler.value
    parts = [
        f"{item.title}{f' with {plan.companion.title}' if plan.companion else ''}",
        f"torch {item.cell.torch}",
        f"CUDA {item.cuda} (nvcc {_nvcc(plan)})",
        compiler.title if compiler else "no g++",
        f"GPUs {codes}",
    ]
    return ", ".join(parts)


def _nvcc(plan: BuildPlan) -> str:
    if plan.toolkit.value is not None:
        return plan.toolkit.value.version
    return "from the package index"


def cells_text(planned: Sequence[PlannedCell], *, verbose: bool = False) -> str:
    """Return the cells as a table, with a count; with ``verbose``, also all notes and fixes."""
    width = max((len(item.id) for item in planned), default=0)
    margin = " " * (width + 2)
    out = []
    for item in planned:
        shown = f"skip: {reason(item)}" if item.problems or item.plan is None else summary(item.plan, item)
        out.append(f"{item.id:<{width}}  {shown}")
        notes = () if item.problems else item.notes
        if verbose:
            notes += item.plan.notes if item.plan and not item.problems else ()
            settings = " ".join(f"{key}={value}" for key, value in item.settings)
            out += [f"{margin}{problem_line}" for problem in item.problems for problem_line in problem.lines()]
            out.append(f"{margin}torch: {item.python or item.requirement}; settings: {settings or 'none'}")
        out += [f"{margin}note: {': '.join(note.splitlines())}" for note in notes]
    skipped = sum(bool(item.problems) for item in planned)
    count = f"{len(planned)} cell{'' if len(planned) == 1 else 's'}"
    return "\n".join([*out, "", f"{count}, {len(planned) - skipped} to build, {skipped} skipped"]) + "\n"


def cells_json(planned: Sequence[PlannedCell]) -> dict[str, Any]:
    """Return the cells as JSON data for the workflow."""
    skipped = sum(bool(item.problems) for item in planned)
    return {
        "schema": SCHEMA,
        "to_build": len(planned) - skipped,
        "skipped": skipped,
        "cells": [
            {
                **_common(item),
                "project": item.project.folder,
                "environment": {"name": item.environment, "python": item.python or None},
                "arguments": _arguments(item, item.project.folder),
                "notes": [*item.notes, *(item.plan.notes if item.plan and not item.problems else ())],
                "plan": _plan(item.plan, item) if item.plan and not item.problems else None,
                "skip": {"reason": reason(item), "problems": _problems(item.problems)} if item.problems else None,
            }
            for item in planned
        ],
    }


def github_json(planned: Sequence[PlannedCell], start: str) -> dict[str, Any]:
    """Return the buildable cells in the form of ``strategy.matrix``; folders are relative to ``start``."""
    return {
        "include": [
            {**_common(item), "arguments": shlex.join(_arguments(item, os.path.relpath(item.project.folder, start)))}
            for item in planned
            if not item.problems
        ]
    }


def _common(item: PlannedCell) -> dict[str, Any]:
    return {
        "id": item.id,
        "upstream": _upstream(item),
        "python": item.cell.python,
        "torch": item.cell.torch,
        "cuda": item.cuda,
        "torch-backend": f"cu{item.cuda.replace('.', '')}",
        "requirement": item.requirement,
        "settings": dict(item.settings),
    }


def _upstream(item: PlannedCell) -> str:
    """Return the argument of ``build``: project and planned version, or the name of a vendoring project."""
    if item.vendored or item.plan is None or item.problems:
        return item.project.name or item.cell.upstream
    row = item.plan.upstream.value
    return f"{row.name}=={row.version}"


def _arguments(item: PlannedCell, project: str) -> list[str]:
    """Return the arguments of ``python -m mamba_build_backend build``."""
    what = ["--project", project, "-C", "upstream=self"] if item.vendored else [_upstream(item)]
    return [*what, *(word for key, value in item.settings for word in ("-C", f"{key}={value}"))]


def _plan(plan: BuildPlan, item: PlannedCell) -> dict[str, Any]:
    compiler, toolkit = plan.compiler.value, plan.toolkit.value
    return {
        "summary": summary(plan, item),
        "title": plan.title,
        "torch": plan.target.requirement,
        "cuda": plan.target.cuda,
        "cxx11abi": plan.target.cxx11_abi,
        "nvcc": toolkit.version if toolkit else None,
        "gxx": compiler.version if compiler else None,
        "gpus": list(plan.gpu_code.value.codes),
        "glibc": plan.floor.glibc,
        "patches": [patch.file for part in plan.parts for patch in part.patches.value],
        "jobs": plan.jobs.value,
    }


def _problems(problems: Sequence[Problem]) -> list[Any]:
    return json.loads(json.dumps([to_json(problem) for problem in problems]))  # type: ignore[no-any-return]
