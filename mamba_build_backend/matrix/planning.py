"""Plan a cell from the tables, or find why it cannot be built. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from ..core._compat import version
from ..core.errors import Problem, SettingsError
from ..core.facts import Facts, ToolkitLayout
from ..core.settings import Settings, load_settings
from ..plan import BuildPlan, decide
from ..tables import Tables, TorchRow, is_newer
from .model import Cell, Matrix, PlannedCell, Project

OLDEST_PYTHON = "3.9"
"""The oldest Python that the backend supports."""


def plan_cells(
    every: Sequence[Cell],
    matrix: Matrix,
    facts_for: Callable[[Settings], Facts],
    tables: Tables,
    environ: Mapping[str, str],
) -> tuple[PlannedCell, ...]:
    """Plan all cells; a duplicate of another cell becomes a problem. Raises SettingsError.

    ``facts_for`` returns the facts probed with a cell's settings, which may name a compiler or a toolkit.
    """
    out: list[PlannedCell] = []
    for cell in every:
        settings = cell_settings(cell, matrix, tables, environ)
        item = plan_cell(cell, matrix, facts_for(settings), tables, environ)
        same = [other for other in out if other.id == item.id]
        if same:
            problem = Problem(
                "duplicate",
                f"this cell is the same as {same[0].id}",
                "one of the two is enough",
                ("[[exclude]]   with a value that only one of them has",),
            )
            item = replace(item, id=f"{item.id}-{len(same) + 1}", plan=None, problems=(problem,))
        elif served := next((other for other in out if _serves(other, item)), None):
            problem = Problem(
                "duplicate",
                f"the wheel of {served.id} also serves this cell",
                "abi=stable makes one wheel for every torch and every Python",
                ("[[exclude]]   with this cell's torch and Python",),
            )
            item = replace(item, plan=None, problems=(problem,))
        out.append(item)
    check_names(out)
    return tuple(out)


def _serves(one: PlannedCell, other: PlannedCell) -> bool:
    """Whether the wheel of one cell also serves the other."""
    if one.plan is None or other.plan is None or one.problems or other.problems:
        return False
    stable = one.plan.abi.value.is_stable and other.plan.abi.value == one.plan.abi.value
    majors = {version.Version(item.cuda).major for item in (one.plan, other.plan)}
    same = one.title == other.title and one.plan.distribution == other.plan.distribution
    return stable and same and len(majors) == 1


def plan_cell(
    cell: Cell, matrix: Matrix, facts: Facts, tables: Tables, environ: Mapping[str, str] | None = None
) -> PlannedCell:
    """Plan one cell for a machine: the cell's Python and torch replace those of the machine."""
    row = tables.torch_row(cell.torch)
    cuda = cell.cuda or row.cuda
    problems = tuple(_impossible(cell, row, tables))
    plan = None
    if not problems:
        plan = decide(cell_settings(cell, matrix, tables, environ or {}), _cell_facts(facts, cell), tables)
        problems = plan.problems
    project = matrix.project(cell.upstream)
    name, release = _named(cell, project, plan)
    place = f"cp{cell.python.replace('.', '')}-torch{cell.torch}-cu{cuda.replace('.', '')}"
    identity = _safe("-".join(part for part in (name, release, place) if part))
    python, notes = _python(cell, cuda, matrix)
    return PlannedCell(
        id=identity,
        cell=cell,
        project=project,
        title=f"{name} {release}".strip(),
        cuda=cuda,
        requirement=requirement(cell, tables),
        environment=place,
        python=python,
        settings=tuple(
            # Cells build in parallel: each needs its own folder.
            (key, f"{value}/{identity}" if key == "build-dir" else value)
            for key, value in _given(cell, matrix, tables, environ or {}).items()
        ),
        plan=plan,
        notes=(*_notes(cell, tables), *notes),
        problems=problems,
    )


def requirement(cell: Cell, tables: Tables) -> str:
    """Return the requirement for the cell's torch; with a local version if its CUDA is not that of PyPI's torch."""
    if not _is_beside(cell, tables):
        return f"torch=={cell.torch}.*"
    return f"torch=={cell.torch}.0+cu{cell.cuda.replace('.', '')}"


def _is_beside(cell: Cell, tables: Tables) -> bool:
    """Whether the cell's torch is another build than PyPI's."""
    return bool(cell.cuda) and cell.cuda != tables.torch_row(cell.torch).cuda


def cell_settings(cell: Cell, matrix: Matrix, tables: Tables, environ: Mapping[str, str]) -> Settings:
    """Return the settings of a cell: its own override the matrix's, which override the project's.

    Raises SettingsError.
    """
    project = matrix.project(cell.upstream)
    name, _, release = cell.upstream.partition("==")
    what = (
        {"upstream": "self"}
        if project.name
        else {"upstream": name, **({"upstream-version": release} if release else {})}
    )
    given = {**_given(cell, matrix, tables, environ), **what, "torch": requirement(cell, tables)}
    return load_settings(given, environ, project.table)


def _given(cell: Cell, matrix: Matrix, tables: Tables, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the settings for -C: the matrix's, overridden by the cell's, and a local version if nothing else sets one."""
    given = {**dict(matrix.settings), **dict(cell.settings)}
    if "local-version" in {**matrix.project(cell.upstream).table, **given} or "MAMBA_BUILD_LOCAL_VERSION" in environ:
        return given
    # Otherwise wheels for two versions of torch have the same name; auto only distinguishes major versions of CUDA.
    label = f"cu{cell.cuda.replace('.', '')}torch{cell.torch}" if _is_beside(cell, tables) else "auto"
    return {**given, "local-version": label}


def _cell_facts(facts: Facts, cell: Cell) -> Facts:
    """Return the machine as the cell's environment will see it: without anything in this Python's environment."""
    machine = replace(
        facts.machine,
        python_version=f"{cell.python}.0",
        python_tag=f"cp{cell.python.replace('.', '')}",
        python_prefix="",
        python_library=None,
    )
    toolkits = tuple(item for item in facts.toolkits if item.layout is not ToolkitLayout.PYPI)
    return replace(facts, machine=machine, torches=(), toolkits=toolkits)


def _impossible(cell: Cell, row: TorchRow, tables: Tables) -> Iterator[Problem]:
    """Yield why no such torch exists; nothing for a torch that is newer than the tables."""
    torch = f"torch {cell.torch}"
    if is_newer(tables.torch, cell.torch):
        return
    if row.version != cell.torch:
        known = f"{tables.torch[0].version} to {tables.torch[-1].version}"
        yield Problem("torch", f"{torch} is unknown", f"known are {known}", (f'torch = ["{row.version}"]',))
        return
    if cell.python not in row.python:
        found = f"{torch} has wheels for Python {row.python[0]} to {row.python[-1]}"
        other = next((item.version for item in reversed(tables.torch) if cell.python in item.python), "")
        ways = [f'torch = ["{other}"]   (has wheels for Python {cell.python})'] if other else []
        yield Problem(
            "python", found, f"this cell is for Python {cell.python}", (*ways, f'python = ["{row.python[-1]}"]')
        )
    elif version.Version(cell.python) < version.Version(OLDEST_PYTHON):
        found = f"the backend runs on Python {OLDEST_PYTHON} and newer"
        yield Problem("python", found, f"this cell is for Python {cell.python}", (f'python = ["{row.python[-1]}"]',))
    if cell.cuda and cell.cuda not in row.builds:
        found = f"{torch} is published for CUDA {', '.join(row.builds)}"
        yield Problem(
            "cuda", found, f"this cell is for CUDA {cell.cuda}", (f'cuda = ["{row.cuda}"]   (PyPI\'s build)',)
        )
    abi = str(row.has_cxx11_abi(cell.cuda or row.cuda)).upper()
    if cell.cxx11abi and cell.cxx11abi != abi:
        found = f"{torch}{f' for CUDA {cell.cuda}' if cell.cuda else ''} is built with cxx11abi{abi}"
        yield Problem("cxx11abi", found, f"this cell is for cxx11abi{cell.cxx11abi}", (f'cxx11abi = ["{abi}"]',))


def _notes(cell: Cell, tables: Tables) -> Iterator[str]:
    row = tables.torch_row(cell.torch)
    if _is_beside(cell, tables) and (cell.cuda in row.builds or is_newer(tables.torch, cell.torch)):
        yield (
            f"PyPI does not have {requirement(cell, tables)}, only torch {cell.torch} for CUDA {row.cuda}: "
            "configure an index that has it"
        )


def _python(cell: Cell, cuda: str, matrix: Matrix) -> tuple[str, tuple[str, ...]]:
    """Return the Python that already has this torch, and notes about it."""
    named = dict(matrix.environments)
    key = next(
        (key for key in (f"{cell.python}-{cell.torch}-{cuda}", f"{cell.python}-{cell.torch}") if key in named), ""
    )
    if key and named[key] in matrix.absent:
        return "", (
            f"environments.{key}: {named[key]} is not on this machine; the workflow makes an environment instead",
        )
    return named.get(key, ""), ()


def _named(cell: Cell, project: Project, plan: BuildPlan | None) -> tuple[str, str]:
    """Return the name and version of the wheel; for upstream's projects the planned version."""
    if project.name:
        return project.name, project.version
    name, _, release = cell.upstream.partition("==")
    if plan is not None and not any(item.code.startswith("upstream") for item in plan.problems):
        return plan.upstream.value.name, plan.upstream.value.version
    return name, release


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", text)


def check_names(planned: Sequence[PlannedCell]) -> None:
    """Raise SettingsError if the wheels of two cells have the same name: the later would replace the earlier."""
    seen: dict[tuple[str, ...], PlannedCell] = {}
    for item in planned:
        if item.plan is None or item.problems:
            continue
        # For a torch that is newer than the tables, the plan names the newest torch in them.
        torch = item.cell.torch if dict(item.settings).get("local-version") == "auto" else ""
        plan = item.plan
        key = (plan.distribution or item.title, plan.local_version, plan.build_tag, torch, item.cell.python)
        other = seen.setdefault(key, item)
        if other is not item:
            raise SettingsError(
                f"the wheels of {other.id} and {item.id} would have the same name",
                "each needs its own name, which the backend chooses if no local-version is set",
                "[settings]   without local-version",
            )
