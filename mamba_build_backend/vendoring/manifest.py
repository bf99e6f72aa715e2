"""Copies of the backend in other projects' trees: what one holds, what it is known by, and how it is read without running it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._version import __version__
from ..core._compat import tomllib
from ..core.errors import SettingsError
from ..core.own_copy import CHECKOUT, NAME, PACKAGE, RECORD, SCHEMA, read_record, version_of
from ..core.paths import exists, is_file, read_bytes, read_text
from ..core.projects import SELF, read_projects
from ..tables import PATCHES, load_tables

_DEPTH = 6
_SKIPPED = ("node_modules", "build", "dist", "__pycache__", "site-packages")


@dataclass(frozen=True)
class Copy:
    """A copy as it lies there."""

    folder: Path
    version: str
    """What its code states; empty where it states none."""
    record: Mapping[str, Any] | None
    """What it was when it was made."""
    edited: Mapping[str, str]
    """Names of files that are ``changed``, ``missing`` or ``added`` since then."""

    @property
    def title(self) -> str:
        """The version in words."""
        return self.version or "of no known version"


def look(folder: Path) -> Copy | None:
    """What lies there, compared with its own record; None where nothing does."""
    if not os.path.lexists(folder):
        return None
    record = read_record(folder)
    if record is None:
        return Copy(folder, version_of(folder), None, {})
    recorded = record["files"]
    there = _digests({name: read_bytes(path) for name, path in _files(folder)})
    edited = {
        name: "missing" if name not in there else "added" if name not in recorded else "changed"
        for name in sorted({*there, *recorded})
        if there.get(name) != recorded.get(name)
    }
    if record["sha256"] != _digest(recorded):
        edited[RECORD] = "changed"
    return Copy(folder, version_of(folder), record, edited)


def find_copies(project: Path) -> Iterator[Copy]:
    """Every copy in a project's tree, not too deep, and none in an environment, a result or a hidden folder."""
    for folder, folders, _ in os.walk(project):
        here = Path(folder)
        if here.name == NAME and is_file(here / "__init__.py"):
            folders.clear()
            yield Copy(here, version_of(here), None, {})
        deep = len(here.relative_to(project).parts) >= _DEPTH
        folders[:] = sorted(
            name
            for name in folders
            if not (deep or name in _SKIPPED or name.startswith(".") or exists(here / name / "pyvenv.cfg"))
        )


def content(upstream: str) -> dict[str, bytes]:
    """The files of a copy for this upstream, by name: what builds of it need of the package, its licence, its patches.

    Raises SettingsError where the backend that runs lies without its patches, and this upstream may have some.
    """
    series = PATCHES / "series.toml"
    if upstream != SELF and not is_file(series):
        raise SettingsError(
            f"{PACKAGE} carries no patches of {upstream}",
            "a copy for it has to have them",
            f"cd {CHECKOUT} && python -m {NAME} vendor …",
        )
    projects = _projects(upstream)
    files = {name: read_bytes(path) for name, path in _files(PACKAGE) if is_needed(name, projects)}
    # Where there is a series, what lies beside it is ours too.
    text = read_text(series) if is_file(series) else ""
    if text and is_file(PATCHES.parent / "LICENSE"):
        files["LICENSE"] = read_bytes(PATCHES.parent / "LICENSE")
    # Also where there is none to carry: a `patches` folder of the project's own is not taken for ours then.
    files["patches/series.toml"] = series_of(projects, text).encode()
    for row in load_tables().patches:
        if row.upstream in projects:
            files[f"patches/{row.file}"] = read_bytes(PATCHES / row.file)
    return dict(sorted(files.items()))


_CHECKOUT_ONLY = (
    *("matrix/", "vendoring/", "schemas/", "patches/", "wheel/stand_in.py"),
    *("cli/matrix_commands.py", "cli/vendor_command.py", "cli/stand_in_command.py"),
)
"""What no build reads: many wheels, this command, the description of `doctor --json`. Patches are chosen one by one."""


def is_needed(name: str, projects: frozenset[str]) -> bool:
    """Whether a file of the package goes into a copy for these projects (none for a project that builds itself).

    ``projects/NAME/`` holds what is known of one project. A package in ``payload/`` goes into the wheels of known projects
    alone; the licences beside it go into every wheel.
    """
    if name.startswith(_CHECKOUT_ONLY):
        return False
    folder, _, rest = name.partition("/")
    inner, slash, _ = rest.partition("/")
    if folder == "projects" and slash:
        return inner in projects
    return folder != "payload" or inner == "licenses" or bool(projects)


def _projects(upstream: str) -> frozenset[str]:
    """The known projects that a build for this upstream may be of: itself, and the partner that can share its wheel."""
    if upstream == SELF:
        return frozenset()
    partner = read_projects().get(upstream, {}).get("partner", {})
    return frozenset({upstream, *([partner["name"]] if partner else [])})


def series_of(projects: frozenset[str], text: str) -> str:
    """A series with the rows of these projects alone, as they are written."""
    head, *rows = re.split(r"^(?=\[\[patch\]\])", text, flags=re.MULTILINE)
    kept = [row for row in rows if tomllib.loads(row)["patch"][0]["upstream"] in projects]
    return "".join([head, *kept]).rstrip("\n") + "\n"


def make_record(upstream: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    """What a copy is known by: the same for the same content, whoever makes it, wherever and whenever."""
    digests = _digests(files)
    return {
        "schema": SCHEMA,
        "version": __version__,
        "upstream": upstream,
        "files": digests,
        "sha256": _digest(digests),
    }


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """All files but the record, by name; what Python and editors leave behind does not count."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        left = path.suffix == ".pyc" or any(part == "__pycache__" or part.startswith(".") for part in inside.parts)
        if is_file(path) and not left and inside.as_posix() != RECORD:
            yield inside.as_posix(), path


def _digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}


def _digest(digests: Mapping[str, Any]) -> str:
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
