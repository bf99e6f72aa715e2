"""The one hierarchy of errors that a user may see.

Every error says three things: what was found, what is needed, and what to type. The hooks and the CLI catch
:class:`BackendError` and nothing else, so a bug of ours keeps its traceback and a user's mistake never has one.
"""

from __future__ import annotations

import errno
import re
import textwrap
from dataclasses import dataclass
from typing import Any

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What an OSError says of a disk that takes no more."""


@dataclass(frozen=True)
class Problem:
    """One reason why a plan cannot be carried out.

    ``code`` is stable and machine-readable; ``found`` and ``needed`` are sentences without a full stop; ``fix``
    holds commands or instructions, one a line, the recommended one first.
    """

    code: str
    found: str
    needed: str
    fix: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What was found and what is needed."""
        text = f"{self.found}; {self.needed}" if self.needed else self.found
        return text if text.endswith("?") else f"{text}."

    def lines(self) -> list[str]:
        """The problem as lines of text, without any prefix."""
        return [self.sentence, *ways(self.fix)]


_COMMENT = re.compile(r" {3}\((.*)\)\Z", re.DOTALL)
_COLUMNS = 80


def parts_of(way: str) -> tuple[str, str]:
    """A way out as plans write it, ``command   (comment)``: the command, and the comment or nothing."""
    found = _COMMENT.search(way)
    return (way[: found.start()], found[1]) if found else (way, "")


def with_comment(command: str, comment: str) -> str:
    """The inverse of :func:`parts_of`."""
    return f"{command}   ({comment})" if comment else command


def with_command(note: str, command: str) -> str:
    """A note and the command that belongs to it, on a line of its own: no line break may fall into a command."""
    return f"{note}\n{command}" if command else note


def ways(fix: tuple[str, ...], width: int = _COLUMNS) -> list[str]:
    """What to type, the recommended one first. A command is never broken, and its comment is one to a shell, too."""
    out: list[str] = []
    for i, way in enumerate(fix):
        command, comment = parts_of(way)
        if command.startswith("-C "):
            command = f"add {command} to the command"
        elif _VARIABLES.fullmatch(command):
            command = f"add {command} in front of the command"
        label = "or:  " if i else "do:  " if _INSTRUCTION.match(command) else "fix: "
        out += way_lines(label, command, comment, width)
    return out


def way_lines(label: str, command: str, comment: str, width: int = _COLUMNS) -> list[str]:
    """One way out: the command whole, its comment beside it or below."""
    line = f"  {label} {command}"
    if not comment:
        return [line]
    if len(line) + len(comment) + 4 <= width:
        return [f"{line}  # {comment}"]
    margin = " " * 8 + "# "
    return [line, *textwrap.wrap(comment, width, initial_indent=margin, subsequent_indent=margin, **UNBROKEN)]


_VARIABLES = re.compile(r"(?:MAMBA_BUILD_\w+=(?:'[^']*'|[^\s'])+ ?)+")
"""Settings, where pip is too old to take them as options."""
_INSTRUCTION = re.compile(r"(?:add|use|install NVIDIA's) ")
"""What no command does; it is only labelled otherwise."""
UNBROKEN: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
"""For textwrap: a path or a command stays whole."""


class BackendError(Exception):
    """Base of all errors that are the user's to mend. ``exit_code`` is the process's exit status."""

    exit_code = 1
    code = "error"

    def __init__(self, found: str, needed: str = "", fix: str | tuple[str, ...] = ()) -> None:
        """See :class:`Problem` for the meaning of the three parts."""
        fixes = (fix,) if isinstance(fix, str) else tuple(fix)
        self.problems: tuple[Problem, ...] = (Problem(self.code, found, needed, fixes),)
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """All problems as lines of text."""
        return [line for problem in self.problems for line in problem.lines()]


class SettingsError(BackendError):
    """A setting is unknown, misspelt, or has a value that cannot be read."""

    exit_code = 2
    code = "setting"


class PlanError(BackendError):
    """The machine lacks something that the build needs. Carries *all* the problems that the plan met."""

    exit_code = 3
    code = "plan"

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        """``problems`` must not be empty."""
        Exception.__init__(self, "\n".join(line for p in problems for line in p.lines()))
        self.problems = problems


class SourceError(BackendError):
    """The upstream source cannot be had, or is not what it should be."""

    exit_code = 4
    code = "source"


class BuildFailedError(BackendError):
    """Upstream's build failed, or left nothing that could be shipped."""

    exit_code = 5
    code = "build"


class AuditError(BackendError):
    """A finished wheel does not keep its promises, or is no wheel."""

    exit_code = 6
    code = "audit"


class StorageError(BackendError):
    """A folder cannot be written: it is full, read-only, or not a folder."""

    exit_code = 7
    code = "storage"


class ToolError(BackendError):
    """A program that the backend runs could not be started, failed, or took too long."""

    exit_code = 8
    code = "tool"
    output: str = ""
    """What the program itself printed, where it failed."""


INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells report it (128 + SIGINT)."""
