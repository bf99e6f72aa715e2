"""The names of torch.utils."""

from __future__ import annotations

from . import cpp_extension

__all__ = ["cpp_extension"]
