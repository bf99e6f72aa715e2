"""A matrix of wheels: a file lists projects, Pythons and torches, and each combination is a cell."""

from __future__ import annotations

from .load import load_matrix
from .model import Cell, Matrix, PlannedCell, Project, cells
from .planning import check_names, plan_cell, plan_cells
from .show import cells_json, cells_text, github_json

__all__ = [
    "Cell",
    "Matrix",
    "PlannedCell",
    "Project",
    "cells",
    "cells_json",
    "cells_text",
    "check_names",
    "github_json",
    "load_matrix",
    "plan_cell",
    "plan_cells",
]
