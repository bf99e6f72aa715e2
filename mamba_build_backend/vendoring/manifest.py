"""Copies of the backend in other projects' trees: their content, their identity, and how to read them without running them."""

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
    """A copy in a project's tree."""

    folder: Path
    version: str
    """The version in its code; empty if there is none."""
    record: Mapping[str, Any] | None
    """Its record from the time when it was made."""
    edited: Mapping[str, str]
    """Names of files that are ``changed``, ``missing`` or ``added`` since then."""

    @property
    def title(self) -> str:
        """The version in words."""
        return self.version or "of unknown version"


def look(folder: Path) -> Copy | None:
    """Compare the copy in ``folder`` with its own record; None if there is no copy."""
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
    """Yield every copy in a project's tree up to a depth; skips environments, build results and hidden folders."""
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
    """Return the files of a copy for this upstream, by name: the package files that its builds need, licence, patches.

    Raises SettingsError if the running backend has no patches folder, and this upstream may need patches.
    """
    series = PATCHES / "series.toml"
    if upstream != SELF and not is_file(series):
        raise SettingsError(
            f"{PACKAGE} contains no patches for {upstream}",
            f"a copy for {upstream} needs them",
            f"cd {CHECKOUT} && python -m {NAME} vendor …",
        )
    projects = _projects(upstream)
    files = {name: read_bytes(path) for name, path in _files(PACKAGE) if is_needed(name, projects)}
    # If there is a series, the LICENSE next to it is ours too.
    text = read_text(series) if is_file(series) else ""
    if text and is_file(PATCHES.parent / "LICENSE"):
        files["LICENSE"] = read_bytes(PATCHES.parent / "LICENSE")
    # Also without patches: otherwise the backend would use a `patches` folder of the project itself.
    files["patches/series.toml"] = series_of(projects, text).encode()
    for row in load_tables().patches:
        if row.upstream in projects:
            files[f"patches/{row.file}"] = read_bytes(PATCHES / row.file)
    return dict(sorted(files.items()))


_CHECKOUT_ONLY = (
    *("matrix/", "vendoring/", "schemas/", "patches/", "wheel/stand_in.py"),
    *("cli/matrix_commands.py", "cli/vendor_command.py", "cli/stand_in_command.py"),
)
"""Files that no build reads: the matrix, this command, the schema of `doctor --json`.

Patches are selected one by one.
"""


def is_needed(name: str, projects: frozenset[str]) -> bool:
    """Whether a file of the package goes into a copy for these projects (empty for a project that builds itself).

    ``projects/NAME/`` has the data of one project. A package in ``payload/`` goes only into wheels of known projects;
    the licences next to it go into every wheel.
    """
    if name.startswith(_CHECKOUT_ONLY):
        return False
    folder, _, rest = name.partition("/")
    inner, slash, _ = rest.partition("/")
    if folder == "projects" and slash:
        return inner in projects
    return folder != "payload" or inner == "licenses" or bool(projects)


def _projects(upstream: str) -> frozenset[str]:
    """Return the known projects that a build for this upstream may contain: itself, and the partner that can share its wheel."""
    if upstream == SELF:
        return frozenset()
    partner = read_projects().get(upstream, {}).get("partner", {})
    return frozenset({upstream, *([partner["name"]] if partner else [])})


def series_of(projects: frozenset[str], text: str) -> str:
    """Return a series with only the rows of these projects, unchanged."""
    head, *rows = re.split(r"^(?=\[\[patch\]\])", text, flags=re.MULTILINE)
    kept = [row for row in rows if tomllib.loads(row)["patch"][0]["upstream"] in projects]
    return "".join([head, *kept]).rstrip("\n") + "\n"


def make_record(upstream: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the record of a copy. Reproducible: it depends only on the content, not on user, path or time."""
    digests = _digests(files)
    return {
        "schema": SCHEMA,
        "version": __version__,
        "upstream": upstream,
        "files": digests,
        "sha256": _digest(digests),
    }


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield all files except the record, by name; skips files that Python and editors leave behind."""
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
