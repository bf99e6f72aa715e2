"""Read a log of any length in bounded memory: keep the matches of the patterns with the lines around them, drop the rest."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from .failure_table import load_failures
from .log_text import FAILED, cleaned, first_error, required

WHOLE = 400_000
"""Bytes. A log up to this size is kept whole; all patterns together need a second for it."""
_PIECE = 1 << 18
_OVERLAP = 1 << 13
"""Characters. No message that the patterns know is longer."""
_END = 100_000
"""Characters at the start and at the end of the log that are always kept."""
_AROUND = 1000
"""Characters that are kept before and after a match."""
_OF_EACH = 3
"""Matches of one pattern that are kept: the first is the answer, and a row that excludes others may need a second."""
_NOT_THE_END = "\n\0"
"""Added to every piece except the last, so that a pattern for the end of the text does not match the end of a piece."""


def read_log(stream: BinaryIO) -> str:
    """Return the text of a log; of a long log, its start, its end, and the matches of the patterns between them."""
    head = stream.read(WHOLE + 1)
    if len(head) <= WHOLE:
        return head.decode("utf-8", errors="replace")
    kept = _Kept()
    for text, new in _windows(_pieces(head, stream)):
        kept.look(text, new)
    return kept.text()


def _pieces(head: bytes, stream: BinaryIO) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    yield decoder.decode(head)
    while more := stream.read(_PIECE):
        yield decoder.decode(more)


def _windows(pieces: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Yield cleaned parts of a text, each with the index where its new text (in no earlier part) begins."""
    held, new = "", 0
    for piece in pieces:
        held += piece
        if len(held) - new < _PIECE:
            continue
        end = held.rfind("\n", new) + 1 or len(held)  # whole lines, if there are any
        yield cleaned(held[:end]) + _NOT_THE_END, len(cleaned(held[:new]))
        begin = max(0, end - _OVERLAP)
        begin = held.find("\n", begin, end) + 1 or begin
        held, new = held[begin:], end - begin
    yield cleaned(held), len(cleaned(held[:new]))


@dataclass
class _Kept:
    """Excerpts in order, without overlap."""

    _head: str = ""
    _parts: list[str] = field(default_factory=list)
    _tail: str = ""
    _left: dict[re.Pattern[str], int] = field(default_factory=lambda: {item: _OF_EACH for item, _ in _patterns()})
    _failed: bool = False
    _error: bool = False

    def look(self, text: str, new: int) -> None:
        """Keep the excerpts of the next part of the log."""
        fresh = text[new:].removesuffix(_NOT_THE_END)
        if len(self._head) < _END:
            self._head += fresh[: _END - len(self._head)]
        self._tail = (self._tail + fresh)[-_END:]
        spans = [*self._matches(text, new), *self._errors(text, new)]
        done = 0
        for start, stop in sorted(spans):
            begin = max(done, start - _AROUND)
            begin = text.find("\n", begin, start) + 1 or begin  # a whole line, if there is one
            end = min(stop + _AROUND, len(text))
            if begin < end:
                self._parts.append(text[begin:end].removesuffix(_NOT_THE_END))
                done = end

    def _matches(self, text: str, new: int) -> Iterator[tuple[int, int]]:
        absent: dict[str, bool] = {}
        for pattern, words in _patterns():
            if not self._left[pattern]:
                continue
            for word in words:
                if word not in absent:
                    absent[word] = word not in text
            if words and all(absent[word] for word in words):
                continue
            for match in pattern.finditer(text):
                if match.end() > new and self._left[pattern]:
                    self._left[pattern] -= 1
                    yield match.span()
                if not self._left[pattern]:
                    break

    def _errors(self, text: str, new: int) -> Iterator[tuple[int, int]]:
        """Yield the first error line, and the first error line after ninja's first FAILED."""
        if not self._failed and "FAILED: " in text and (failed := FAILED.search(text, new)):
            self._failed, self._error, new = True, False, failed.end()
            yield failed.span()
        if not self._error and (line := first_error(text[new:])):
            self._error = True
            start = text.find(line, new)
            yield start, start + len(line)

    def text(self) -> str:
        """Return the kept excerpts."""
        return "\n".join((self._head, *self._parts, self._tail))


def _patterns() -> Iterator[tuple[re.Pattern[str], tuple[str, ...]]]:
    """Yield every pattern of the rows, with words of which each match contains one (empty if there are none)."""
    for item in load_failures():
        yield item.pattern, item.words
        for other in filter(None, (item.also, item.unless)):
            yield other, required(other.pattern)
