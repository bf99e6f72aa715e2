"""As torch's module of this name answers on a machine without a GPU: the build's plan has the architectures."""

from __future__ import annotations


def is_available() -> bool:
    """Whether there is a GPU."""
    return False


def device_count() -> int:
    """How many there are."""
    return 0
