"""The data of a matrix, and its cells. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Optional

from ..core.errors import Problem
from ..plan import BuildPlan

AXES = ("upstream", "python", "torch", "cuda", "cxx11abi")
NEEDED = ("upstream", "python", "torch")
"""The axes that a matrix, and each included cell, must have."""


@dataclass(frozen=True)
class Project:
    """Where a wheel is built: the backend's checkout, or a project that vendors the backend."""

    folder: str
    name: str = ""
    """The name in its pyproject.toml; empty for upstream's projects, whose names are in the tables."""
    version: str = ""
    table: Mapping[str, Any] = field(default_factory=dict)
    """Its ``[tool.mamba-build-backend]``."""


@dataclass(frozen=True)
class Cell:
    """One combination of the file. ``cuda`` and ``cxx11abi`` are empty if the file does not set them."""

    upstream: str
    """``PROJECT``, ``PROJECT==VERSION``, or the absolute path of a project that vendors the backend."""
    python: str
    torch: str
    cuda: str = ""
    cxx11abi: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    """Settings of only this cell; they override the matrix's."""

    @property
    def values(self) -> tuple[str, ...]:
        """The cell's value on each axis."""
        return (self.upstream, self.python, self.torch, self.cuda, self.cxx11abi)


@dataclass(frozen=True)
class Matrix:
    """The checked content of a matrix file."""

    path: str
    axes: tuple[tuple[str, tuple[str, ...]], ...]
    settings: tuple[tuple[str, str], ...] = ()
    exclude: tuple[tuple[tuple[str, str], ...], ...] = ()
    include: tuple[Cell, ...] = ()
    environments: tuple[tuple[str, str], ...] = ()
    """By ``PYTHON-TORCH`` or ``PYTHON-TORCH-CUDA``: the path of a Python with that torch."""
    absent: tuple[str, ...] = ()
    """Those of these Pythons that are not on this machine."""
    projects: tuple[Project, ...] = ()
    """The backend's checkout first, then the projects that the file names, by their absolute folders."""

    def project(self, upstream: str) -> Project:
        """Return the project where the wheels of this upstream are built."""
        return next((item for item in self.projects[1:] if item.folder == upstream), self.projects[0])


@dataclass(frozen=True)
class PlannedCell:
    """A cell with its build plan; a cell with problems is skipped."""

    id: str
    cell: Cell
    project: Project
    title: str
    cuda: str
    requirement: str
    """The requirement that installs the cell's torch."""
    environment: str
    """The name of the environment, shared by all cells with the same Python, torch and CUDA."""
    python: str
    """The path of a Python that already has this torch; empty if the workflow must make an environment."""
    settings: tuple[tuple[str, str], ...]
    """Settings for -C, besides the project and its version."""
    plan: Optional[BuildPlan] = None
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def vendored(self) -> bool:
        """Whether the cell is for a project that vendors the backend."""
        return bool(self.project.name)


def cells(matrix: Matrix) -> tuple[Cell, ...]:
    """Return all combinations of the axes without the excluded ones, in the file's order, then the included cells."""
    axes: dict[str, Any] = dict(matrix.axes)
    every = (Cell(*values) for values in product(*(axes.get(name) or ("",) for name in AXES)))
    kept = [cell for cell in every if not any(_matches(cell, rule) for rule in matrix.exclude)]
    return (*kept, *matrix.include)


def _matches(cell: Cell, rule: tuple[tuple[str, str], ...]) -> bool:
    has = dict(zip(AXES, cell.values))
    # A project without a version means all of its versions.
    return all(has[key] == value or (key == "upstream" and has[key].startswith(f"{value}==")) for key, value in rule)
