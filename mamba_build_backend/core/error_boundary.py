"""The one place where errors become what a user sees: lines with a prefix on stderr, and an exit code."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType

from .errors import FULL, INTERRUPTED, BackendError, StorageError
from .invocation import as_typed
from .outside_text import secrets, visible, without_secrets

PREFIX = "mamba-build-backend: "
EXIT_FILE = "_MAMBA_BACKEND_EXIT_FILE"
"""Variable with the path of a file for the exit code, for a caller that runs the hook through a frontend."""


_OF_THE_MACHINE = (
    *(errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EIO),
    *(errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ETXTBSY, errno.ENOTEMPTY),
)
"""Errors of a user's file or folder, wherever it was opened. Not ENOENT: a missing file that we expected is our bug."""


@contextmanager
def user_errors(spelled: Callable[[str], str] = str) -> Iterator[None]:
    """Turn BackendError, a full disk and Ctrl-C into SystemExit; let every other exception through, since it is a bug.

    ``spelled`` turns each fix into words that can be typed here.
    """
    try:
        with _terminable():
            yield
    except KeyboardInterrupt:
        _print("interrupted: all child processes were stopped, and the cache is intact")
        raise _exit(INTERRUPTED) from None
    except BackendError as error:
        _print_error(error, spelled)
        raise _exit(error.exit_code) from None
    except BrokenPipeError:
        # ``audit --json | head``: the reader closed the pipe. Redirect stdout, so the interpreter does not raise again
        # at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise _exit(128 + signal.SIGPIPE) from None
    except OSError as error:
        if error.errno in _OF_THE_MACHINE and error.filename is not None:
            _print_error(StorageError(f"{os.fsdecode(error.filename)}: {error.strerror}", "", ()), spelled)
            raise _exit(StorageError.exit_code) from None
        if error.errno not in FULL:
            raise
        where = f"{error.filename or 'a folder'} cannot be written: {error.strerror}"
        full = StorageError(
            where,
            "a build needs about 1 GB of free space",
            ("-C build-dir=/another/folder", "-C cache-dir=/another/folder"),
        )
        _print_error(full, spelled)
        raise _exit(full.exit_code) from None


@contextmanager
def hook_errors(spelled: Callable[[str], str] = str) -> Iterator[None]:
    """Like :func:`user_errors`, for a hook, which also ends when its frontend is gone: nobody would use the wheel."""
    ended = threading.Event()
    threading.Thread(target=_watch, args=(os.getppid(), ended), daemon=True).start()
    try:
        with user_errors(spelled):
            yield
    finally:
        ended.set()


_GLANCE = 2.0
"""Seconds."""


def _watch(parent: int, ended: threading.Event) -> None:
    while not ended.wait(_GLANCE):
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)
            return


def _exit(status: int) -> SystemExit:
    if path := os.environ.get(EXIT_FILE):
        with suppress(OSError):
            Path(path).write_text(str(status), encoding="ascii")
    return SystemExit(status)


@contextmanager
def _terminable() -> Iterator[None]:
    # SIGTERM (a job's time limit, a cancelled CI run) and SIGHUP (a closed terminal) must end our children as Ctrl-C
    # does. A second signal would interrupt the cleanup, which takes seconds at most. nohup's SIG_IGN stays.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    heard = [number for number in ours if signal.getsignal(number) not in (signal.SIG_IGN, None)]

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        for number in heard:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print_error(error: BackendError, spelled: Callable[[str], str]) -> None:
    problems = [replace(problem, fix=tuple(spelled(way) for way in problem.fix)) for problem in error.problems]
    for line in (line for problem in problems for line in problem.lines()):
        for part in line.splitlines() or [""]:
            _print(f"error: {part}")


def _print(line: str) -> None:
    shown = as_typed(visible(without_secrets(line, secrets(os.environ))))
    print(f"{PREFIX}{shown}", file=sys.stderr, flush=True)
