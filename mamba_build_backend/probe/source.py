"""What the setting ``source`` points to, where it is a path."""

from __future__ import annotations

from pathlib import Path

from ..core.facts import SourceKind
from ..core.settings import Settings


def probe_source(settings: Settings) -> tuple[SourceKind, tuple[str, ...]]:
    """Its kind, and of a folder of archives and repositories their names."""
    if settings.source in ("auto", "index", "git"):
        return SourceKind.NONE, ()
    path = Path(settings.source).expanduser().absolute()
    try:
        if path.is_file():
            return SourceKind.ARCHIVE, ()
        if not path.is_dir():
            return SourceKind.MISSING, ()
        if (path / "setup.py").is_file():
            return SourceKind.TREE, ()
        if is_repository(path):
            return SourceKind.REPOSITORY, ()
        return SourceKind.FOLDER, tuple(
            sorted(item.name for item in path.iterdir() if item.is_file() or is_repository(item))
        )
    except OSError:
        return SourceKind.MISSING, ()


def is_repository(path: Path) -> bool:
    """Whether a folder is a git repository, bare or not: a mirror for machines without internet."""
    return (path / ".git").exists() or ((path / "objects").is_dir() and (path / "HEAD").is_file())
