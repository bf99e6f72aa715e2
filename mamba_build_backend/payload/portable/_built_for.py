"""What this wheel was built for. The values here are placeholders: the build writes this file anew into each wheel."""

from __future__ import annotations

DISTRIBUTION: str = "name-portable"
VERSION: str = "0"
UPSTREAM: str = "name 0"
PACKAGES: tuple[str, ...] = ("name",)
CHECKS: tuple[str, ...] = ()
"""Modules beside this one that compare kernels with a reference, one for each project that has such a check."""
ABI: str = "torch"
"""``torch``: this minor version alone; ``stable``: this one and newer."""
TORCH: str = "0.0"
CUDA: str = "0.0"
CXX11_ABI: bool | None = None
EXTENSIONS: tuple[str, ...] = ()
RECORD: str = ""
