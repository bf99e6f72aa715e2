"""A folder in /tmp whose name all users of the machine share; only one build may use it at a time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from .locks import try_lock


@contextmanager
def stand_in(name: str) -> Iterator[Path | None]:
    """An empty folder of this name in /tmp; None if another build is using it.

    The lock file stays, and all users of the machine share it.
    """
    folder, lock = Path("/tmp") / name, Path("/tmp") / f"{name}.lock"  # noqa: S108 - the same name is what is wanted
    with ExitStack() as stack:
        taken = True
        with suppress(OSError):
            held = stack.enter_context(os.fdopen(_open_lock(lock)))
            try_lock(held.fileno())
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
            taken = False
        try:
            yield None if taken else folder
        finally:
            if not taken:
                shutil.rmtree(folder, ignore_errors=True)


def _open_lock(path: Path) -> int:
    # Another user may put a link to one of our files there. Another user's file in /tmp may be opened to read, which is
    # enough to lock it, but not with O_CREAT (fs.protected_regular).
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    with suppress(FileNotFoundError):
        return os.open(path, flags)
    number = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644)
    os.fchmod(number, 0o644)  # independent of the umask
    return number
