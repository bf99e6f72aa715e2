"""The answers of torch.cuda on a machine without a GPU: the build's plan has the architectures."""

from __future__ import annotations


def is_available() -> bool:
    """Whether there is a GPU."""
    return False


def device_count() -> int:
    """Return the number of GPUs."""
    return 0
