"""A log of any length in bounded memory: what may hold a message is kept, the rest is passed over."""

from __future__ import annotations

from typing import BinaryIO

WHOLE = 400_000
"""Bytes. A log up to this size is taken as it is; all patterns take a second for it."""
_CHUNK = 1 << 20
_END = 100_000
"""Bytes of the first and the last lines, which are kept whatever they are."""
_LONGEST = 4000
"""Bytes of one line: a binary file may be one."""
_AROUND = 4
"""Lines that are kept before and after one that may hold a message."""
_TELLING = (
    *(
        b"rror",
        b"atal",
        b"not found",
        b"undefined",
        b"No module",
        b"annot ",
        b"Killed",
        b" 137",
        b"No space",
        b"No such",
    ),
    *(
        b"nsupported",
        b"ompatible",
        b"FAILED",
        b"nvcc",
        b"nvalid",
        b"Guessing",
        b"torch.__version__",
        b"HASHES",
        b"onflict",
    ),
    *(
        b"xception",
        b"not available",
        b"not a valid",
        b"not supported",
        b"missing",
        b"memory",
        b"subprocess",
        b"aarch64",
        b" wheel",
    ),
)
"""Words, one of which is in every message that is known. Searched for as they are: over 300 MB a pattern takes minutes."""


def _tells(text: bytes) -> bool:
    return any(word in text for word in _TELLING)


def read_log(stream: BinaryIO) -> str:
    """The text of a log, or of its telling lines with some around each, where it is long."""
    head = stream.read(WHOLE + 1)
    if len(head) <= WHOLE:
        return head.decode("utf-8", errors="replace")
    kept = _Kept()
    rest = head[_END:]
    while True:
        more = stream.read(_CHUNK)
        cut = rest.rfind(b"\n") + 1 if more and len(rest) < 4 * _CHUNK else len(rest)
        kept.add(rest[:cut])
        rest = rest[cut:] + more
        if not more:
            break
    text = head[:_END] + b"\n" + kept.text()
    return text.decode("utf-8", errors="replace")


class _Kept:
    """Telling lines and their neighbours, up to WHOLE bytes, and the last lines whatever they are."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._tail = b""

    def add(self, chunk: bytes) -> None:
        """Take the next lines."""
        self._tail = (self._tail + chunk)[-_END:]
        if self._size > WHOLE or not _tells(chunk):
            return
        lines = chunk.split(b"\n")
        wanted: set[int] = set()
        for number, line in enumerate(lines):
            if _tells(line[:_LONGEST]):
                wanted.update(range(max(0, number - _AROUND), min(len(lines), number + _AROUND + 1)))
                self._size += min(len(line), _LONGEST)
                if self._size > WHOLE:
                    break
        self._parts += [lines[number][:_LONGEST] for number in sorted(wanted)]

    def text(self) -> bytes:
        """All that was kept, in order."""
        return b"\n".join((*self._parts, self._tail))
