"""Versions, each text parsed once: a plan compares the same few hundred thousands of times."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ._compat import version

if TYPE_CHECKING:
    from packaging.version import Version


@lru_cache(maxsize=4096)
def parsed(text: str) -> Version:
    """The version that a text names. Raises InvalidVersion, a ValueError."""
    return version.Version(text)
