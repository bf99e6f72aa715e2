"""Format a diagnosis for people: the line, the cause, one command, and alternatives. No I/O."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from ..core.errors import UNBROKEN, way_lines
from .known_failures import Diagnosis, Explanation

WIDTH = 80
"""Columns, if the caller does not give a width."""
FOUND, CAUSE, COMMAND, DIM, PLAIN = "found", "cause", "command", "dim", ""
"""Kinds of lines, for their colour."""

_MARGIN = 10


def diagnosis_lines(diagnosis: Diagnosis, *, everything: bool = False, width: int = WIDTH) -> Iterator[tuple[str, str]]:
    """Yield ``(kind, line)``: the first explanation in full, the others by name unless ``everything``."""
    if not diagnosis.explanations:
        yield from ((PLAIN, line) for line in _UNKNOWN.splitlines())
        if diagnosis.first_error:
            yield PLAIN, "The first error line is:"
            yield FOUND, f"  {diagnosis.first_error}"
        return
    shown = diagnosis.explanations if everything else diagnosis.explanations[:1]
    for number, item in enumerate(shown):
        if number:
            yield PLAIN, ""
        yield from _one(item, width)
    if diagnosis.first_error:
        yield PLAIN, ""
        yield PLAIN, "The real error is most likely the first error line:"
        yield FOUND, f"  {diagnosis.first_error}"
    others = [item.id for item in diagnosis.explanations[len(shown) :]]
    if others:
        yield PLAIN, ""
        told = f"also recognised, but less specific (--all shows them): {', '.join(others)}"
        yield from ((DIM, line) for line in textwrap.wrap(told, width, subsequent_indent="  ", **UNBROKEN))


def _one(item: Explanation, width: int) -> Iterator[tuple[str, str]]:
    yield FOUND, f"{'found:':<{_MARGIN}}{item.line}"
    indent = " " * _MARGIN
    cause = textwrap.wrap(
        item.cause, width, initial_indent=f"{'cause:':<{_MARGIN}}", subsequent_indent=indent, **UNBROKEN
    )
    yield from ((CAUSE, line) for line in cause)
    for number, fix in enumerate(item.fixes):
        label = "or:  " if number else "fix: " if fix.is_command else "do:  "
        for line in way_lines(label, fix.text, fix.why, width):
            yield (DIM if line.lstrip().startswith("#") else COMMAND), line
    reported = textwrap.wrap(
        f"{'reported:':<{_MARGIN}}{', '.join(item.reported)}", width, subsequent_indent=indent, **UNBROKEN
    )
    yield from ((DIM, line) for line in reported)


def diagnosis_text(diagnosis: Diagnosis, *, everything: bool = False, width: int = WIDTH) -> str:
    """Return the same lines as plain text."""
    return "".join(f"{line}\n" for _, line in diagnosis_lines(diagnosis, everything=everything, width=width))


_UNKNOWN = """\
unknown: no known failure matches this text.
  fix:  python -m mamba_build_backend doctor -v
        # shows the planned build, and what is missing for it
For a report, attach the whole log (the first error is the real one, later ones
repeat it), and machine.json, which has no user name, host name or token:
  python -m mamba_build_backend doctor --save machine.json
"""
