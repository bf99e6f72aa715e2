"""Edit a project's pyproject.toml so that it names the backend in its tree; everything else stays as it is written."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import Any

from ..core._compat import requirements, tomllib, utils
from ..core.errors import SettingsError, ToolError
from ..core.own_copy import NAME
from ..core.pyproject import REQUIRES
from ..core.settings import TABLE

_OWN = ("torch", "setuptools", "wheel", "ninja")
"""Requirements that the backend adds itself where needed. Above all torch: an isolated build would download a torch that
nobody chose."""


@dataclass(frozen=True)
class Edit:
    """The wanted content of a pyproject.toml, and what to tell its owner."""

    build_system: Mapping[str, Any]
    settings: Mapping[str, Any]
    """The settings in ``[tool.mamba-build-backend]``."""
    changes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def applied(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the whole content after the edit."""
        tool = data.get("tool", {})
        table = {**tool.get(TABLE, {}), **self.settings}
        return {**data, "build-system": dict(self.build_system), "tool": {**tool, TABLE: table}}

    def lines(self) -> str:
        """Return the edit as lines to paste."""
        keys = ("requires", "build-backend", "backend-path")
        system = "".join(f"{key} = {_toml(self.build_system[key])}\n" for key in keys)
        table = "".join(f"{key} = {_toml(value)}\n" for key, value in self.settings.items())
        return f"[build-system]\n{system}\n[tool.{TABLE}]\n{table}"

    def by_hand(self, path: Path) -> str:
        """Return an instruction for editing the file by hand."""
        return f"add these lines to {path}, and run this command again:\n\n{indent(self.lines(), ' ' * 8)}".rstrip()


OWN_TREE = {"source": ".", "allow-unverified": True}
"""Settings of a changed copy of a known project: its builds use its own tree."""


def decide_edit(data: Mapping[str, Any], upstream: str, *, own_tree: bool = False) -> Edit:
    """Return the needed content and what of it is new; ``own_tree``: the project is a changed copy of ``upstream``."""
    settings = {"upstream": upstream, **(OWN_TREE if own_tree else {})}
    given, table = data.get("build-system", {}), data.get("tool", {}).get(TABLE, {})
    before = given.get("requires", [])
    kept = [item for item in before if not _is_dropped(item)]
    backend, paths = given.get("build-backend", ""), given.get("backend-path", [])
    # A backend in the project's own tree may wrap our hooks: keep it.
    wraps = bool(paths) and backend not in ("", NAME)
    if wraps and not any(os.path.normpath(item) == "." for item in paths):
        paths = [*paths, "."]
    system = {
        **given,
        "requires": [*kept, *(item for item in REQUIRES if item not in kept)],
        "build-backend": backend if wraps else NAME,
        "backend-path": paths if wraps else ["."],
    }
    changes = [
        f"{key} = {_toml(value)}" + (f"   (was {_toml(backend)})" if key == "build-backend" and backend else "")
        for key, value in system.items()
        if given.get(key) != value
    ]
    for key, value in settings.items():
        if table.get(key) != value:
            changes.append(f"{key} = {_toml(value)}   (under [tool.{TABLE}])")
    notes = _dropped_notes([item for item in before if item not in kept], table)
    if wraps:
        notes.append(
            f"build-backend = {_toml(backend)} is kept, since it is in this tree; to pass the hooks on, it needs: from {NAME} import *"
        )
    return Edit(system, settings, tuple(changes), tuple(notes))


def _dropped_notes(dropped: list[str], table: Mapping[str, Any]) -> list[str]:
    notes = []
    if dropped:
        notes.append(
            f"no longer in requires: {', '.join(dropped)}; the backend itself requires those that a build needs"
        )
    pinned = [item for item in dropped if re.match(r"torch\W", item)]
    if pinned and "torch" not in table:
        notes.append(f"to build for that torch anyway: torch = {_toml(pinned[0])} under [tool.{TABLE}]")
    return notes


def _is_dropped(text: str) -> bool:
    try:
        found = requirements.Requirement(text)
    except requirements.InvalidRequirement:
        return False
    name = utils.canonicalize_name(found.name)
    ours = any(name == requirements.Requirement(item).name for item in REQUIRES)
    return name in _OWN or (ours and not found.specifier and not found.marker)


def render(path: Path, text: str, data: Mapping[str, Any], edit: Edit) -> str:
    """Return the text after the edit; unchanged if it already has everything. Raises ToolError, SettingsError."""
    if edit.applied(data) == data:
        return text
    if not text.strip():
        return text + edit.lines()
    try:
        import tomlkit
    except ImportError:
        raise ToolError(
            "this Python has no tomlkit",
            f"tomlkit is needed to edit {path} and keep its comments",
            ("python -m pip install tomlkit", edit.by_hand(path)),
        ) from None
    document: Any = tomlkit.parse(text.replace("\r\n", "\n"))
    if "build-system" in data:
        _fill(document["build-system"], edit.build_system)
    if TABLE in data.get("tool", {}):
        _fill(document["tool"][TABLE], edit.settings)
    # Append a new table as text: that is correct for any order of the tables before it.
    system, _, table = edit.lines().partition("\n\n")
    new = [system + "\n"] if "build-system" not in data else []
    new += [table] if TABLE not in data.get("tool", {}) else []
    out = "\n".join([tomlkit.dumps(document).rstrip("\n") + "\n", *new]) if new else tomlkit.dumps(document)
    _check_edited(path, out, edit, data)
    return out.replace("\n", "\r\n") if "\r\n" in text else out


def _fill(table: Any, wanted: Mapping[str, Any]) -> None:
    for key, value in wanted.items():
        held = table.get(key)
        if held == value:
            continue
        if isinstance(value, list) and held is not None and "\n" in held.as_string():
            # Entry by entry, to keep the comments between them.
            for index in reversed(range(len(held))):
                if held[index] not in value:
                    del held[index]
            for item in value:
                if item not in held:
                    held.append(item)
        else:
            table[key] = value


def _check_edited(path: Path, text: str, edit: Edit, data: Mapping[str, Any]) -> None:
    """Check that the edit changed nothing else: no file is better than a wrong file. Raises SettingsError."""
    try:
        if tomllib.loads(text) == edit.applied(data):
            return
    except tomllib.TOMLDecodeError:
        pass
    raise SettingsError(
        f"{path} is written in a way that cannot be edited without changes elsewhere in the file",
        "the file was not changed",
        edit.by_hand(path),
    )


def _toml(value: Any) -> str:
    """Format a string, a list of strings or a boolean; their JSON form is valid TOML."""
    return json.dumps(value, ensure_ascii=False)
