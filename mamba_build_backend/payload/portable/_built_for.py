"""What this wheel was built for. These values are placeholders: the build writes the real ones into each wheel."""

from __future__ import annotations

DISTRIBUTION: str = "name-portable"
VERSION: str = "0"
UPSTREAM: str = "name 0"
PACKAGES: tuple[str, ...] = ("name",)
CHECKS: tuple[str, ...] = ()
"""Modules in this package that compare kernels with a reference: the name of each project's module, if it has such a check."""
ABI: str = "torch"
"""``torch``: only this minor version of torch; ``stable``: this one and newer."""
TORCH: str = "0.0"
CUDA: str = "0.0"
"""torch's CUDA version; with ``stable`` the kernels' own, whose runtime is in the wheel."""
DRIVER: str = "0.0"
"""The CUDA version that the machine's driver must support."""
CXX11_ABI: bool | None = None
TRANSFORMERS: tuple[tuple[str, str], ...] = ()
"""With ``stable``, for upstreams that import transformers: the versions that fit each minor version of torch. A torch that
is not listed fits any."""
EXTENSIONS: tuple[str, ...] = ()
RECORD: str = ""
