"""The folders of ``projects/``: their names, and what their project.toml says, as it stands there.

The settings need no more of them than this; :mod:`mamba_build_backend.tables` makes types of it and refuses what is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ._compat import tomllib
from .paths import matching, open_plain

PROJECTS = Path(__file__).parent.parent / "projects"
SELF = "self"
"""The setting ``upstream`` of a project that builds itself."""


@cache
def read_projects(folder: Path = PROJECTS) -> Mapping[str, Mapping[str, Any]]:
    """Each folder's project.toml by the folder's name: the default project first, then by name."""
    found = {}
    for path in matching(folder, "*/project.toml"):
        with open_plain(path) as file:
            found[path.parent.name] = tomllib.load(file)
    return dict(sorted(found.items(), key=lambda item: not item[1].get("default", False)))


def project_names() -> tuple[str, ...]:
    """The projects that this backend can build, beside the one that holds it."""
    return tuple(read_projects())


def default_project() -> str:
    """The one that is built where nothing is said; ``self`` where there is none."""
    return next(iter(read_projects()), SELF)


def partners() -> Mapping[str, Mapping[str, Any]]:
    """The ``[partner]`` tables, by the name of the partner: projects that may go into another one's wheel."""
    tables = [data["partner"] for data in read_projects().values() if "partner" in data]
    return {table["name"]: table for table in tables}
