"""Download one file completely or not at all: with bounds on size and time, and resumed after a broken connection."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import SourceError
from ..core.files import sha256
from ..core.outside_text import secrets, without_secrets
from ..core.paths import exists
from ..core.storage import is_disk_error

_ATTEMPTS = 3
"""Attempts in a row without new bytes; an attempt that receives bytes resets the count."""
_PATIENCE, _SLOWEST = 120.0, 50_000.0
"""Seconds that any file may take, plus its size divided by this minimum rate in bytes per second."""
_TELL = 5.0
"""Seconds between two progress lines."""
_LATER = (408, 425, 429)
"""HTTP statuses, besides 5xx, that mean "retry later" (RFC 9110, 6585, 8470)."""

Tell = Callable[[int], None]
"""Called with the number of bytes that have arrived."""


class UnfetchedError(Exception):
    """The file could not be downloaded; the message contains no secret."""


class _AgainError(Exception):
    """A temporary failure: retry."""


@dataclass
class Download:
    """A file to download; ``session`` is an HTTP client such as unearth's."""

    session: Any
    address: str
    size: int
    sha256: str
    environ: Mapping[str, str]
    tell: Tell
    _ends: float = field(default=0.0, init=False)
    _told: float = field(default=0.0, init=False)

    def into(self, path: Path) -> None:
        """Write the file. Raises UnfetchedError, and OSError for disk errors."""
        self._ends = time.monotonic() + _PATIENCE + self.size / _SLOWEST
        self._told = time.monotonic()
        self._gather(path)
        if (found := sha256(path)) != self.sha256:
            raise UnfetchedError(f"its sha256 is {found}, expected {self.sha256}")

    def _gather(self, path: Path) -> None:
        """Request the missing rest until the file is complete."""
        vain = 0
        while True:
            before = _size(path)
            if before == self.size:
                return  # the connection may have broken after the last byte
            try:
                self._ask(path)
                continue
            except (UnfetchedError, SourceError):
                raise
            except OSError as error:
                if is_disk_error(error):
                    raise
                last = self._words(error)
            except Exception as error:  # the HTTP library's errors are many and private to unearth
                last = self._words(error)
            vain = 0 if _size(path) > before else vain + 1
            if vain == _ATTEMPTS:
                raise UnfetchedError(last)
            time.sleep(2.0**vain)
            self._check_time(path)

    def _ask(self, path: Path) -> None:
        have = _size(path)
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
        with self.session.stream("GET", self.address, headers=headers) as response:
            continued = self._check_answer(response, have)
            have = have if continued else 0
            with path.open("ab" if continued else "wb") as file:
                for block in response.iter_raw():
                    have += len(block)
                    if have > self.size:
                        raise UnfetchedError(f"the server sends more than the expected {self.size} bytes")
                    file.write(block)
                    self._check_time(path)
                    if time.monotonic() - self._told > _TELL:
                        self._told = time.monotonic()
                        self.tell(have)
        if have < self.size:
            raise _AgainError(f"the connection closed after {have} of {self.size} bytes")

    def _check_answer(self, response: Any, have: int) -> bool:
        """Return whether the response continues the partial file. Raises _AgainError, UnfetchedError."""
        status, length = response.status_code, response.headers.get("Content-Length", "")
        if status == 206:
            if response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                return True
            raise UnfetchedError("the server sent another byte range than requested")
        if status in _LATER or status >= 500:
            raise _AgainError(f"the server answers {status} {response.reason_phrase}")
        if status != 200:
            raise UnfetchedError(f"the server answers {status} {response.reason_phrase}")
        if length.isdigit() and int(length) != self.size:
            raise UnfetchedError(f"the server's file has {length} bytes, expected {self.size}")
        return False

    def _check_time(self, path: Path) -> None:
        if time.monotonic() > self._ends:
            raise UnfetchedError(f"the download was too slow: {_size(path)} of {self.size} bytes arrived in time")

    def _words(self, error: Exception) -> str:
        said = without_secrets(str(error), secrets(self.environ)).strip()
        first = said.splitlines()[0] if said else "no answer"
        return first if isinstance(error, _AgainError) else f"{type(error).__name__}: {first}"


def _size(path: Path) -> int:
    return path.stat().st_size if exists(path) else 0
