"""Small files that only this user can have written: in our own folder, opened without following links, with mode 0700.

A file that cannot be trusted or accessed counts as missing: a build never fails because of it.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LARGEST = 1 << 20
"""Bytes; a larger file is not ours."""


class PrivateStore:
    """Files by name in one folder. Names have letters, digits and dots."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: str, newest: float) -> bytes | None:
        """The file's content; None if it is missing, older than ``newest`` seconds, or possibly another user's."""
        with suppress(OSError), self._opened() as folder:
            number = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
            with os.fdopen(number, "rb") as file:
                status = os.fstat(number)
                recent = -newest < time.time() - status.st_mtime < newest
                if stat.S_ISREG(status.st_mode) and _is_private(status) and recent and status.st_size <= _LARGEST:
                    return file.read(_LARGEST)
        return None

    def write(self, name: str, data: bytes) -> None:
        """Write the file, readable only by this user; a reader sees the old content or the new."""
        draft = f".{name}.{os.getpid()}"
        with suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._opened() as folder:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                try:
                    with os.fdopen(os.open(draft, flags, 0o600, dir_fd=folder), "wb") as file:
                        file.write(data)
                    os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
                except BaseException:
                    with suppress(OSError):
                        os.unlink(draft, dir_fd=folder)
                    raise

    def remove(self, name: str) -> None:
        """Remove the file, if it exists."""
        with suppress(OSError), self._opened() as folder:
            os.unlink(name, dir_fd=folder)

    def sweep(self, oldest: float) -> None:
        """Remove files older than ``oldest`` seconds."""
        with suppress(OSError), self._opened() as folder:
            for name in os.listdir(folder):
                with suppress(OSError):
                    if time.time() - os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime > oldest:
                        os.unlink(name, dir_fd=folder)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        number = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if not _is_private(os.fstat(number)):
                raise PermissionError(f"{self.folder} is open to others")
            yield number
        finally:
            os.close(number)


def _is_private(status: os.stat_result) -> bool:
    return status.st_uid == os.getuid() and not status.st_mode & 0o077
