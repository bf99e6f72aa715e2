"""Copies of the backend in other projects' trees: what one holds, what it is known by, and how it is read without running it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._version import __version__
from ..core._compat import tomllib
from ..core.errors import SettingsError
from ..core.process import quoted
from ..tables import PATCHES, SELF, load_tables

NAME = "mamba_build_backend"
PACKAGE = Path(__file__).resolve().parent.parent
RECORD = "VENDORED.json"
SCHEMA = 1

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


def is_running(folder: Path) -> bool:
    """Whether this is the backend that runs."""
    return folder.resolve() == PACKAGE


def version_of(folder: Path) -> str:
    """The version that a copy's code states, read and not imported; empty where it states none."""
    try:
        text = (folder / "__init__.py").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    match = re.search(r"^__version__(?:\s*:[^=\n]+)?\s*=\s*['\"]([^'\"]+)", text, re.MULTILINE)
    return match[1] if match else ""


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


def command(project: Path) -> str:
    """What to type for a copy in this project."""
    return quoted(["python", "-m", NAME, "vendor", project])


def check_one_backend(project: Path) -> None:
    """Raise SettingsError if the project holds a backend of another version than the one that runs."""
    own = project / NAME
    if not (own / "__init__.py").is_file() or is_running(own):
        return
    version = version_of(own)
    if version != __version__:
        raise SettingsError(
            f"two backends of different versions: {PACKAGE} runs and is {__version__}, {own} is {version or 'of no known version'}",
            "a project is built with its own",
            (
                f"cd {quoted([project])} && python -m {NAME} …",
                f"{command(project)}   (brings its copy to {__version__})",
            ),
        )


def check_carries(upstream: str) -> None:
    """Raise SettingsError if the backend that runs is a copy for another upstream: it would not patch this one's sources."""
    record = read_record(PACKAGE)
    if record is not None and upstream not in (SELF, record["upstream"]):
        raise SettingsError(
            f"upstream = {upstream}, and the copy of the backend in {PACKAGE.parent} was made for {record['upstream']}",
            f"it carries no patches of {upstream}",
            f"cd /a/checkout/of/mamba-ssm-portable && {command(PACKAGE.parent)} --upstream {upstream}",
        )


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


def read_record(folder: Path) -> Mapping[str, Any] | None:
    """A copy's record; None where there is none that can be read."""
    try:
        record = json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or record.get("schema") != SCHEMA or not isinstance(record.get("files"), dict):
        return None
    return record if all(isinstance(record.get(key), str) for key in ("version", "upstream", "sha256")) else None


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
