"""Unified diffs, applied strictly: each hunk at its own line and with all of its context, or not at all. Pure.

GNU patch and ``git apply`` look for a hunk's context in other places too (an offset), GNU patch also with part of the context
alone (fuzz). A source that a patch was not written for is refused here instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

_FILE = re.compile(rb"(?:---|\+\+\+) ([^\t\r\n]+)")
_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


@dataclass(frozen=True)
class Hunk:
    """Lines with their ends, and the numbers of the first ones; of no lines, the number of the line before."""

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
    """A hunk (from 1) is not what the file holds at a line (from 1)."""

    def __init__(self, hunk: int, line: int) -> None:
        """Where the two differ first."""
        super().__init__(f"hunk {hunk}, line {line}")
        self.hunk, self.line = hunk, line


def parse(diff: bytes) -> tuple[FileDiff, ...]:
    """The files that a diff changes. Raises ValueError for one that is damaged, or that makes, removes or renames a file."""
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
        raise ValueError("it changes no line of a file")
    if len({item.name for item in files}) < len(files):
        raise ValueError("it names a file twice")
    return tuple(files)


def _name(old: bytes, new: bytes) -> str:
    names = []
    for line in (old, new):
        match = _FILE.match(line)
        _, slash, name = (match[1] if match else b"").decode("utf-8").partition("/")
        if not slash or not name or ".." in name.split("/") or name.startswith("/"):
            raise ValueError(f"{line.decode('utf-8', 'replace').strip()!r} names no file within the tree")
        names.append(name)
    if names[0] != names[1]:
        raise ValueError(f"it makes {names[1]} of {names[0]}, and only changes within a file are applied")
    return names[0]


def _hunk(match: re.Match[bytes], lines: list[bytes], number: int) -> tuple[Hunk, int]:
    """The hunk whose body starts at the index ``number``, and the index after it."""
    old_left, new_left = (int(match[group] or 1) if match[group] else 1 for group in (2, 4))
    old: list[bytes] = []
    new: list[bytes] = []
    while old_left or new_left:
        line = lines[number] if number < len(lines) else b""
        kind, text = (b" ", line) if line in (b"\n", b"\r\n") else (line[:1], line[1:])
        if kind not in (b" ", b"-", b"+") or (kind != b"+" and not old_left) or (kind != b"-" and not new_left):
            raise ValueError(f"line {number + 1} is not what the hunk's head announces")
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
    """The file with all its hunks changed. Raises DoesNotFitError, naming the first line that differs."""
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
        # Only a file's last line may lack its end.
        if hunk.new and not hunk.new[-1].endswith(b"\n") and position < len(lines):
            raise DoesNotFitError(number, position + 1)
    yield from lines[position:]


def is_applied(content: bytes, hunks: tuple[Hunk, ...]) -> bool:
    """Whether the file is what the hunks make: they fit the other way round."""
    try:
        applied(content, tuple(Hunk(item.new_start, item.new, item.old_start, item.old) for item in hunks))
    except DoesNotFitError:
        return False
    return True
