"""Paths from outside: checks that never raise, and reads that accept only regular files.

``Path.is_file`` raises if a name is too long, contains a NUL, or is in a folder that this user may not enter; ``open``
waits for a FIFO and reads a device forever. tests/unit/test_architecture.py makes the backend check and open paths only
here.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Union

AnyPath = Union[str, "os.PathLike[str]"]

LONGEST_NAME = 255
"""Bytes, on all Linux file systems."""
LONGEST_PATH = 4095
"""Bytes (PATH_MAX without its NUL)."""


def is_file(path: AnyPath) -> bool:
    """Whether it is a regular file; False if that cannot be checked: a long name, a NUL, an unreadable folder."""
    return os.path.isfile(path)


def is_dir(path: AnyPath) -> bool:
    """Whether it is a folder; False if that cannot be checked."""
    return os.path.isdir(path)


def exists(path: AnyPath) -> bool:
    """Whether anything has this name; False if that cannot be checked."""
    return os.path.exists(path)


def is_link(path: AnyPath) -> bool:
    """Whether it is a symbolic link, also a broken one; False if that cannot be checked."""
    return os.path.islink(path)


def expanded(path: AnyPath) -> Path:
    """The path with ``~`` replaced by the user's home; unchanged if there is no such user."""
    return Path(os.path.expanduser(path))


def resolved(path: AnyPath) -> Path:
    """The path with symbolic links resolved; links that form a loop stay."""
    return Path(os.path.realpath(path))


def search_path(environ: Mapping[str, str]) -> str:
    """PATH without relative entries, which would point into the current folder, such as a project's own."""
    return os.pathsep.join(filter(os.path.isabs, environ.get("PATH", os.defpath).split(os.pathsep)))


def find_program(name: str, environ: Mapping[str, str], *, beside: str = "") -> str | None:
    """The program of this name on PATH (:func:`search_path`) or in the folder ``beside``; None if there is none."""
    return shutil.which(name, path=os.pathsep.join(filter(None, (search_path(environ), beside))))


def entries(folder: Path) -> list[Path]:
    """A folder's entries, sorted by name; empty if it is not a folder or cannot be read."""
    try:
        return sorted(folder.iterdir())
    except (OSError, ValueError):
        return []


def matching(folder: Path, pattern: str) -> list[Path]:
    """A folder's entries that match, sorted by name; empty if it is not a folder or cannot be read."""
    try:
        return sorted(folder.glob(pattern))
    except (OSError, ValueError):
        return []


def why_no_path(text: str) -> str:
    """Why no file can have this path; empty if one can."""
    if "\0" in text:
        return "it contains a NUL character"
    if len(os.fsencode(text)) > LONGEST_PATH:
        return f"a path has at most {LONGEST_PATH} bytes"
    if any(len(os.fsencode(name)) > LONGEST_NAME for name in text.split(os.sep)):
        return f"a name has at most {LONGEST_NAME} bytes"
    return ""


def open_plain(path: AnyPath) -> BinaryIO:
    """Open a regular file to read. Raises OSError immediately for anything else, such as a FIFO or a device."""
    return _opened(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


def open_own(path: AnyPath) -> BinaryIO:
    """Open a file in a folder that others may write to; it must be this user's and not a link. Raises OSError."""
    file = _opened(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    if os.fstat(file.fileno()).st_uid != os.getuid():
        file.close()
        raise PermissionError(errno.EPERM, "owned by another user", os.fspath(path))
    return file


def _opened(path: AnyPath, flags: int) -> BinaryIO:
    try:
        number = os.open(path, flags)
    except ValueError:
        raise OSError(errno.EINVAL, "a file name cannot contain a NUL character", os.fspath(path)) from None
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
        return os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise


def read_bytes(path: AnyPath) -> bytes:
    """The content of a regular file. Raises OSError."""
    with open_plain(path) as file:
        return file.read()


def read_text(path: AnyPath, *, encoding: str = "utf-8", errors: str = "strict") -> str:
    """The content as text with Unix line ends. Raises OSError and UnicodeDecodeError."""
    return read_bytes(path).decode(encoding, errors).replace("\r\n", "\n").replace("\r", "\n")
