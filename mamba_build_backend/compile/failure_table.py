"""The table of known failures: ``tables/failures.toml`` has the patterns, ``tables/failure_words.toml`` the words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..tables import read_rows
from .log_text import bounded, required

KINDS = ("place", "cause", "frame")
GROUPS = ("glibc", "import", "compiler", "nvcc", "gpu", "pip", "network", "memory", "python", "run", "system")
"""What a user sees of a failure: docs/troubleshooting.md lists the failures by these, in this order."""


@dataclass(frozen=True)
class Fix:
    """A fix: a command (``run``), or an instruction where no command exists (``do``).

    ``elsewhere``: for users who build with other tools, or who only ask about a message.
    """

    text: str
    is_command: bool
    why: str = ""
    elsewhere: bool = False


@dataclass(frozen=True)
class Failure:
    """A row: the patterns that recognise a failure, and the words for it."""

    id: str
    kind: str
    group: str
    """One of GROUPS."""
    title: str
    """Its heading in the documentation; empty where the line of its sample is the heading."""
    pattern: re.Pattern[str]
    words: tuple[str, ...]
    """Every match of the pattern contains one of these; a search for them first takes a hundredth of the time."""
    fragment: re.Pattern[str] | None
    """A weaker pattern, only for a few words that somebody typed, never for a log."""
    also: re.Pattern[str] | None
    """The text must also match this."""
    unless: re.Pattern[str] | None
    """The text must not match this."""
    hint: str
    """A property of :class:`~.log_evidence.Evidence` that must be true for the log; empty for none."""
    native: bool
    """Whether the failure is about compiled code: then a log from another system or GPU vendor outranks this row."""
    cause: str
    fixes: tuple[Fix, ...]
    reported: tuple[str, ...]

    @property
    def frame(self) -> bool:
        """Whether the row says only that something failed."""
        return self.kind == "frame"


@lru_cache(maxsize=1)
def load_failures() -> tuple[Failure, ...]:
    """Read and check both files. Raises ValueError if a row is incomplete, has no source, or has a broken pattern."""
    words = {row["id"]: row for row in read_rows("failure_words", "id", "cause", "fix", array="words")}
    rows = read_rows("failures", "id", "kind", "group", "pattern", "reported", array="failure")
    ids = [row["id"] for row in rows]
    if sorted(ids) != sorted(words):
        raise ValueError(
            f"tables/failures.toml and failure_words.toml: {sorted(set(ids) ^ set(words))}, or an id twice"
        )
    return tuple(_failure(row, words[row["id"]]) for row in rows)


def _failure(row: dict[str, Any], words: dict[str, Any]) -> Failure:
    name = row["id"]
    if row["kind"] not in KINDS:
        raise ValueError(f"tables/failures.toml: {name}: kind {row['kind']!r}")
    if row["group"] not in GROUPS:
        raise ValueError(f"tables/failures.toml: {name}: group {row['group']!r}")

    def compiled(key: str) -> re.Pattern[str] | None:
        try:
            return bounded(row[key]) if key in row else None
        except re.error as error:
            raise ValueError(f"tables/failures.toml: {name}: {error}") from None

    pattern = compiled("pattern")
    assert pattern is not None
    return Failure(
        id=name,
        kind=row["kind"],
        group=row["group"],
        title=row.get("title", ""),
        pattern=pattern,
        words=required(row["pattern"]),
        fragment=compiled("fragment"),
        also=compiled("also"),
        unless=compiled("unless"),
        hint=row.get("hint", ""),
        native=row.get("native", True),
        cause=words["cause"],
        fixes=tuple(_fix(name, item) for item in words["fix"]),
        reported=tuple(row["reported"]),
    )


def _fix(name: str, item: dict[str, Any]) -> Fix:
    if not {"run", "do"} & set(item) or set(item) - {"run", "do", "why", "elsewhere"}:
        raise ValueError(
            f"tables/failure_words.toml: {name}: a fix has 'run' or 'do', and perhaps 'why' and 'elsewhere'"
        )
    return Fix(item.get("run") or item["do"], "run" in item, item.get("why", ""), item.get("elsewhere", False))
