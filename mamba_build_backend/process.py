"""The only place that starts a process.

A command is a list, its environment is explicit, every line of its output goes to a log, and nothing that it started
outlives it: each child leads a session of its own, and the whole session is ended when we stop early.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from .errors import ToolError

Echo = Callable[[str], None]


def quoted(argv: Sequence[str | os.PathLike[str]]) -> str:
    """The command as one line that can be pasted into a shell."""
    return shlex.join(os.fspath(arg) for arg in argv)


def capture(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str],
    timeout: float = 20.0,
    merge: bool = False,
) -> str:
    """Run a short command and return what it printed (with ``merge``, stderr too).

    Raises :class:`ToolError` if it cannot be started, exits with anything but 0, or takes over ``timeout`` seconds.
    """
    command = [os.fspath(arg) for arg in argv]
    try:
        done = subprocess.run(
            command,
            env=dict(env),
            timeout=timeout,
            check=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge else subprocess.PIPE,
        )
    except subprocess.TimeoutExpired:
        raise ToolError(f"`{quoted(command)}` gave no answer in {timeout:g} s") from None
    except subprocess.CalledProcessError as error:
        said = ((error.stdout or "") if merge else (error.stderr or error.stdout or "")).strip().splitlines()
        raise ToolError(
            f"`{quoted(command)}` failed with exit code {error.returncode}: {' / '.join(said[-3:])}"
        ) from None
    except OSError as error:
        raise ToolError(f"`{quoted(command)}` cannot be started: {error.strerror or error}") from None
    return done.stdout


def stream(
    argv: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str],
    cwd: Path,
    log: Path,
    echo: Echo,
    patience: float = 5.0,
) -> int:
    """Run a long command, hand each line of its output to ``echo`` and append it to ``log``; return its exit status.

    Whatever ends the wait early (Ctrl-C, SIGTERM turned into an exception, a full disk under the log) first ends every
    process of the child's session, which gets ``patience`` seconds to do so itself.
    """
    command = [os.fspath(arg) for arg in argv]
    with log.open("a", encoding="utf-8", errors="replace") as sink:
        _note(sink, f"+ cd {shlex.quote(str(cwd))}\n+ {quoted(command)}\n")
        try:
            child = subprocess.Popen(
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
            )
        except OSError as error:
            raise ToolError(f"`{quoted(command)}` cannot be started: {error.strerror or error}") from None
        try:
            assert child.stdout is not None
            for line in child.stdout:
                sink.write(line)
                echo(line.rstrip("\n"))
            return child.wait()
        except BaseException:
            end_session(child.pid, patience=patience)
            child.wait()
            raise
        finally:
            if child.stdout is not None:
                child.stdout.close()


def end_session(session: int, *, patience: float = 5.0) -> None:
    """End every process of a session: SIGTERM first (ninja then stops its own groups), SIGKILL after ``patience`` s."""
    deadline = time.monotonic() + patience
    sent = signal.SIGTERM
    while members := _session_members(session):
        for pid in members:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, sent)
        if time.monotonic() > deadline:
            if sent is signal.SIGKILL:
                return
            sent, deadline = signal.SIGKILL, time.monotonic() + patience
        time.sleep(0.05)


def _session_members(session: int) -> list[int]:
    # ninja gives each of its jobs a process group of its own, so a group is not enough; the session is.
    members = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        # "pid (comm) state ppid pgrp session …", proc(5); comm may hold spaces and brackets.
        state, _, _, sid = stat.rpartition(")")[2].split()[:4]
        if int(sid) == session and state not in ("Z", "X"):
            members.append(int(entry.name))
    return members


def _note(sink: IO[str], text: str) -> None:
    sink.write(text)
    sink.flush()


def say(text: str) -> None:
    """Print one line of progress to stderr, so that stdout stays free for what a machine reads."""
    print(text, file=sys.stderr, flush=True)
