"""What torch's package of this name has."""

from __future__ import annotations

from . import cpp_extension

__all__ = ["cpp_extension"]
