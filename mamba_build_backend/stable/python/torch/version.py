"""The names of torch.version."""

from __future__ import annotations

from typing import Optional

__version__ = "0"
cuda = "0"
hip: Optional[str] = None
