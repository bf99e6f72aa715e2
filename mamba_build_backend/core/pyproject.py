"""Read a project's pyproject.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ._compat import tomllib
from .damage import TOML, why
from .errors import SettingsError
from .paths import exists, read_bytes
from .settings import TABLE

REQUIRES = ("packaging>=23.2", "platformdirs>=3", "tomli>=2; python_version < '3.11'")
"""Requirements for running the hooks at all; the same as in this project's own pyproject.toml."""


def load(project: Path) -> dict[str, Any]:
    """The content of a project's pyproject.toml; empty if there is none. Raises SettingsError."""
    return read(project / "pyproject.toml")[1]


def read(path: Path) -> tuple[str, dict[str, Any]]:
    """The text and the content; both empty if there is no such file. Raises SettingsError."""
    if not exists(path):
        return "", {}
    try:
        text = read_bytes(path).decode("utf-8")
        data = tomllib.loads(text.replace("\r\n", "\n"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}", "a readable file is needed") from None
    except TOML as error:
        raise SettingsError(f"{path} is not valid TOML: {why(error)}", "fix that line") from None
    tables = {
        "[project]": data.get("project", {}),
        "[build-system]": data.get("build-system", {}),
        "[tool]": data.get("tool", {}),
        f"[tool.{TABLE}]": data["tool"].get(TABLE, {}) if isinstance(data.get("tool"), dict) else {},
    }
    for name, value in tables.items():
        if not isinstance(value, dict):
            raise SettingsError(f"{name} in {path} is not a table", f"a table is needed, under a line {name}")
    for key in ("requires", "backend-path"):
        value = tables["[build-system]"].get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise SettingsError(f"{key} in {path} is not a list of strings", f'the form is {key} = ["…"]')
    return text, data
