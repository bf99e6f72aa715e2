"""What the setting ``source`` points to, where it is a path."""

from __future__ import annotations

from pathlib import Path

from ..core.settings import Settings


def probe_source(settings: Settings) -> tuple[str, tuple[str, ...]]:
    """Its kind, and of a folder of archives and repositories their names.

    The kind is ``tree``, ``archive``, ``repository``, ``folder``, ``missing``, or empty where the setting is no path.
    """
    if settings.source in ("auto", "index", "git"):
        return "", ()
    path = Path(settings.source).expanduser().absolute()
    try:
        if path.is_file():
            return "archive", ()
        if not path.is_dir():
            return "missing", ()
        if (path / "setup.py").is_file():
            return "tree", ()
        if is_repository(path):
            return "repository", ()
        return "folder", tuple(sorted(item.name for item in path.iterdir() if item.is_file() or is_repository(item)))
    except OSError:
        return "missing", ()


def is_repository(path: Path) -> bool:
    """Whether a folder is a git repository, bare or not: a mirror for machines without internet."""
    return (path / ".git").exists() or ((path / "objects").is_dir() and (path / "HEAD").is_file())
