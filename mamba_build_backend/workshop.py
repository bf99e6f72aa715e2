"""Where a build happens and how it speaks: handed from stage to stage."""

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
