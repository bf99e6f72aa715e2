"""What a matrix is made of, and which cells it has. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Optional

from ..core.errors import Problem
from ..plan import BuildPlan

AXES = ("upstream", "python", "torch", "cuda", "cxx11abi")
NEEDED = ("upstream", "python", "torch")
"""Of the axes, those that a matrix, and each cell beside them, must have."""


@dataclass(frozen=True)
class Project:
    """Where a wheel is built: the project that holds the backend, or another one that vendors it."""

    folder: str
    name: str = ""
    """The name in its pyproject.toml; empty for upstream's own projects, whose names are in the tables."""
    version: str = ""
    table: Mapping[str, Any] = field(default_factory=dict)
    """Its ``[tool.mamba-build-backend]``."""


@dataclass(frozen=True)
class Cell:
    """One combination, as the file has it. ``cuda`` and ``cxx11abi`` are empty where it does not say."""

    upstream: str
    """``PROJECT``, ``PROJECT==VERSION``, or the absolute path of a project that vendors the backend."""
    python: str
    torch: str
    cuda: str = ""
    cxx11abi: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    """Those of this cell alone; they are stronger than the matrix's."""

    @property
    def values(self) -> tuple[str, ...]:
        """What it has of each axis."""
        return (self.upstream, self.python, self.torch, self.cuda, self.cxx11abi)


@dataclass(frozen=True)
class Matrix:
    """A matrix file that was read and checked."""

    path: str
    axes: tuple[tuple[str, tuple[str, ...]], ...]
    settings: tuple[tuple[str, str], ...] = ()
    exclude: tuple[tuple[tuple[str, str], ...], ...] = ()
    include: tuple[Cell, ...] = ()
    environments: tuple[tuple[str, str], ...] = ()
    """By ``PYTHON-TORCH`` or ``PYTHON-TORCH-CUDA``: the path of a Python that has that torch."""
    absent: tuple[str, ...] = ()
    """Of these Pythons, those that are not on this machine."""
    projects: tuple[Project, ...] = ()
    """That which holds the backend first, then those that the file names, by their absolute folders."""

    def project(self, upstream: str) -> Project:
        """Where the wheels of this upstream are built."""
        return next((item for item in self.projects[1:] if item.folder == upstream), self.projects[0])


@dataclass(frozen=True)
class PlannedCell:
    """A cell, and what building it would be, or why it is left out: then it has problems."""

    id: str
    cell: Cell
    project: Project
    title: str
    cuda: str
    requirement: str
    """What installs its torch."""
    environment: str
    """The name of the environment that it shares with the other cells of its Python, torch and CUDA."""
    python: str
    """The path of a Python that has this torch already; empty where an environment has to be made."""
    settings: tuple[tuple[str, str], ...]
    """To be given with -C, beside the project and its version."""
    plan: Optional[BuildPlan] = None
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def vendored(self) -> bool:
        """Whether it is of a project that vendors the backend."""
        return bool(self.project.name)


def cells(matrix: Matrix) -> tuple[Cell, ...]:
    """All combinations of the axes but the excluded ones, in the order of the file, and the included ones after them."""
    axes: dict[str, Any] = dict(matrix.axes)
    every = (Cell(*values) for values in product(*(axes.get(name) or ("",) for name in AXES)))
    kept = [cell for cell in every if not any(_matches(cell, rule) for rule in matrix.exclude)]
    return (*kept, *matrix.include)


def _matches(cell: Cell, rule: tuple[tuple[str, str], ...]) -> bool:
    has = dict(zip(AXES, cell.values))
    # A project without a version stands for all of its versions.
    return all(has[key] == value or (key == "upstream" and has[key].startswith(f"{value}==")) for key, value in rule)
