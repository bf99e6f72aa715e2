"""A folder with one name for all users of the machine, which one build has at a time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from .locks import try_lock


@contextmanager
def stand_in(name: str) -> Iterator[Path | None]:
    """A folder of this name in /tmp, empty, for as long as nobody else has it; None where somebody has.

    The lock stays, and all users of the machine share it.
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
    # Anybody may put a link there, to a file of ours. Another user's file in /tmp may be read, and locked by that, but not opened
    # by who would make it (fs.protected_regular).
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    with suppress(FileNotFoundError):
        return os.open(path, flags)
    number = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644)
    os.fchmod(number, 0o644)  # whatever the umask is
    return number
