"""Which files of a folder are source (no build leftovers, no special files), and the hash that identifies a tree."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from .files import sha256
from .paths import is_file, is_link
from .work_folder import CACHE_TAG

_left_by_builds = shutil.ignore_patterns(".git", "__pycache__", "*.egg-info", "build", "dist", ".venv", "venv")


def left_out(folder: str, names: list[str]) -> set[str]:
    """Names that are not source: build leftovers, a build folder (it has a tag), a socket, a FIFO, a device."""
    left = set(_left_by_builds(folder, names))
    for name in names:
        path = os.path.join(folder, name)
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            left.add(name)
            continue
        if stat.S_ISDIR(mode):
            if is_file(os.path.join(path, CACHE_TAG)):
                left.add(name)
        elif not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
            left.add(name)
    return left


def tree_sha256(tree: Path, *, without: str = "") -> str:
    """The hash that identifies a tree: of the names and contents of its source files, without the folder ``without``.

    An archive's content, a checkout and copies of them have the same hash; modes and times do not count.
    """
    digest = hashlib.sha256()
    for path in source_files(tree):
        if path.relative_to(tree).parts[0] == without:
            continue
        content = f"link to {os.readlink(path)}" if is_link(path) else sha256(path)
        digest.update(os.fsencode(f"{content}  {path.relative_to(tree).as_posix()}\n"))
    return digest.hexdigest()


def source_files(tree: Path) -> list[Path]:
    """All source files of a tree, sorted by name."""
    return sorted(_files(tree), key=lambda path: path.relative_to(tree).as_posix())


def _files(tree: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(tree):
        ignored = left_out(folder, [*folders, *files])
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        folders[:] = [name for name in folders if name not in ignored and name not in links]
        yield from (Path(folder, name) for name in [*files, *links] if name not in ignored)
