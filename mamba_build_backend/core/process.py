"""Start processes; no other module does.

A command is a list, its environment is explicit, every line of its output goes to a log, and nothing that it starts
outlives it: each child leads its own session, and the whole session is ended when we stop early or are killed.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from ._session_reaper import DONE, end_session
from .errors import ToolError
from .outside_text import secrets, visible, without_secrets
from .paths import open_plain

Echo = Callable[[str], None]
WARDEN = Path(__file__).with_name("_session_reaper.py")


def quoted(argv: Sequence[str | os.PathLike[str]]) -> str:
    """The command as one line to paste into a shell."""
    return shlex.join(os.fspath(arg) for arg in argv)


def capture(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str],
    timeout: float = 20.0,
    merge: bool = False,
) -> str:
    """Run a short command and return its output (with ``merge``, stderr too).

    Raises :class:`ToolError` if it cannot be started, exits with another code than 0, or takes over ``timeout``
    seconds.
    """
    command = [os.fspath(arg) for arg in argv]
    with _temporary() as said, _temporary() as complained:
        status = _run_briefly(command, env, timeout, said, said if merge else complained)
        output, errors = (_read_back(file) for file in (said, complained))
    if status:
        told = (output if merge else errors or output).strip()
        last = " / ".join(told.splitlines()[-3:])
        failed = ToolError(f"`{quoted(command)}` failed with exit code {status}: {last}")
        failed.output = told
        raise failed
    return output


_MOST_OF_AN_ANSWER = 8 << 20
"""Bytes. A git listing of 12,000 files has one MB; a program that prints endlessly is stopped at twice this limit."""


def _run_briefly(
    command: list[str], env: Mapping[str, str], timeout: float, said: IO[bytes], complained: IO[bytes]
) -> int:
    """Run it in its own session, end that whole session, and return the exit status. Raises ToolError."""
    try:
        child = subprocess.Popen(
            command,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=complained,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ToolError(f"`{quoted(command)}` cannot be started: {why}") from None
    warden = None
    deadline = time.monotonic() + timeout
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                return child.wait(timeout=min(_GLANCE, max(deadline - time.monotonic(), 0.01)))
            warden = warden or _warden(child.pid)
            if any(os.fstat(file.fileno()).st_size > 2 * _MOST_OF_AN_ANSWER for file in (said, complained)):
                raise ToolError(f"`{quoted(command)}` printed over {_MOST_OF_AN_ANSWER >> 20} MB")
            if time.monotonic() > deadline:
                raise ToolError(f"`{quoted(command)}` did not answer within {timeout:g} s")
    finally:
        # End its background processes, too.
        if child.returncode is None or _has_members(child.pid):
            end_session(child.pid, patience=1.0)
            child.wait()
        if warden is not None:
            warden.communicate(DONE)


def _has_members(group: int) -> bool:
    """Whether a process of the group is alive; cheaper than reading all of /proc, so it is checked first."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


_GLANCE = 0.5
"""Seconds between checks of a program that runs longer than that."""


def _temporary() -> IO[bytes]:
    """A file, not a pipe: it needs no reader thread, and background processes cannot keep it open for us."""
    return tempfile.TemporaryFile(prefix="mamba-answer-")


def _read_back(file: IO[bytes]) -> str:
    file.seek(0)
    text = file.read(_MOST_OF_AN_ANSWER).decode("utf-8", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


_STEP = "+ cd "
"""The start of each command's part of a log."""


_MOST_OF_A_LOG = 32 << 20
"""Bytes."""


def last_step(log: Path) -> str:
    """The part of a log that belongs to the last command of :func:`stream`. Raises OSError."""
    with open_plain(log) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _MOST_OF_A_LOG))
        text = file.read().decode("utf-8", "replace")
    return text[max(0, text.rfind(f"\n{_STEP}")) :]


def stream(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str],
    cwd: Path,
    log: Path,
    echo: Echo,
    patience: float = 5.0,
    beat: Callable[[int], None] | None = None,
    interval: float = 15.0,
) -> int:
    """Run a long command, pass each line of its output to ``echo`` and append it to ``log``; return its exit status.

    Every ``interval`` seconds, a separate thread calls ``beat`` with the command's session.

    If something ends the wait early (Ctrl-C, SIGTERM turned into an exception, a full disk under the log), every
    process of the child's session is ended first, after ``patience`` seconds to exit by itself.
    """
    command = [os.fspath(arg) for arg in argv]
    with log.open("a", encoding="utf-8", errors="replace") as sink:
        _note(sink, f"{_STEP}{shlex.quote(str(cwd))}\n+ {quoted(command)}\n")
        child = _started(command, env, cwd)
        warden = _warden(child.pid)
        ended = threading.Event()
        if beat is not None:
            threading.Thread(target=_beat, args=(beat, child.pid, interval, ended), daemon=True).start()
        done = ""
        try:
            assert child.stdout is not None
            for line in child.stdout:
                sink.write(line)
                echo(line.rstrip("\n"))
            return child.wait()
        finally:
            # Normally the session is empty by now; a killed compiler may leave orphaned children.
            try:
                end_session(child.pid, patience=patience)
                child.wait()
                done = DONE
            finally:
                if child.stdout is not None:
                    child.stdout.close()
                ended.set()
                if warden is not None:
                    # If stdin closes without DONE, the reaper kills the session.
                    warden.communicate(done)


_UMASK = 0o022
"""Fixed, because file modes end up in the wheel; the build's own folder protects its files."""


def _started(command: list[str], env: Mapping[str, str], cwd: Path) -> subprocess.Popen[str]:
    """Start the command in its own session, with stdout and stderr in one stream. Raises ToolError."""
    try:
        return subprocess.Popen(
            command,
            env=dict(env),
            cwd=cwd,
            text=True,
            encoding="utf-8",
            errors="replace",
            bufsize=1,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=_UMASK,
        )
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ToolError(f"`{quoted(command)}` cannot be started: {why}") from None


def _beat(beat: Callable[[int], None], session: int, interval: float, ended: threading.Event) -> None:
    with suppress(OSError):  # the reader is gone
        while not ended.wait(interval):
            beat(session)


def _warden(session: int) -> subprocess.Popen[str] | None:
    """Start the session's reaper; None if the system cannot start more processes, and the session runs without one."""
    with suppress(OSError):
        return subprocess.Popen(
            [sys.executable, "-I", "-S", WARDEN, str(session)],
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    return None


def _note(sink: IO[str], text: str) -> None:
    sink.write(text)
    sink.flush()


def say(text: str) -> None:
    """Print one line of progress to stderr, so that stdout stays free for machine-readable output."""
    print(visible(without_secrets(text, secrets(os.environ))), file=sys.stderr, flush=True)
