"""A log as text to search, and patterns that take no longer than its length. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

_TERMINAL = re.compile(r"\x1b\[[0-9;?]{0,50}[A-Za-z]")
# BuildKit's step and seconds, and the time that hosted CI puts before a line: messages that go over two lines hold them.
_PREFIX = re.compile(
    r"^(?:#[0-9]{1,9} {1,9}[0-9]{1,9}\.[0-9]{1,9} ?|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{1,40}Z )", re.MULTILINE
)


def cleaned(text: str) -> str:
    """Without colours, bars' returns and what CI puts before lines."""
    return _PREFIX.sub("", _TERMINAL.sub("", text).replace("\r\n", "\n").replace("\r", "\n"))


_MOST = {r"\w": 2000, r"\S": 1000}
"""How often a class may repeat; the longest of torch's symbols have some thousand letters."""
_MOST_OF_OTHERS = 500


def bounded(pattern: str) -> re.Pattern[str]:
    r"""A pattern whose repeats end somewhere: who has two without an end in a row needs the square of a text's length.

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
    """The escape, class, quantifier or letter there."""
    if pattern[at] == "\\":
        return pattern[at : at + 2]
    if pattern[at] == "[":
        end = at + 2 + (pattern[at + 1 : at + 2] == "^")  # a bracket that comes first is a letter
        while pattern[end : end + 1] not in ("]", ""):
            end += 2 if pattern[end] == "\\" else 1
        return pattern[at : end + 1]
    return pattern[at]


def required(pattern: str) -> tuple[str, ...]:
    r"""Words of which a text must hold one to be matched: looked for first, since most texts hold none. Empty where none is known.

    >>> required(r"(?:no|bad) module '\w+'|error: \d+ missing")
    (" module '", ' missing')
    """
    return _alternatives(pattern, 0, caseless=False)[0]


_LOOK_AROUND = ("(?=", "(?!", "(?<=", "(?<!")
"""What begins a group that says nothing of the letters matched."""
_SHORTEST = 3


def _alternatives(pattern: str, at: int, *, caseless: bool) -> tuple[tuple[str, ...], int]:
    """The words of a group's branches, none if one has none; and where the group ends."""
    words: list[tuple[str, ...]] = []
    while True:
        branch, at = _branch(pattern, at, caseless=caseless)
        words.append(branch)
        if pattern[at : at + 1] != "|":
            known = tuple(word for item in words for word in item) if all(words) else ()
            return tuple(dict.fromkeys(known)), at
        at += 1


def _branch(pattern: str, at: int, *, caseless: bool) -> tuple[tuple[str, ...], int]:
    """Of what must come one after another the words that tell most, and where the branch ends."""
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
    """Where the content of the group begins that opens there."""
    match = re.compile(r"\((?:\?(?:P<\w+>|<?[=!]|[a-z]*:))?").match(pattern, at)
    assert match is not None
    return match.end()


def _letter(part: str) -> str:
    """The one letter that a part stands for; empty for a class or a place."""
    if part[0] == "\\":
        return {"n": "\n", "t": "\t"}.get(part[1], "" if part[1].isalnum() else part[1])
    return "" if part[0] in "[.^$" else part


def _least(pattern: str, at: int) -> tuple[tuple[int, int], int]:
    """How often at least and at most what comes before is there, and where its quantifier ends."""
    match = re.compile(r"(?:([*+?])|\{(\d*)(,?)(\d*)\})[?+]?").match(pattern, at)
    if match is None:
        return (1, 1), at
    if match[1]:
        return {"*": (0, 2), "+": (1, 2), "?": (0, 1)}[match[1]], match.end()
    least = int(match[2] or 0)
    return (least, least if not match[3] else int(match[4] or least + 2)), match.end()


def _telling(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """Those whose shortest word is longer."""
    if min(map(len, other), default=0) < _SHORTEST:
        return one
    return max(one, other, key=lambda words: min(map(len, words), default=0))


ERROR = re.compile(
    r"fatal error|\berror\b ?:|error #|\berror [A-Z]{0,9}[0-9]{1,9}:|Error:|undefined reference|Killed|cannot find -l|No space left"
)
_ERROR_WORDS = ("rror", "undefined reference", "Killed", "cannot find -l", "No space left")
FAILED = re.compile(r"\bFAILED: ")
# What repeats an error, or only announces one: the frames' own words, and options that hold the word.
_ECHO = re.compile(
    r"-Werror|subprocess-exited-with-error|metadata-generation-failed|Error compiling objects|error: command "
    r"|CalledProcessError|HTTPError: HTTP Error 404"
)


def first_error(text: str) -> str:
    """The first line that names an error, after ninja's first FAILED where there is one; the last ones are echoes."""
    if failed := FAILED.search(text):
        text = text[failed.end() :].partition("\n")[2]
    if not any(word in text for word in _ERROR_WORDS):
        return ""
    return next((line.strip()[:300] for line in _lines(text) if not _ECHO.search(line)), "")


def _lines(text: str) -> Iterator[str]:
    """Those with an error in them."""
    end = 0
    for match in ERROR.finditer(text):
        if match.start() >= end:
            start = text.rfind("\n", 0, match.start()) + 1
            end = text.find("\n", match.end())
            end = len(text) if end < 0 else end
            yield text[start:end]
