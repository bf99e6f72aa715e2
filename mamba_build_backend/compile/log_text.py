"""Clean a log for searching, and bound the patterns so that a search takes linear time. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator

_TERMINAL = re.compile(r"\x1b\[[0-9;?]{0,50}[A-Za-z]")
# BuildKit's step and seconds, and hosted CI's timestamp before each line: they would break up messages of two lines.
_PREFIX = re.compile(
    r"^(?:#[0-9]{1,9} {1,9}[0-9]{1,9}\.[0-9]{1,9} ?|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{1,40}Z )", re.MULTILINE
)


def cleaned(text: str) -> str:
    """Remove colours, carriage returns of progress bars, and the prefixes that CI adds to lines."""
    return _PREFIX.sub("", _TERMINAL.sub("", text).replace("\r\n", "\n").replace("\r", "\n"))


_MOST = {r"\w": 2000, r"\S": 1000}
"""How often a class may repeat; the longest of torch's symbols have some thousand letters."""
_MOST_OF_OTHERS = 500


def bounded(pattern: str) -> re.Pattern[str]:
    r"""Compile a pattern with bounded repeats: two unbounded repeats in a row take quadratic time.

    >>> bounded(r"error .+ at [^>]*?>").pattern
    'error .{1,500} at [^>]{0,500}?>'

    Raises ``re.error``.
    """
    out, before, at = [], "", 0
    while at < len(pattern):
        part = _part(pattern, at)
        at += len(part)
        if part in ("+", "*") and before:
            part = f"{{{int(part == '+')},{_MOST.get(before, _MOST_OF_OTHERS)}}}"
        out.append(part)
        before = part
    return re.compile("".join(out))


def _part(pattern: str, at: int) -> str:
    """Return the escape, class, quantifier or letter at this index."""
    if pattern[at] == "\\":
        return pattern[at : at + 2]
    if pattern[at] == "[":
        end = at + 2 + (pattern[at + 1 : at + 2] == "^")  # "]" in first position is a letter
        while pattern[end : end + 1] not in ("]", ""):
            end += 2 if pattern[end] == "\\" else 1
        return pattern[at : end + 1]
    return pattern[at]


def required(pattern: str) -> tuple[str, ...]:
    r"""Return words of which every match contains one, to skip most patterns quickly. Empty if there are none.

    >>> required(r"(?:no|bad) module '\w+'|error: \d+ missing")
    (" module '", ' missing')
    """
    return _alternatives(pattern, 0, caseless=False)[0]


_LOOK_AROUND = ("(?=", "(?!", "(?<=", "(?<!")
"""Beginnings of groups that match no letters."""
_SHORTEST = 3


def _alternatives(pattern: str, at: int, *, caseless: bool) -> tuple[tuple[str, ...], int]:
    """Return the words of a group's branches (none if a branch has none), and the index where the group ends."""
    words: list[tuple[str, ...]] = []
    while True:
        branch, at = _branch(pattern, at, caseless=caseless)
        words.append(branch)
        if pattern[at : at + 1] != "|":
            known = tuple(word for item in words for word in item) if all(words) else ()
            return tuple(dict.fromkeys(known)), at
        at += 1


def _branch(pattern: str, at: int, *, caseless: bool) -> tuple[tuple[str, ...], int]:
    """Return the most specific words of a branch, and the index where the branch ends."""
    best: tuple[str, ...] = ()
    run = ""
    while at < len(pattern) and pattern[at] not in "|)":
        if pattern[at] == "(":
            opened = at
            inside = _inside(pattern, at)
            found, at = _alternatives(pattern, inside, caseless=caseless or pattern.startswith("(?i:", opened))
            found = () if pattern.startswith(_LOOK_AROUND, opened) else found
            letter, at = "", at + 1
        else:
            part = _part(pattern, at)
            letter, found, at = _letter(part), (), at + len(part)
            letter = "" if caseless and letter.isalpha() else letter
        least, at = _least(pattern, at)
        if letter and least == (1, 1):
            run += letter
            continue
        best, run = _telling(best, (run,)), letter if letter and least[0] else ""
        best = _telling(best, found) if least[0] else best
    return _telling(best, (run,)), at


def _inside(pattern: str, at: int) -> int:
    """Return the index where the content of this group begins."""
    match = re.compile(r"\((?:\?(?:P<\w+>|<?[=!]|[a-z]*:))?").match(pattern, at)
    assert match is not None
    return match.end()


def _letter(part: str) -> str:
    """Return the one letter that a part matches; empty for a class or an anchor."""
    if part[0] == "\\":
        return {"n": "\n", "t": "\t"}.get(part[1], "" if part[1].isalnum() else part[1])
    return "" if part[0] in "[.^$" else part


def _least(pattern: str, at: int) -> tuple[tuple[int, int], int]:
    """Return minimum and maximum of the quantifier at this index, and the index where it ends."""
    match = re.compile(r"(?:([*+?])|\{(\d*)(,?)(\d*)\})[?+]?").match(pattern, at)
    if match is None:
        return (1, 1), at
    if match[1]:
        return {"*": (0, 2), "+": (1, 2), "?": (0, 1)}[match[1]], match.end()
    least = int(match[2] or 0)
    return (least, least if not match[3] else int(match[4] or least + 2)), match.end()


def _telling(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words whose shortest word is longer."""
    if min(map(len, other), default=0) < _SHORTEST:
        return one
    return max(one, other, key=lambda words: min(map(len, words), default=0))


ERROR = re.compile(
    r"fatal error|\berror\b ?:|error #|\berror [A-Z]{0,9}[0-9]{1,9}:|Error:|undefined reference|Killed|cannot find -l|No space left"
)
_ERROR_WORDS = ("rror", "undefined reference", "Killed", "cannot find -l", "No space left")
FAILED = re.compile(r"\bFAILED: ")
# Lines that repeat an error or only announce one: the frames' own words, and options that contain "error".
_ECHO = re.compile(
    r"-Werror|subprocess-exited-with-error|metadata-generation-failed|Error compiling objects|error: command "
    r"|CalledProcessError|HTTPError: HTTP Error 404"
)


def first_error(text: str) -> str:
    """Return the first error line, after ninja's first FAILED if there is one; later error lines are echoes."""
    if failed := FAILED.search(text):
        text = text[failed.end() :].partition("\n")[2]
    if not any(word in text for word in _ERROR_WORDS):
        return ""
    return next((line.strip()[:300] for line in _lines(text) if not _ECHO.search(line)), "")


def _lines(text: str) -> Iterator[str]:
    """Yield the lines that contain an error."""
    end = 0
    for match in ERROR.finditer(text):
        if match.start() >= end:
            start = text.rfind("\n", 0, match.start()) + 1
            end = text.find("\n", match.end())
            end = len(text) if end < 0 else end
            yield text[start:end]
