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
from ..core.own_copy import NAME, PACKAGE, RECORD, SCHEMA, read_record, version_of
from ..core.projects import SELF
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
    there = _digests({name: path.read_bytes() for name, path in _files(folder)})
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
        if here.name == NAME and (here / "__init__.py").is_file():
            folders.clear()
            yield Copy(here, version_of(here), None, {})
        deep = len(here.relative_to(project).parts) >= _DEPTH
        folders[:] = sorted(
            name
            for name in folders
            if not (deep or name in _SKIPPED or name.startswith(".") or (here / name / "pyvenv.cfg").exists())
        )


def content(upstream: str) -> dict[str, bytes]:
    """The files of a copy for this upstream, by name: the package, its licence, and that upstream's patches.

    Raises SettingsError where the backend that runs is itself a copy for another upstream.
    """
    files = {name: path.read_bytes() for name, path in _files(PACKAGE) if not name.startswith("patches/")}
    series = PATCHES / "series.toml"
    made_for = (read_record(PACKAGE) or {}).get("upstream", upstream)
    if upstream not in (SELF, made_for) or (upstream != SELF and not series.is_file()):
        why = f", since it was made for upstream = {made_for}" if made_for != upstream else ""
        raise SettingsError(
            f"{PACKAGE} carries no patches of {upstream}{why}",
            "a copy for it has to have them",
            f"cd /a/checkout/of/mamba-ssm-portable && python -m {NAME} vendor …",
        )
    # Where there is a series, what lies beside it is ours too.
    text = series.read_text(encoding="utf-8") if series.is_file() else ""
    if text and (PATCHES.parent / "LICENSE").is_file():
        files["LICENSE"] = (PATCHES.parent / "LICENSE").read_bytes()
    # Also where there is none to carry: a `patches` folder of the project's own is not taken for ours then.
    files["patches/series.toml"] = series_of(upstream, text).encode()
    for row in load_tables().patches:
        if row.upstream == upstream:
            files[f"patches/{row.file}"] = (PATCHES / row.file).read_bytes()
    return dict(sorted(files.items()))


def series_of(upstream: str, text: str) -> str:
    """A series with the rows of one upstream alone, as they are written."""
    head, *rows = re.split(r"^(?=\[\[patch\]\])", text, flags=re.MULTILINE)
    mine = [row for row in rows if tomllib.loads(row)["patch"][0]["upstream"] == upstream]
    return "".join([head, *mine]).rstrip("\n") + "\n"


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
        if path.is_file() and not left and inside.as_posix() != RECORD:
            yield inside.as_posix(), path


def _digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}


def _digest(digests: Mapping[str, Any]) -> str:
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
