"""Paths that somebody named: questions about them that are answered and never raise, and files that are read only if they are plain.

``Path.is_file`` raises where a name is too long, has a NUL, or lies in a folder that this user may not enter; ``open`` waits for a FIFO,
and reads a device for ever. tests/unit/test_architecture.py sees to it that the backend asks and opens here alone.
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
"""Bytes, on all file systems of Linux."""
LONGEST_PATH = 4095
"""Bytes (PATH_MAX without its NUL)."""


def is_file(path: AnyPath) -> bool:
    """Whether it is a plain file; no also where that cannot be asked: a name that is too long, a NUL, a folder of others."""
    return os.path.isfile(path)


def is_dir(path: AnyPath) -> bool:
    """The same of a folder."""
    return os.path.isdir(path)


def exists(path: AnyPath) -> bool:
    """The same of anything that may have this name."""
    return os.path.exists(path)


def is_link(path: AnyPath) -> bool:
    """The same of a symbolic link, wherever it leads."""
    return os.path.islink(path)


def expanded(path: AnyPath) -> Path:
    """The path with ``~`` as somebody's home; as it is where there is no such user."""
    return Path(os.path.expanduser(path))


def resolved(path: AnyPath) -> Path:
    """The path without links; those that lead in a circle stay."""
    return Path(os.path.realpath(path))


def search_path(environ: Mapping[str, str]) -> str:
    """PATH without entries that have no root: those lead to where a command happens to be typed, such as a project's own folder."""
    return os.pathsep.join(filter(os.path.isabs, environ.get("PATH", os.defpath).split(os.pathsep)))


def find_program(name: str, environ: Mapping[str, str], *, beside: str = "") -> str | None:
    """The program of this name on PATH (:func:`search_path`), or in the folder ``beside``; None where there is none."""
    return shutil.which(name, path=os.pathsep.join(filter(None, (search_path(environ), beside))))


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, in the order of names; nothing where it is none, or may not be read."""
    try:
        return sorted(folder.iterdir())
    except (OSError, ValueError):
        return []


def matching(folder: Path, pattern: str) -> list[Path]:
    """What matches in a folder, in the order of names; nothing where it is none, or may not be read."""
    try:
        return sorted(folder.glob(pattern))
    except (OSError, ValueError):
        return []


def why_no_path(text: str) -> str:
    """Why no file can have this path; empty for one that may be there."""
    if "\0" in text:
        return "it contains a NUL character"
    if len(os.fsencode(text)) > LONGEST_PATH:
        return f"a path has at most {LONGEST_PATH} bytes"
    if any(len(os.fsencode(name)) > LONGEST_NAME for name in text.split(os.sep)):
        return f"a name has at most {LONGEST_NAME} bytes"
    return ""


def open_plain(path: AnyPath) -> BinaryIO:
    """Open a file to read. Raises OSError, at once, for what is no plain file: nobody waits for a FIFO or reads a device."""
    return _opened(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


def open_own(path: AnyPath) -> BinaryIO:
    """The same of one in a folder that others write to: no link, and this user's. Raises OSError."""
    file = _opened(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    if os.fstat(file.fileno()).st_uid != os.getuid():
        file.close()
        raise PermissionError(errno.EPERM, "somebody else's", os.fspath(path))
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
    """The content of a plain file. Raises OSError."""
    with open_plain(path) as file:
        return file.read()


def read_text(path: AnyPath, *, encoding: str = "utf-8", errors: str = "strict") -> str:
    """The same as text, with a newline alone at the end of each line. Raises OSError, and UnicodeDecodeError."""
    return read_bytes(path).decode(encoding, errors).replace("\r\n", "\n").replace("\r", "\n")
