"""The command: a file and a machine in, planned cells out. The only room of the matrix that looks at the machine."""

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
"""Settings that change what is found on a machine; the torch of a cell is none of those that are found."""


def list_cells(
    file: Path | None, machine: Path | None, home: Path, environ: Mapping[str, str]
) -> tuple[PlannedCell, ...]:
    """The cells of a matrix file, planned for this machine, or for the one in ``machine``. Raises SettingsError.

    Without a file: ``matrix.toml`` in the current folder, else that of ``home``, the checkout that holds the backend.
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
