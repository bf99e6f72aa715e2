"""Locks between processes: flock(2), the one mechanism for the cache, for work folders and for names in /tmp."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file at ``path``, waiting for whoever holds it; the file stays. Raises OSError if it cannot be made."""
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        lock(number)
        yield
    finally:
        os.close(number)


def lock(number: int) -> None:
    """Lock an open file until it is closed. A file system without locks (some NFS) is worked on without."""
    with suppress(OSError):
        fcntl.flock(number, fcntl.LOCK_EX)


def try_lock(number: int) -> None:
    """Lock an open file, at once. Raises OSError if another process holds it, or the file system has no locks."""
    fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
