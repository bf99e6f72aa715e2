"""Apply unified diffs strictly: each hunk at its own line and with all of its context, or not at all. No I/O.

GNU patch and ``git apply`` also look for a hunk's context at other lines (an offset), and GNU patch accepts part of the
context (fuzz). This module rejects a source that a patch was not written for. In a changed file, :func:`fit` finds a
hunk at another line if all of its text occurs there exactly once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from .tree_facts import Fit

_FILE = re.compile(rb"(?:---|\+\+\+) ([^\t\r\n]+)")
_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


@dataclass(frozen=True)
class Hunk:
    """Lines with their line ends, and the number of the first line; without lines, the number of the line before."""

    old_start: int
    old: tuple[bytes, ...]
    new_start: int
    new: tuple[bytes, ...]


@dataclass(frozen=True)
class FileDiff:
    """The changes of one file; ``name`` is its path below the tree, without the ``a/`` and ``b/`` of the diff."""

    name: str
    hunks: tuple[Hunk, ...]


class DoesNotFitError(Exception):
    """A hunk (from 1) differs from the file at a line (from 1)."""

    def __init__(self, hunk: int, line: int) -> None:
        """The first difference."""
        super().__init__(f"hunk {hunk}, line {line}")
        self.hunk, self.line = hunk, line


def parse(diff: bytes) -> tuple[FileDiff, ...]:
    """The files that a diff changes. Raises ValueError if it is damaged, or creates, removes or renames a file."""
    lines = _lines(diff)
    files: list[FileDiff] = []
    number = 0
    while number < len(lines):
        line = lines[number]
        if line.startswith(b"--- ") and lines[number + 1 : number + 2] and lines[number + 1].startswith(b"+++ "):
            files.append(FileDiff(_name(line, lines[number + 1]), ()))
            number += 2
        elif match := _HUNK.match(line):
            if not files:
                raise ValueError(f"line {number + 1} is a hunk of no file")
            hunk, number = _hunk(match, lines, number + 1)
            files[-1] = replace(files[-1], hunks=(*files[-1].hunks, hunk))
        else:
            number += 1
    if not files or not all(item.hunks for item in files):
        raise ValueError("the diff changes no line of a file")
    if len({item.name for item in files}) < len(files):
        raise ValueError("the diff names a file twice")
    return tuple(files)


def _name(old: bytes, new: bytes) -> str:
    names = []
    for line in (old, new):
        match = _FILE.match(line)
        _, slash, name = (match[1] if match else b"").decode("utf-8").partition("/")
        if not slash or not name or ".." in name.split("/") or name.startswith("/"):
            raise ValueError(f"{line.decode('utf-8', 'replace').strip()!r} names no file in the tree")
        names.append(name)
    if names[0] != names[1]:
        raise ValueError(f"the diff makes {names[1]} from {names[0]}; only changes within a file are supported")
    return names[0]


def _hunk(match: re.Match[bytes], lines: list[bytes], number: int) -> tuple[Hunk, int]:
    """The hunk whose body starts at index ``number``, and the index after it."""
    old_left, new_left = (int(match[group] or 1) if match[group] else 1 for group in (2, 4))
    old: list[bytes] = []
    new: list[bytes] = []
    while old_left or new_left:
        line = lines[number] if number < len(lines) else b""
        kind, text = (b" ", line) if line in (b"\n", b"\r\n") else (line[:1], line[1:])
        if kind not in (b" ", b"-", b"+") or (kind != b"+" and not old_left) or (kind != b"-" and not new_left):
            raise ValueError(f"line {number + 1} does not match the hunk's header")
        number += 1
        if lines[number : number + 1] and lines[number].startswith(b"\\"):  # "\ No newline at end of file"
            text, number = text[:-1], number + 1
        if kind != b"+":
            old.append(text)
            old_left -= 1
        if kind != b"-":
            new.append(text)
            new_left -= 1
    return Hunk(int(match[1]), tuple(old), int(match[3]), tuple(new)), number


def _lines(content: bytes) -> list[bytes]:
    return re.findall(rb"[^\n]*\n|[^\n]+", content)


def applied(content: bytes, hunks: tuple[Hunk, ...]) -> bytes:
    """The file with all hunks applied. Raises DoesNotFitError, which names the first line that differs."""
    return b"".join(_applied(_lines(content), hunks))


def _applied(lines: list[bytes], hunks: tuple[Hunk, ...]) -> Iterator[bytes]:
    position = 0
    for number, hunk in enumerate(hunks, 1):
        start = hunk.old_start - 1 if hunk.old else hunk.old_start
        if start < position or start > len(lines):
            raise DoesNotFitError(number, hunk.old_start)
        for offset, expected in enumerate(hunk.old):
            if lines[start + offset : start + offset + 1] != [expected]:
                raise DoesNotFitError(number, start + offset + 1)
        yield from lines[position:start]
        yield from hunk.new
        position = start + len(hunk.old)
        # Only a file's last line may lack a line end.
        if hunk.new and not hunk.new[-1].endswith(b"\n") and position < len(lines):
            raise DoesNotFitError(number, position + 1)
    yield from lines[position:]


def is_applied(content: bytes, hunks: tuple[Hunk, ...]) -> bool:
    """Whether the hunks are already applied: they fit in reverse."""
    try:
        applied(content, tuple(Hunk(item.new_start, item.new, item.old_start, item.old) for item in hunks))
    except DoesNotFitError:
        return False
    return True


@dataclass(frozen=True)
class Fitted:
    """The result of fitting a diff into a tree that it was not written for."""

    fit: Fit
    place: str = ""
    """Number, line and file of the first hunk that does not fit."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """The changed files, if the diff fits."""


def fit(changes: tuple[FileDiff, ...], read: Callable[[str], bytes | None]) -> Fitted:
    """How a diff fits into possibly changed files; ``read`` returns a file of the tree, or None if it is missing.

    Files that are missing, or that contain none of the lines that the diff changes, need no change. Windows line ends
    are accepted.
    """
    files: dict[str, bytes] = {}
    done = False
    for change in changes:
        content = read(change.name)
        if content is None:
            continue
        content = content.replace(b"\r\n", b"\n")
        try:
            files[change.name] = applied(content, _located(content, change.hunks))
        except DoesNotFitError as error:
            if _is_done(content, change.hunks):
                done = True
                continue
            return Fitted(Fit.MISFIT, f"hunk {error.hunk}, line {error.line} of {change.name}")
    if files:
        return Fitted(Fit.FITS, files=files)
    return Fitted(Fit.DONE if done else Fit.ABSENT)


def _located(content: bytes, hunks: tuple[Hunk, ...]) -> tuple[Hunk, ...]:
    """The hunks, each at its own line, or where all of its lines occur exactly once. Raises DoesNotFitError."""
    lines = _lines(content)
    found: list[Hunk] = []
    for number, hunk in enumerate(hunks, 1):
        own, size = hunk.old_start - 1, len(hunk.old)
        if not size or tuple(lines[own : own + size]) == hunk.old:
            found.append(hunk)
            continue
        starts = [n for n, line in enumerate(lines) if line == hunk.old[0] and tuple(lines[n : n + size]) == hunk.old]
        if len(starts) != 1:
            there = lines[own : own + size]
            same = next((n for n, (line, old) in enumerate(zip(there, hunk.old)) if line != old), len(there))
            raise DoesNotFitError(number, hunk.old_start + same)
        found.append(replace(hunk, old_start=starts[0] + 1))
    return tuple(found)


_SAYS_SOMETHING = 4
"""Characters of a significant line: a shorter one, such as a single bracket, occurs in any file."""


def _is_done(content: bytes, hunks: tuple[Hunk, ...]) -> bool:
    """Whether a file already contains the hunks' result, or none of the lines that each hunk removes."""
    try:
        _located(content, tuple(Hunk(item.new_start, item.new, item.old_start, item.old) for item in hunks))
    except DoesNotFitError:
        there = {line.strip() for line in _lines(content)}
        taken = [[line.strip() for line in item.old if line not in item.new] for item in hunks]
        telling = [[line for line in lines if len(line) >= _SAYS_SOMETHING] for lines in taken]
        return all(telling) and not any(line in there for lines in telling for line in lines)
    return True
