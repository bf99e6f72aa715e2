"""Parse each version string only once: a plan compares the same few strings hundreds of thousands of times."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ._compat import version

if TYPE_CHECKING:
    from packaging.version import Version


@lru_cache(maxsize=4096)
def parsed(text: str) -> Version:
    """The text as a version. Raises InvalidVersion, a ValueError."""
    return version.Version(text)
