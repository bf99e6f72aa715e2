"""The folder in which a build works: its name, its lock, and the leftovers of killed builds."""

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
"""A file that tells tools to skip a folder (the Cache Directory Tagging Specification)."""
_CACHE_TAG_TEXT = "Signature: 8a477f597d28d172789f06886806bc55\n# A build folder of mamba_build_backend.\n"
_SAFE = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")


@contextmanager
def work_folder(settings: Settings) -> Iterator[Path]:
    """Yield the folder in which a build works, under a name that is safe for compilers, ninja and linker scripts.

    A temporary folder is removed at the end unless ``keep-build-dir`` is set; a folder named by the settings stays.
    """
    temporary = settings.build_dir is None
    with disk_errors(Path(settings.build_dir or tempfile.gettempdir()), "-C build-dir=/another/folder"):
        if settings.build_dir is None:
            _sweep(Path(tempfile.gettempdir()))
            real = Path(tempfile.mkdtemp(prefix=_WORK))
        else:
            real = expanded(settings.build_dir).absolute()
            real.mkdir(parents=True, exist_ok=True)
            # The folder may be inside a project whose source is copied: the tag says that nothing here is source.
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
                # Remove the lock file last, so that the next build finishes an interrupted cleanup.
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
"""Locked while the process that works in the folder lives. A kept folder has no such file."""
_SETTLED = 60.0
"""Seconds."""


def _sweep(parent: Path) -> None:
    """Remove the work folders of killed processes: their lock file exists, and no process holds it."""
    for path in matching(parent, f"{_WORK}*/{_HELD}"):
        # Another user may create files of these names: a FIFO, on which we would wait, or a link.
        with suppress(OSError), open_own(path) as held:
            # A file created just now may not be locked yet.
            if time.time() - os.fstat(held.fileno()).st_mtime > _SETTLED:
                try_lock(held.fileno())
                shutil.rmtree(path.parent, ignore_errors=True)


def _alias(real: Path) -> Path:
    # torch's BuildExtension writes compiler paths into build.ninja unquoted, so a space would end the path.
    # The name depends only on the folder, so that ninja still recognises its objects in the next build.
    digest = hashlib.sha256(os.fsencode(real)).hexdigest()[:12]
    for base in (Path("/tmp"), Path("/var/tmp")):  # noqa: S108 - a link, made with O_EXCL semantics below
        link = base / f"mamba-build-{os.getuid()}-{digest}"
        with suppress(OSError):
            if is_link(link) and os.readlink(link) == str(real) and link.lstat().st_uid == os.getuid():
                link.unlink()
            link.symlink_to(real, target_is_directory=True)
            return link
    raise StorageError(
        f"the name of the build folder {real} has spaces or characters that build tools cannot handle",
        "a link to it in /tmp could not be made either",
        "-C build-dir=/a/plain/folder",
    )
