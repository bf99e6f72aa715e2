"""The hierarchy of all errors that a user may see.

Every error says three things: what was found, what is needed, and which command fixes it. The hooks and the CLI catch
only :class:`BackendError`, so our own bugs keep their traceback and a user's mistake never shows one.
"""

from __future__ import annotations

import errno
import re
import textwrap
from dataclasses import dataclass
from typing import Any

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""OSError numbers of a disk that cannot be written any more."""


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
    """Split a fix as plans write it, ``command   (comment)``, into the command and the comment (or an empty string)."""
    found = _COMMENT.search(way)
    return (way[: found.start()], found[1]) if found else (way, "")


def with_comment(command: str, comment: str) -> str:
    """The inverse of :func:`parts_of`."""
    return f"{command}   ({comment})" if comment else command


def with_command(note: str, command: str) -> str:
    """A note, and its command on a line of its own, so that no line break falls into the command."""
    return f"{note}\n{command}" if command else note


def ways(fix: tuple[str, ...], width: int = _COLUMNS) -> list[str]:
    """The lines that show fixes, the recommended one first. Commands are never wrapped; comments are shell comments."""
    out: list[str] = []
    for i, way in enumerate(fix):
        written, comment = parts_of(way)
        command = _as_instruction(written)
        label = "or:  " if i else "do:  " if _INSTRUCTION.match(command) else "fix: "
        out += way_lines(label, command, comment, width)
    return out


def command_of(way: str) -> str:
    """The command of a way out, without its comment; empty where the way is an instruction and no command."""
    command, _ = parts_of(way)
    return "" if _INSTRUCTION.match(_as_instruction(command)) else command


def _as_instruction(command: str) -> str:
    """A setting as the words that say where it belongs; a command as it is."""
    if command.startswith("-C "):
        return f"add {command} to the command"
    return f"add {command} in front of the command" if _VARIABLES.fullmatch(command) else command


def way_lines(label: str, command: str, comment: str, width: int = _COLUMNS) -> list[str]:
    """The lines of one fix: the unwrapped command, with its comment next to it or below."""
    line = f"  {label} {command}"
    if not comment:
        return [line]
    if len(line) + len(comment) + 4 <= width:
        return [f"{line}  # {comment}"]
    margin = " " * 8 + "# "
    return [line, *textwrap.wrap(comment, width, initial_indent=margin, subsequent_indent=margin, **UNBROKEN)]


_VARIABLES = re.compile(r"(?:MAMBA_BUILD_\w+=(?:'[^']*'|[^\s'])+ ?)+")
"""Settings as variables, for a pip that is too old for ``-C``."""
_INSTRUCTION = re.compile(r"(?:add|use|install NVIDIA's) ")
"""An instruction, not a command: it gets another label."""
UNBROKEN: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
"""For textwrap: a path or a command stays whole."""


class BackendError(Exception):
    """Base of all errors that the user can fix. ``exit_code`` is the process's exit status."""

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
    """The upstream source is not available, or has unexpected content."""

    exit_code = 4
    code = "source"


class BuildFailedError(BackendError):
    """Upstream's build failed, or produced nothing that can be shipped."""

    exit_code = 5
    code = "build"


class AuditError(BackendError):
    """A finished wheel does not keep its promises, or is not a wheel."""

    exit_code = 6
    code = "audit"


class StorageError(BackendError):
    """A folder cannot be written: full, read-only, or not a folder."""

    exit_code = 7
    code = "storage"


class ToolError(BackendError):
    """A program that the backend runs could not be started, failed, or took too long."""

    exit_code = 8
    code = "tool"
    output: str = ""
    """The output of the failed program."""


INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells report it (128 + SIGINT)."""
