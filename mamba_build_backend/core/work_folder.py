"""The folder in which a build happens: its name, its lock, and what killed builds left."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import StorageError
from .locks import lock, try_lock
from .paths import entries, expanded, is_dir, is_file, is_link, matching, open_own
from .settings import Settings
from .storage import disk_errors

CACHE_TAG = "CACHEDIR.TAG"
"""A file that tells tools to leave a folder alone (the Cache Directory Tagging Specification)."""
_CACHE_TAG_TEXT = "Signature: 8a477f597d28d172789f06886806bc55\n# A build folder of mamba_build_backend.\n"
_SAFE = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")


@contextmanager
def work_folder(settings: Settings) -> Iterator[Path]:
    """Yield the folder in which a build happens, under a name that no compiler, ninja or linker script trips over.

    A temporary one is removed at the end unless ``keep-build-dir``; one that the settings name stays.
    """
    temporary = settings.build_dir is None
    with disk_errors(Path(settings.build_dir or tempfile.gettempdir()), "-C build-dir=/another/folder"):
        if settings.build_dir is None:
            _sweep(Path(tempfile.gettempdir()))
            real = Path(tempfile.mkdtemp(prefix=_WORK))
        else:
            real = expanded(settings.build_dir).absolute()
            real.mkdir(parents=True, exist_ok=True)
            # It may lie in a project, whose source is copied: the tag says that nothing here is source.
            if not is_file(real / CACHE_TAG):
                (real / CACHE_TAG).write_text(_CACHE_TAG_TEXT, encoding="ascii")
        held = (real / _HELD).open("w") if temporary else None
        if held is not None:
            lock(held.fileno())
    alias = None
    try:
        if not _SAFE.fullmatch(str(real)):
            alias = _alias(real)
        yield alias or real
    finally:
        if alias is not None:
            with suppress(OSError):
                alias.unlink()
        if held is not None:
            if not settings.keep_build_dir:
                # The lock last: whatever ends us before that, the next build sweeps up.
                with suppress(OSError):
                    for path in entries(real):
                        if path.name != _HELD:
                            _remove(path)
            (real / _HELD).unlink(missing_ok=True)
            held.close()
            if not settings.keep_build_dir:
                shutil.rmtree(real, ignore_errors=True)


def _remove(path: Path) -> None:
    if is_dir(path) and not is_link(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


_WORK = "mamba-build-"
_HELD = ".held"
"""Locked as long as the process that works in the folder lives. A folder that is kept has none."""
_SETTLED = 60.0
"""Seconds."""


def _sweep(parent: Path) -> None:
    """Remove the work folders of processes that were killed: their lock is there, and nobody holds it."""
    for path in matching(parent, f"{_WORK}*/{_HELD}"):
        # Anybody may put something of these names there: a FIFO, which would be waited for, or a link.
        with suppress(OSError), open_own(path) as held:
            # One that was made just now may not have been locked yet.
            if time.time() - os.fstat(held.fileno()).st_mtime > _SETTLED:
                try_lock(held.fileno())
                shutil.rmtree(path.parent, ignore_errors=True)


def _alias(real: Path) -> Path:
    # torch's BuildExtension writes compiler paths into build.ninja unquoted, so a blank in one would end it there.
    # The name depends on the folder alone: ninja then still knows its objects in the next build.
    digest = hashlib.sha256(os.fsencode(real)).hexdigest()[:12]
    for base in (Path("/tmp"), Path("/var/tmp")):  # noqa: S108 - a link, made with O_EXCL semantics below
        link = base / f"mamba-build-{os.getuid()}-{digest}"
        with suppress(OSError):
            if is_link(link) and os.readlink(link) == str(real) and link.lstat().st_uid == os.getuid():
                link.unlink()
            link.symlink_to(real, target_is_directory=True)
            return link
    raise StorageError(
        f"the build folder {real} has blanks or letters in its name that build tools cannot take",
        "a link to it in /tmp could not be made either",
        "-C build-dir=/a/plain/folder",
    )
