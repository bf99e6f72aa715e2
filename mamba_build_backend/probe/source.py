"""What the setting ``source`` points to, if it is a path."""

from __future__ import annotations

from pathlib import Path

from ..core.facts import SourceKind
from ..core.paths import entries, exists, expanded, is_dir, is_file, matching
from ..core.settings import Settings

_MOST_TREES = 20


def probe_source(settings: Settings) -> tuple[SourceKind, tuple[str, ...]]:
    """The kind of source; for a folder also the names of its archives, repositories and trees (``mamba/setup.py``)."""
    if settings.source in ("auto", "index", "git"):
        return SourceKind.NONE, ()
    path = path_of(settings)
    if is_file(path):
        return SourceKind.ARCHIVE, ()
    if not is_dir(path):
        return SourceKind.MISSING, ()
    if is_file(path / "setup.py"):
        return SourceKind.TREE, ()
    if is_repository(path):
        return SourceKind.REPOSITORY, ()
    inside = [item.name for item in entries(path) if is_file(item) or is_repository(item)]
    lower = (*matching(path, "*/setup.py"), *matching(path, "*/*/setup.py"))
    trees = [item.relative_to(path).as_posix() for item in lower if is_file(item)]
    return SourceKind.FOLDER, (*inside, *sorted(trees)[:_MOST_TREES])


def path_of(settings: Settings) -> Path:
    """The path that the setting names."""
    return expanded(settings.source).absolute()


def is_repository(path: Path) -> bool:
    """Whether a folder is a git repository, bare or not, such as a mirror for machines without internet."""
    return exists(path / ".git") or (is_dir(path / "objects") and is_file(path / "HEAD"))
