"""The exceptions that readers of each format raise for damaged input: one tuple per format, shared by all callers."""

from __future__ import annotations

import struct
import tarfile
import zipfile
import zlib

from .errors import FULL

try:
    from lzma import LZMAError
except ImportError:  # a Python built without lzma, which refuses such archives anyway
    LZMAError = zlib.error  # type: ignore[misc,assignment]

_PACKED = (zlib.error, LZMAError, EOFError, OSError, struct.error, MemoryError, OverflowError)
"""Of compressed data. OSError: from bz2, or a name or time that this system cannot have; MemoryError: a dictionary
of GBs."""
ZIP = (*_PACKED, zipfile.BadZipFile, RuntimeError, ValueError, LookupError)
"""RuntimeError: encrypted, or an unknown compression method; ValueError: a name that is not text, or contains a NUL."""
TAR = (*_PACKED, tarfile.TarError, RuntimeError, ValueError, LookupError)
"""ValueError: an invalid number or name, or a time that no file can have."""
ARCHIVE = (*_PACKED, zipfile.BadZipFile, tarfile.TarError, RuntimeError, ValueError, LookupError)
JSON = (ValueError, RecursionError)
"""ValueError: not JSON, not UTF-8, or a number with too many digits; RecursionError: nested too deeply for Python."""
TOML = (ValueError, RecursionError)


def is_of_the_disk(error: BaseException) -> bool:
    """Whether the error comes from the disk that is unpacked to, not from the archive."""
    return isinstance(error, OSError) and error.errno in FULL


def why(error: BaseException) -> str:
    """The error's first line, or its type's name."""
    text = str(error).strip()
    return text.splitlines()[0][:300].rstrip(":") if text else type(error).__name__
