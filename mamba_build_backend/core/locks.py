"""Locks between processes with flock(2), for the cache, work folders and names in /tmp."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def locked(path: Path, waits: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock file at ``path``, waiting for its holder; the file stays. Raises OSError if it cannot be created.

    ``waits`` is called before a wait.
    """
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        if waits is not None:
            _try_first(number, waits)
        lock(number)
        yield
    finally:
        os.close(number)


def _try_first(number: int, waits: Callable[[], None]) -> None:
    try:
        try_lock(number)
    except BlockingIOError:
        waits()
    except OSError:
        pass  # a file system without locks


def lock(number: int) -> None:
    """Lock an open file until it is closed. On a file system without locks (some NFS), work without one."""
    with suppress(OSError):
        fcntl.flock(number, fcntl.LOCK_EX)


def try_lock(number: int) -> None:
    """Lock an open file without waiting. Raises OSError if it is locked already, or the file system has no locks."""
    fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
