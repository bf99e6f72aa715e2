"""The folders of ``projects/``: their names, and the unchecked content of their project.toml.

The settings need only this; :mod:`mamba_build_backend.tables` loads it into types and rejects errors.
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
    """Each project.toml by its folder's name: the default project first, then sorted by name."""
    found = {}
    for path in matching(folder, "*/project.toml"):
        with open_plain(path) as file:
            found[path.parent.name] = tomllib.load(file)
    return dict(sorted(found.items(), key=lambda item: not item[1].get("default", False)))


def project_names() -> tuple[str, ...]:
    """The projects that this backend can build, besides the one that contains it."""
    return tuple(read_projects())


def default_project() -> str:
    """The project that is built by default; ``self`` if this backend contains none."""
    return next(iter(read_projects()), SELF)


def partners() -> Mapping[str, Mapping[str, Any]]:
    """The ``[partner]`` tables by the partner's name: projects that may go into another project's wheel."""
    tables = [data["partner"] for data in read_projects().values() if "partner" in data]
    return {table["name"]: table for table in tables}
