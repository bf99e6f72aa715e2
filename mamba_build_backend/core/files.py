"""Write files atomically, and small helpers for folders and links."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path

from .paths import exists, is_file, is_link, matching, open_plain, resolved
from .storage import disk_errors


def sha256(path: Path) -> str:
    """The file's SHA-256, in hexadecimal."""
    digest = hashlib.sha256()
    with open_plain(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_whole(path: Path, data: bytes) -> None:
    """Write a draft next to ``path`` and rename it, keeping an existing file's mode: readers never see half a file.

    A symbolic link stays, and its target is written. Raises OSError, also if ``path`` exists and is not a regular file.
    """
    path = resolved(path)
    if exists(path) and not is_file(path):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(data)
        if is_file(path):
            shutil.copymode(path, draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def hand_over(file: Path, directory: Path, name: str = "") -> Path:
    """Copy next to the final place, then rename (to ``name``, or unchanged): a reader never sees half a file."""
    final = directory / (name or file.name)
    with disk_errors(directory, "choose another output folder"):
        directory.mkdir(parents=True, exist_ok=True)
        draft = directory / f".{final.name}.{os.getpid()}"
        for left in matching(directory, f".{final.name}.*"):
            if not _lives(left.suffix[1:]):
                left.unlink(missing_ok=True)
        try:
            shutil.copyfile(file, draft)
            draft.replace(final)
        finally:
            draft.unlink(missing_ok=True)
    return final


def _lives(pid: str) -> bool:
    """Whether the process may be alive; one on another machine that shares the folder cannot be checked."""
    try:
        if pid.isdigit():
            os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def link_to(target: Path, link: Path) -> Path:
    """Make ``link`` a symbolic link to ``target``, replacing what is there; return ``link``."""
    if not is_link(link) or os.readlink(link) != str(target):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    return link


def emptied(folder: Path) -> Path:
    """Make the folder exist and be empty: a kept build folder may contain leftovers of an earlier build."""
    shutil.rmtree(folder, ignore_errors=True)
    # The folder may still exist if a file in it cannot be removed, such as a file that is open on NFS.
    folder.mkdir(parents=True, exist_ok=True)
    return folder
