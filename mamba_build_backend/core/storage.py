"""Folders on disk: the cache, the place where the work happens, and what a user reads when one cannot be written."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ._compat import platformdirs
from .errors import SettingsError, StorageError
from .settings import Settings

_DISK = {
    errno.ENOSPC: "it is full",
    errno.EDQUOT: "your quota is used up",
    errno.EROFS: "it is read-only",
    errno.EACCES: "you may not write there",
    errno.EPERM: "you may not write there",
    errno.ENOTDIR: "a file is in the way",
    errno.EEXIST: "a file is in the way",
    errno.ENOENT: "it cannot be made",
}

_EPOCH = 1_577_836_800  # 2020-01-01: zip files cannot go back before 1980, and a date in the future confuses make


def cache_root(settings: Settings) -> Path:
    """The cache folder; it need not exist yet."""
    if settings.cache_dir:
        return Path(settings.cache_dir).expanduser().absolute()
    return Path(platformdirs.user_cache_dir("mamba-build-backend"))


def is_disk_error(error: OSError) -> bool:
    """Whether the error is about a folder that cannot be written, and not, say, about a network."""
    return error.errno in _DISK


@contextmanager
def disk_errors(folder: Path, fix: str) -> Iterator[None]:
    """Turn the system's word on a full or read-only folder into a StorageError that says what to type."""
    try:
        yield
    except OSError as error:
        if not is_disk_error(error):
            raise
        why = _DISK[error.errno or 0]
        raise StorageError(f"{folder} cannot be written: {why}", "a folder with room is needed", fix) from None


def prepared(folder: Path, build: Callable[[Path], None]) -> Path:
    """Return ``folder``, building it first if it is not there.

    Built beside its place and renamed into it, under a lock: two builds that start together make it once, and one that
    is interrupted leaves nothing behind that a later one could mistake for the whole.
    """
    if folder.is_dir():
        return folder
    from filelock import FileLock

    with disk_errors(folder.parent, "-C cache-dir=/another/folder"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{folder.name}.lock"):
            if folder.is_dir():
                return folder
            for left in folder.parent.glob(f".{folder.name}.*/"):  # by a process that was killed
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


def emptied(folder: Path) -> Path:
    """The folder, there and empty: a build folder that stays may hold what an earlier build left."""
    shutil.rmtree(folder, ignore_errors=True)
    # It is there still where something would not go, such as a file that is open on NFS.
    folder.mkdir(parents=True, exist_ok=True)
    return folder


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
            real = Path(settings.build_dir).expanduser().absolute()
            real.mkdir(parents=True, exist_ok=True)
        held = (real / _HELD).open("w") if temporary else None
        with suppress(OSError):  # a file system without locks: what a killed build leaves there stays
            if held is not None:
                fcntl.flock(held, fcntl.LOCK_EX)
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
                    for path in real.iterdir():
                        if path.name != _HELD:
                            _remove(path)
            (real / _HELD).unlink(missing_ok=True)
            held.close()
            if not settings.keep_build_dir:
                shutil.rmtree(real, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
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
    for path in parent.glob(f"{_WORK}*/{_HELD}"):
        with suppress(OSError), path.open() as held:
            # One that was made just now may not have been locked yet.
            status = path.lstat()
            if status.st_uid == os.getuid() and time.time() - status.st_mtime > _SETTLED:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path.parent, ignore_errors=True)


def _alias(real: Path) -> Path:
    # torch's BuildExtension writes compiler paths into build.ninja unquoted, so a blank in one would end it there.
    # The name depends on the folder alone: ninja then still knows its objects in the next build.
    digest = hashlib.sha256(os.fsencode(real)).hexdigest()[:12]
    for base in (Path("/tmp"), Path("/var/tmp")):  # noqa: S108 - a link, made with O_EXCL semantics below
        link = base / f"mamba-build-{os.getuid()}-{digest}"
        with suppress(OSError):
            if link.is_symlink() and os.readlink(link) == str(real) and link.lstat().st_uid == os.getuid():
                link.unlink()
            link.symlink_to(real, target_is_directory=True)
            return link
    raise StorageError(
        f"the build folder {real} has blanks or letters in its name that build tools cannot take",
        "a link to it in /tmp could not be made either",
        "-C build-dir=/a/plain/folder",
    )


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
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
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


def sha256(path: Path) -> str:
    """The file's SHA-256, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_whole(path: Path, data: bytes) -> None:
    """Write beside its place and rename, with the mode of the file that was there: a reader never sees half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(data)
        if path.is_file():
            shutil.copymode(path, draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def hand_over(file: Path, directory: Path, name: str = "") -> Path:
    """Copy beside the final place, then rename (to ``name``, or as it is): a reader never sees half a file."""
    final = directory / (name or file.name)
    with disk_errors(directory, "choose another output folder"):
        directory.mkdir(parents=True, exist_ok=True)
        draft = directory / f".{final.name}.{os.getpid()}"
        for left in directory.glob(f".{final.name}.*"):
            if not _lives(left.suffix[1:]):
                left.unlink(missing_ok=True)
        try:
            shutil.copyfile(file, draft)
            draft.replace(final)
        finally:
            draft.unlink(missing_ok=True)
    return final


def _lives(pid: str) -> bool:
    """Whether the process may be there; one on another machine that shares the folder may, as far as we know."""
    try:
        if pid.isdigit():
            os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def link_to(target: Path, link: Path) -> Path:
    """Make ``link`` a symbolic link to ``target``, whatever it was; return it."""
    if not link.is_symlink() or os.readlink(link) != str(target):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    return link


def source_date_epoch(environ: Mapping[str, str]) -> int:
    """The time of all files in what is built: SOURCE_DATE_EPOCH, or a fixed date; in seconds since 1970.

    Raises SettingsError for a value that is no number.
    """
    text = environ.get("SOURCE_DATE_EPOCH", "")
    if text and not re.fullmatch(r"[0-9]{1,12}", text):
        raise SettingsError(
            f"SOURCE_DATE_EPOCH is {text!r}", "it is a whole number of seconds since 1970", "unset SOURCE_DATE_EPOCH"
        )
    return int(text) if text else _EPOCH
