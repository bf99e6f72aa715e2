"""Recognise known failures in a log and return cause and fixes. No I/O: text in, answers out.

``tables/failures.toml`` lists failures in order of rank: if a log matches several, the first cause is the answer. A
*place* (Windows, macOS, an AMD GPU) outranks causes of compiled code. *Frames* (messages that say only *that* something
failed) count only if no cause was found.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from ..core.commands import Here
from ..core.errors import with_comment
from .advice import Advice, UnfillableError
from .failure_table import Failure, Fix, load_failures
from .log_evidence import Evidence
from .log_text import ERROR, cleaned, first_error
from .long_log import WHOLE, read_log

__all__ = ["Diagnosis", "Explanation", "Fix", "diagnosis_json", "explain", "load_failures"]

SCHEMA = 1


@dataclass(frozen=True)
class Explanation:
    """A failure that a text matches."""

    id: str
    line: str
    """The matching line of the text."""
    cause: str
    fixes: tuple[Fix, ...]
    reported: tuple[str, ...]

    @property
    def fix(self) -> tuple[str, ...]:
        """All fixes, as text."""
        return tuple(with_comment(item.text, item.why) for item in self.fixes)

    @property
    def own_fix(self) -> tuple[str, ...]:
        """The fixes for a build by this backend, as text."""
        return tuple(with_comment(item.text, item.why) for item in self.fixes if not item.elsewhere)


@dataclass(frozen=True)
class Diagnosis:
    """All failures that a text matches, the most specific first."""

    explanations: tuple[Explanation, ...]
    first_error: str
    """The first error line, if a compile failed and no cause was recognised; empty otherwise."""


def explain(text: str, here: Here | None = None) -> Diagnosis:
    """Recognise known failures in a build log or a traceback; ``here`` describes where the user will run the commands."""
    if len(text) > 2 * WHOLE:
        text = read_log(BytesIO(text.encode("utf-8", errors="replace")))
    text = cleaned(text)
    evidence = Evidence(text)
    found = _found(text, evidence)
    if not found and len(text) < _FEW_WORDS and "\n" not in text.strip():
        found = [(item, match) for item in load_failures() if item.fragment and (match := item.fragment.search(text))]
    places = sorted((pair for pair in found if pair[0].kind == "place"), key=lambda pair: bool(pair[0].hint))
    causes = [pair for pair in found if pair[0].kind == "cause"]
    ranked = (*places, *causes) if not causes or causes[0][0].native else (*causes, *places)
    told = ranked or tuple(found)
    return Diagnosis(
        tuple(_explanation(item, match, evidence, here or Here()) for item, match in told),
        "" if ranked else first_error(text),
    )


Found = list[tuple[Failure, "re.Match[str]"]]


def _found(text: str, evidence: Evidence) -> Found:
    """Return all rows that match.

    A matching place is shown with the first line about compiled code, if there is one.
    """
    found, hinted = [], []
    anchor: re.Match[str] | None = None
    for item in load_failures():
        if item.kind == "place" and item.hint:
            hinted.append(item)
            continue
        if not any(word in text for word in item.words):
            continue
        match = item.pattern.search(text)
        if match is None or (item.hint and not getattr(evidence, item.hint)):
            continue
        if (item.also and not item.also.search(text)) or (item.unless and item.unless.search(text)):
            continue
        anchor = anchor or (match if item.native and item.kind != "place" else None)
        found.append((item, match))
    if anchor is not None:
        tells = ERROR.search(_line(text, anchor)) is not None
        found += [
            (item, anchor if tells else evidence.place(item.hint) or anchor)
            for item in hinted
            if getattr(evidence, item.hint)
        ]
    return found


_FEW_WORDS = 200
"""Text with fewer characters counts as typed by hand, not as a log."""

_LONGEST = 2000
"""Characters of a line that are kept on each side of a match; a binary file may be one line."""


def _line(text: str, match: re.Match[str]) -> str:
    """Return the line in which a match begins."""
    start = max(text.rfind("\n", 0, match.start()) + 1, match.start() - _LONGEST)
    end = text.find("\n", match.start())
    return text[start : min(end if end >= 0 else len(text), match.start() + _LONGEST)].strip()


def _explanation(item: Failure, match: re.Match[str], evidence: Evidence, here: Here) -> Explanation:
    line = _line(evidence.text, match)
    groups = dict.fromkeys(item.pattern.groupindex, "…")
    groups.update({name: value for name, value in match.groupdict().items() if value is not None})
    for name in [name for name in groups if name[-1].isdigit() and groups[name] != "…"]:
        groups[name.rstrip("0123456789")] = groups[name]  # the same group in several forms of a message
    advice = Advice(evidence, line, groups, here)
    cause = " ".join([_cause(item, advice), *advice.asides(native=item.native)])
    return Explanation(item.id, _shortened(line), cause, tuple(advice.fixes(item.fixes)), item.reported)


def _cause(item: Failure, advice: Advice) -> str:
    """Return the sentences of a cause whose gaps the log fills."""
    out = []
    for sentence in re.split(r"(?<=[.?]) (?=[A-Z{])", item.cause):
        try:
            out.append(advice.filled(sentence))
        except UnfillableError:
            continue
    return " ".join(out)


def _shortened(line: str) -> str:
    return line if len(line) <= 300 else line[:299] + "…"


def diagnosis_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return the diagnosis as JSON data."""
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
