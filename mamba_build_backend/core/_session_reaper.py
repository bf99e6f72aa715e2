"""Ends a session of processes when the backend that started it is gone: standard library only.

Ctrl-C and SIGTERM the backend handles itself. Of SIGKILL (too little memory, a cluster's last word) it hears nothing, and its
compilers would go on for an hour. So each session gets a warden: ``python _session_reaper.py SESSION`` waits for its stdin, which the
backend alone holds open, to say that all is done, or to close.
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

    SIGTERM comes once to each: a second one would break off what the first has begun.
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
    """The processes of a session that are alive."""
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


def main() -> None:
    """Wait; end the session unless it was said to be done."""
    if sys.stdin.readline().strip() != DONE:
        end_session(int(sys.argv[1]))


if __name__ == "__main__":
    main()
