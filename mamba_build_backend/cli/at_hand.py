"""The project of a command: the named one, the one that contains the backend, or the one in the current folder.

An installed backend belongs to no project. If the current folder does not use it either, it plans for a known project
and builds that in a temporary folder.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..core import pyproject
from ..core.own_copy import NAME, PACKAGE, is_installed
from ..core.projects import SELF
from ..core.pyproject import REQUIRES
from ..core.settings import TABLE

NO_PROJECT = PACKAGE
"""The folder that means "no project": it contains neither a pyproject.toml nor source."""


def at_hand(named: Path | None, settings: Mapping[str, str] | None = None) -> Path:
    """The project's folder; :data:`NO_PROJECT` if there is none.

    If ``settings`` ask for a known project, a folder that builds itself is not taken. Raises SettingsError for a
    pyproject.toml that cannot be read.
    """
    if named is not None:
        return named.absolute()
    if not is_installed():
        return PACKAGE.parent
    asked = (settings or {}).get("upstream", SELF) != SELF
    here = Path.cwd()
    content = pyproject.load(here)
    table = content.get("tool", {}).get(TABLE)
    uses_backend = content.get("build-system", {}).get("build-backend") == NAME or table is not None
    is_own = (table or {}).get("upstream", SELF) == SELF
    return here if uses_backend and not (asked and is_own) else NO_PROJECT


@contextmanager
def buildable(project: Path) -> Iterator[Path]:
    """The project for a frontend to build; for :data:`NO_PROJECT`, a temporary project with a copy of this backend."""
    if project != NO_PROJECT:
        yield project
        return
    with tempfile.TemporaryDirectory(prefix="mamba-project-") as folder:
        made = Path(folder) / "mamba-ssm-portable"
        shutil.copytree(PACKAGE, made / NAME, ignore=shutil.ignore_patterns("__pycache__"))
        requires = ", ".join(f'"{item}"' for item in REQUIRES)
        (made / "pyproject.toml").write_text(
            f'[build-system]\nrequires = [{requires}]\nbuild-backend = "{NAME}"\nbackend-path = ["."]\n\n'
            # This name stands for NAME-portable, whichever project is built.
            '[project]\nname = "mamba-ssm-portable"\ndynamic = ["version", "dependencies"]\n',
            encoding="utf-8",
        )
        yield made
