"""The running copy of the backend: what it was made for, and whether the project contains another one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._version import __version__
from .damage import JSON
from .errors import SettingsError
from .paths import is_file, read_bytes, read_text, resolved
from .process import quoted
from .projects import SELF

NAME = "mamba_build_backend"
PACKAGE = resolved(__file__).parent.parent
RECORD = "VENDORED.json"
SCHEMA = 1
CHECKOUT = "/a/checkout/of/mamba-ssm-portable"
"""A placeholder in messages for a checkout's folder."""


def is_installed() -> bool:
    """Whether the backend runs as an installed package: neither in its own project nor as a copy in another one."""
    return not is_file(PACKAGE.parent / "pyproject.toml") and not is_file(PACKAGE / RECORD)


def is_running(folder: Path) -> bool:
    """Whether this folder is the running backend."""
    return resolved(folder) == PACKAGE


def version_of(folder: Path) -> str:
    """The version in a copy's code, read without importing it; empty if there is none."""
    for name in ("_version.py", "__init__.py"):  # older copies have it in the latter
        try:
            text = read_text(folder / name, errors="replace")
        except OSError:
            continue
        if match := re.search(r"^__version__(?:\s*:[^=\n]+)?\s*=\s*['\"]([^'\"]+)", text, re.MULTILINE):
            return match[1]
    return ""


def command(project: Path) -> str:
    """The command that makes or updates a copy in this project."""
    return quoted(["python", "-m", NAME, "vendor", project])


def check_one_backend(project: Path) -> None:
    """Raise SettingsError if the project contains a backend of another version than the running one."""
    own = project / NAME
    if not is_file(own / "__init__.py") or is_running(own):
        return
    version = version_of(own)
    if version != __version__:
        raise SettingsError(
            f"two backends of different versions: {PACKAGE} runs and is {__version__}, {own} is {version or 'of an unknown version'}",
            "a project must be built with its own copy",
            (
                f"cd {quoted([project])} && python -m {NAME} …",
                f"{command(project)}   (updates its copy to {__version__})",
            ),
        )


def check_carries(upstream: str) -> None:
    """Raise SettingsError if the running backend is a copy for another upstream, without this one's data."""
    record = read_record(PACKAGE)
    if record is not None and upstream not in (SELF, record["upstream"]):
        raise SettingsError(
            f"upstream = {upstream}, and the copy of the backend in {PACKAGE.parent} was made for {record['upstream']}",
            f"that copy contains nothing for {upstream}",
            f"cd {CHECKOUT} && {command(PACKAGE.parent)} --upstream {upstream}",
        )


def not_in_a_copy(what: str, words: Sequence[str]) -> SettingsError:
    """The error for a command (its words) that works only in a checkout of this project."""
    return SettingsError(
        f"{what} is not in {PACKAGE}, which is a copy of the backend",
        "a copy contains only what builds need",
        f"cd {CHECKOUT} && {quoted(['python', '-m', NAME, *words])}",
    )


def read_record(folder: Path) -> Mapping[str, Any] | None:
    """A copy's record; None if there is none that can be read."""
    try:
        record = json.loads(read_bytes(folder / RECORD))
    except (OSError, *JSON):
        return None
    if not isinstance(record, dict) or record.get("schema") != SCHEMA or not isinstance(record.get("files"), dict):
        return None
    return record if all(isinstance(record.get(key), str) for key in ("version", "upstream", "sha256")) else None
