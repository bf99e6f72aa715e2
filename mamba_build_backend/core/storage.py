"""The cache folder, and the errors for folders that cannot be written."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ._compat import platformdirs
from .errors import StorageError
from .locks import locked
from .paths import expanded, is_dir, matching
from .settings import Settings

_DISK = {
    errno.ENOSPC: "it is full",
    errno.EDQUOT: "your quota is used up",
    errno.EROFS: "it is read-only",
    errno.EACCES: "you may not write there",
    errno.EPERM: "you may not write there",
    errno.ENOTDIR: "a file has this name",
    errno.EEXIST: "a file has this name",
    errno.ENOENT: "it cannot be created",
    errno.ENAMETOOLONG: "its name is too long",
    errno.ELOOP: "its symbolic links form a loop",
    errno.EISDIR: "a folder has this name",
    errno.EINVAL: "it is not a regular file",
}


def cache_root(settings: Settings) -> Path:
    """The cache folder; it may not exist yet."""
    if settings.cache_dir:
        return expanded(settings.cache_dir).absolute()
    return Path(platformdirs.user_cache_dir("mamba-build-backend"))


def is_disk_error(error: OSError) -> bool:
    """Whether the error means that a folder cannot be written, and not, for instance, a network error."""
    return error.errno in _DISK


@contextmanager
def disk_errors(folder: Path, fix: str) -> Iterator[None]:
    """Turn the OSError of a full or read-only folder into a StorageError with a fix."""
    try:
        yield
    except OSError as error:
        if not is_disk_error(error):
            raise
        why = _DISK[error.errno or 0]
        raise StorageError(
            f"{folder} cannot be written: {why}", "a writable folder with free space is needed", fix
        ) from None


def prepared(folder: Path, build: Callable[[Path], None], waits: Callable[[], None] | None = None) -> Path:
    """Return ``folder``, building it first if missing; calls ``waits`` if another process is building it.

    The folder is built next to its place and renamed, under a lock: two builds that start together make it only once,
    and an interrupted build leaves nothing that a later one could mistake for the complete folder.
    """
    if is_dir(folder):
        return folder
    with disk_errors(folder.parent, "-C cache-dir=/another/folder"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.parent / f".{folder.name}.lock", waits):
            if is_dir(folder):
                return folder
            for left in matching(folder.parent, f".{folder.name}.*/"):  # leftovers of a killed process
                shutil.rmtree(left, ignore_errors=True)
            draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
            try:
                build(draft)
                draft.chmod(0o755)
                draft.rename(folder)
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
    return folder
