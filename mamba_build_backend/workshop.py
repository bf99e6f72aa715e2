"""What is handed from stage to stage: where a build happens, how it speaks, and the tools that were prepared for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .process import Echo


@dataclass(frozen=True)
class Workshop:
    """The folder of a build, its log, the user's environment, and where progress goes."""

    folder: Path
    log: Path
    environ: Mapping[str, str]
    echo: Echo
    verbose: bool = False


@dataclass(frozen=True)
class Toolchain:
    """Paths of the prepared tools."""

    cc: Path
    cxx: Path
    cuda_home: Path
    nvcc: Path
