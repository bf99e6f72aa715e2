"""The source files of every release by content, for comparison with a changed tree.

``projects/NAME/files.toml`` has a table for each path, with a line for each content of that file: the first digits of
its git hash, and the first and the last release with it. ``tests/release_files.py`` writes the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core._compat import tomllib
from ..core.paths import is_file, open_plain
from .projects import ProjectVersion

FILES = "files.toml"
DIGITS = 10
"""Digits of a hash. With some hundreds of files, two contents of one path do not share these digits by chance."""


def digest(content: bytes) -> str:
    """Return the first digits of the git hash of a file's content with Unix line ends.

    >>> digest(b"")
    'e69de29bb2'
    """
    text = content.replace(b"\r\n", b"\n")
    return hashlib.sha1(b"blob %d\0" % len(text) + text, usedforsecurity=False).hexdigest()[:DIGITS]


EMPTY = digest(b"")
"""The content of many files in many projects: it identifies nothing."""


@dataclass(frozen=True)
class ReleasedFiles:
    """The files of a project's releases."""

    project: str
    versions: tuple[str, ...]
    """Oldest first."""
    contents: Mapping[str, Mapping[str, tuple[str, ...]]]
    """By path and digest, the versions with that content."""

    def is_released(self, path: str, content: str) -> bool:
        """Whether any release has this content at this path."""
        return content in self.contents.get(path, {})

    def files_of(self, version: str) -> dict[str, str]:
        """Return the digest of each file of a release."""
        return {
            path: content
            for path, versions in self.contents.items()
            for content, held in versions.items()
            if version in held
        }


def load_released(folder: Path, rows: Sequence[ProjectVersion]) -> tuple[ReleasedFiles, ...]:
    """Read the files.toml of each project in ``folder`` that has one. Raises ValueError for an unknown version."""
    found = []
    for project in dict.fromkeys(row.name for row in rows):
        path = folder / project / FILES
        if is_file(path):
            versions = tuple(row.version for row in rows if row.name == project)
            with open_plain(path) as file:
                found.append(
                    ReleasedFiles(
                        project, versions, _contents(tomllib.load(file), versions, f"projects/{project}/{FILES}")
                    )
                )
    return tuple(found)


def _contents(
    data: Mapping[str, Mapping[str, str]], versions: Sequence[str], where: str
) -> dict[str, dict[str, tuple[str, ...]]]:
    out: dict[str, dict[str, tuple[str, ...]]] = {}
    for path, held in data.items():
        for content, span in held.items():
            first, _, last = span.partition(" ")
            if first not in versions or (last or first) not in versions:
                raise ValueError(f"{where}: {path}: {span!r} names no two versions of versions.toml")
            between = versions[versions.index(first) : versions.index(last or first) + 1]
            known = out.setdefault(path, {})
            known[content[:DIGITS]] = (*known.get(content[:DIGITS], ()), *between)
    return out
