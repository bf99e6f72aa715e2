"""The command: reads a matrix file, probes the machine, returns planned cells.

Only this module of the matrix probes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..core.errors import SettingsError
from ..core.facts import Facts
from ..core.paths import is_file
from ..core.settings import PATHS, Settings
from ..core.storage import cache_root
from ..probe import probe_all, recording
from ..source import locate
from ..tables import load_tables
from .load import load_matrix
from .model import PlannedCell, cells
from .planning import plan_cells

NAME = "matrix.toml"
_LOOKED_AT = tuple(key.replace("-", "_") for key in PATHS if key != "torch")
"""Settings that change what a probe finds; without torch, which the cell decides."""


def list_cells(
    file: Path | None, machine: Path | None, home: Path, environ: Mapping[str, str]
) -> tuple[PlannedCell, ...]:
    """Return the cells of a matrix file, planned for this machine or the recorded ``machine``. Raises SettingsError.

    Without a file: ``matrix.toml`` in the current folder, else that of ``home``, the backend's checkout.
    """
    matrix = load_matrix(file or _default(home), home)
    given = recording.load(machine, {})[1] if machine else None
    embedded = locate.embedded_archives(home)
    seen: dict[tuple[str, ...], Facts] = {}

    def facts_for(settings: Settings) -> Facts:
        if given is not None:
            return given
        key = tuple(str(getattr(settings, name)) for name in _LOOKED_AT)
        if key not in seen:
            looked = replace(settings, torch="auto")
            seen[key] = probe_all(looked, environ, cache_root(settings), embedded=embedded)
        return seen[key]

    return plan_cells(cells(matrix), matrix, facts_for, load_tables(), environ)


def _default(home: Path) -> Path:
    for path in (Path(NAME), home / "manylinux" / NAME):
        if is_file(path):
            return path
    raise SettingsError(
        f"there is no {NAME} here", "a matrix file is needed", "python -m mamba_build_backend matrix FILE"
    )
