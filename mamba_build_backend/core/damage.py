"""What the readers of each format raise for bytes that are none of it: one list for each, for all who read it."""

from __future__ import annotations

import struct
import tarfile
import zipfile
import zlib

from .errors import FULL

try:
    from lzma import LZMAError
except ImportError:  # a Python that was built without it, where archives of its kind are refused by themselves
    LZMAError = zlib.error  # type: ignore[misc,assignment]

_PACKED = (zlib.error, LZMAError, EOFError, OSError, struct.error, MemoryError, OverflowError)
"""Of what is compressed. OSError: bz2's, and of a name or a time that this system cannot have; MemoryError: a dictionary of some GB."""
ZIP = (*_PACKED, zipfile.BadZipFile, RuntimeError, ValueError, LookupError)
"""RuntimeError: encrypted, or packed in a way that zipfile does not know; ValueError: a name that is no text, or has a NUL."""
TAR = (*_PACKED, tarfile.TarError, RuntimeError, ValueError, LookupError)
"""ValueError: a number or a name that is none, a time that no file can have."""
ARCHIVE = (*_PACKED, zipfile.BadZipFile, tarfile.TarError, RuntimeError, ValueError, LookupError)
JSON = (ValueError, RecursionError)
"""ValueError: no JSON, no UTF-8, a number of too many digits; RecursionError: nested deeper than Python goes."""
TOML = (ValueError, RecursionError)


def is_of_the_disk(error: BaseException) -> bool:
    """Whether it is about the disk that something is unpacked to, and not about what is unpacked."""
    return isinstance(error, OSError) and error.errno in FULL


def why(error: BaseException) -> str:
    """Its first line, or what it is called."""
    text = str(error).strip()
    return text.splitlines()[0][:300].rstrip(":") if text else type(error).__name__
