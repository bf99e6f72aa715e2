"""Collect a plan's warnings, notes and problems while it is made."""

from __future__ import annotations

from ..core.errors import Problem, with_command


class Notebook:
    """Collects notes and problems while a plan is being made."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self.problems: list[Problem] = []

    def warning(self, text: str) -> None:
        """A question that does not stop the build, shown before everything else."""
        self.warnings.append(text)

    def note(self, text: str, command: str = "") -> None:
        """Information that does not stop the build, optionally with a command."""
        self.notes.append(with_command(text, command))

    def problem(self, code: str, found: str, needed: str, *fix: str) -> None:
        """Something that stops the build; see :class:`~mamba_build_backend.core.errors.Problem`."""
        self.problems.append(Problem(code, found, needed, fix))


def counted(number: int, what: str) -> str:
    """A number with its noun.

    >>> counted(1, "core"), counted(2, "core")
    ('1 core', '2 cores')
    """
    return f"{number} {what}{'' if number == 1 else 's'}"
