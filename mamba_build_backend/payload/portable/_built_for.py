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
"""The torch's; with ``stable`` that of the kernels, which bring their own runtime."""
DRIVER: str = "0.0"
"""The CUDA version that the machine's driver has to run."""
CXX11_ABI: bool | None = None
TRANSFORMERS: tuple[tuple[str, str], ...] = ()
"""With ``stable``: the transformers that go with a torch, by its minor version, for upstreams that import them; others go with any."""
EXTENSIONS: tuple[str, ...] = ()
RECORD: str = ""
