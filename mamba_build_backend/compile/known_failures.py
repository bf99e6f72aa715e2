"""Known failures: what a log says, why, and what to type. Pure: text in, answers out.

``tables/failures.toml`` holds them in order of rank: where a log matches several, the first cause is the answer, and the
frames (messages that say only *that* something failed) count where no cause was found.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from ..core.errors import ways
from ..tables import read_rows
from .log_text import FirstError, bounded, required, windows

SCHEMA = 1


@dataclass(frozen=True)
class Fix:
    """One way out. ``elsewhere``: it is for who builds by other means than this backend, or only read the message."""

    text: str
    elsewhere: bool = False


@dataclass(frozen=True)
class Failure:
    """A row of the table."""

    id: str
    frame: bool
    pattern: re.Pattern[str]
    words: tuple[str, ...]
    """One of them is in whatever the pattern matches; empty where none is known."""
    fragment: re.Pattern[str] | None
    """What suffices in a few words that somebody typed, and would not in a log."""
    cause: str
    fixes: tuple[Fix, ...]
    reported: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    """A failure that was recognised in a text."""

    id: str
    line: str
    """The line of the text that says so."""
    cause: str
    fixes: tuple[Fix, ...]
    reported: tuple[str, ...]

    @property
    def fix(self) -> tuple[str, ...]:
        """All ways out, as text."""
        return tuple(item.text for item in self.fixes)

    @property
    def own_fix(self) -> tuple[str, ...]:
        """Those for a build by this backend."""
        return tuple(item.text for item in self.fixes if not item.elsewhere)


@dataclass(frozen=True)
class Diagnosis:
    """All that was recognised in a text, the most telling first."""

    explanations: tuple[Explanation, ...]
    first_error: str
    """The first line that names an error, where a compile failed and no cause was recognised; empty otherwise."""


@lru_cache(maxsize=1)
def load_failures() -> tuple[Failure, ...]:
    """Read and check the table. Raises ValueError for a row that is incomplete, has no source or a broken pattern."""
    rows = read_rows("failures", "id", "kind", "pattern", "cause", "fix", "reported", array="failure")
    out = []
    for row in rows:
        try:
            pattern = bounded(row["pattern"])
            fragment = bounded(row["fragment"]) if "fragment" in row else None
        except re.error as error:
            raise ValueError(f"tables/failures.toml: {row['id']}: {error}") from None
        if row["kind"] not in ("cause", "frame"):
            raise ValueError(f"tables/failures.toml: {row['id']}: kind {row['kind']!r}")
        out.append(
            Failure(
                id=row["id"],
                frame=row["kind"] == "frame",
                pattern=pattern,
                words=required(row["pattern"]),
                fragment=fragment,
                cause=row["cause"],
                fixes=tuple(_fix(row["id"], item) for item in row["fix"]),
                reported=tuple(row["reported"]),
            )
        )
    if len({item.id for item in out}) != len(out):
        raise ValueError("tables/failures.toml: an id stands twice")
    return tuple(out)


def _fix(name: str, item: Any) -> Fix:
    if isinstance(item, str):
        return Fix(item)
    if set(item) != {"elsewhere"}:
        raise ValueError(f"tables/failures.toml: {name}: a fix is a text, or one under the key 'elsewhere'")
    return Fix(item["elsewhere"], elsewhere=True)


def explain(text: str | Iterable[str]) -> Diagnosis:
    """Recognise known failures in a build log or a traceback, which may come in pieces; the first match of each counts."""
    failures, found, error, few = load_failures(), {}, FirstError(), ""
    for window in windows([text] if isinstance(text, str) else text):
        for item in failures:
            if item.id in found or (item.words and not any(word in window.text for word in item.words)):
                continue
            if match := item.pattern.search(window.text):
                found[item.id] = _explanation(item, match, window.text)
        error.look(window.text[window.new :])
        few = window.text if window.last and not window.new else ""
    if not found and len(few) < _FEW_WORDS and "\n" not in few.strip():
        matches = [(item, item.fragment.search(few)) for item in failures if item.fragment]
        found = {item.id: _explanation(item, match, few) for item, match in matches if match}
    causes = [item.id for item in failures if item.id in found and not item.frame]
    told = causes or [item.id for item in failures if item.id in found]
    return Diagnosis(tuple(found[id_] for id_ in told), "" if causes else error.line)


_FEW_WORDS = 200
"""Characters of what is typed by hand, as opposed to a log."""


def _explanation(item: Failure, match: re.Match[str], text: str) -> Explanation:
    start = text.rfind("\n", 0, match.start()) + 1
    end = text.find("\n", match.start())
    line = text[start : end if end >= 0 else None].strip()
    groups = dict.fromkeys(item.pattern.groupindex, "…")
    groups.update({name: value for name, value in match.groupdict().items() if value is not None})
    return Explanation(
        item.id,
        line if len(line) <= 300 else line[:299] + "…",
        item.cause.format_map(groups),
        tuple(replace(fix, text=fix.text.format_map(groups)) for fix in item.fixes),
        item.reported,
    )


def diagnosis_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """For a machine to read."""
    return {
        "schema": SCHEMA,
        "known": bool(diagnosis.explanations),
        "first-error": diagnosis.first_error,
        "explanations": [
            {
                "id": item.id,
                "line": item.line,
                "cause": item.cause,
                "fix": list(item.fix),
                "reported": list(item.reported),
            }
            for item in diagnosis.explanations
        ],
    }


def diagnosis_text(diagnosis: Diagnosis, *, everything: bool = False) -> str:
    """For a person: the first answer whole, and the others by name unless ``everything``."""
    if not diagnosis.explanations:
        return _UNKNOWN + (
            f"The first line that names an error:\n  {diagnosis.first_error}\n" if diagnosis.first_error else ""
        )
    shown = diagnosis.explanations if everything else diagnosis.explanations[:1]
    out = []
    for item in shown:
        cause = textwrap.wrap(item.cause, 100, initial_indent="cause:    ", subsequent_indent=" " * 10)
        out += [f"found:    {item.line}", *cause]
        out += ways(item.fix)
        out += [f"reported: {', '.join(item.reported)}", ""]
    if diagnosis.first_error:
        out += ["The first line that names an error, which is what to look at:", f"  {diagnosis.first_error}", ""]
    others = [item.id for item in diagnosis.explanations[len(shown) :]]
    if others:
        out.append(f"also recognised, and less telling: {', '.join(others)}   (--all shows them)")
    return "\n".join(out).rstrip() + "\n"


_UNKNOWN = """\
unknown: no known failure was recognised in this text.
  type: python -m mamba_build_backend doctor -v   (what would be built here, and what stands in its way)
For a report, attach the whole log (not its last lines: the first error tells, the last ones are echoes), and
  python -m mamba_build_backend doctor --save machine.json   (it holds no user name, host name or token)
"""
