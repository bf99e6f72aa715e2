"""End a session of processes when the backend that started it is gone. Standard library only.

The backend handles Ctrl-C and SIGTERM itself. It cannot handle SIGKILL (OOM killer, batch scheduler), and its compilers
would run on for an hour as orphans. So each session gets a reaper: ``python _session_reaper.py SESSION`` reads its
stdin, which only the backend holds open. On ``done`` the reaper exits; if stdin closes without it, the reaper ends the
session.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

DONE = "done"


def end_session(session: int, *, patience: float = 5.0) -> None:
    """End every process of a session: SIGTERM first (ninja then stops its own groups), SIGKILL after ``patience`` s.

    Each process gets SIGTERM once: a second one would interrupt the cleanup that the first one started.
    """
    deadline = time.monotonic() + patience
    sent = signal.SIGTERM
    told: set[int] = set()
    while members := session_members(session):
        for pid in members:
            if pid not in told:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, sent)
        if sent is signal.SIGTERM:
            told.update(members)
        if time.monotonic() > deadline:
            if sent is signal.SIGKILL:
                return
            sent, deadline = signal.SIGKILL, time.monotonic() + patience
            told.clear()
        time.sleep(0.05)


def session_members(session: int) -> list[int]:
    """The live processes of a session."""
    # ninja gives each job its own process group, so killing a group would miss some; the session covers all.
    members = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        # "pid (comm) state ppid pgrp session …", proc(5); comm may contain spaces and brackets.
        state, _, _, sid = stat.rpartition(")")[2].split()[:4]
        if int(sid) == session and state not in ("Z", "X"):
            members.append(int(entry.name))
    return members


def main() -> None:
    """Wait for stdin; end the session unless stdin says ``done``."""
    if sys.stdin.readline().strip() != DONE:
        end_session(int(sys.argv[1]))


if __name__ == "__main__":
    main()
