"""The context that the stages of a build share: its folder, its log, its environment, its output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .process import Echo


@dataclass(frozen=True)
class BuildContext:
    """A build's folder, its log, the user's environment, and the function that prints progress."""

    folder: Path
    log: Path
    environ: Mapping[str, str]
    echo: Echo
    verbose: bool = False
    around: Path | None = None
    """The folder of the whole build, if this context is for one part of it."""

    @property
    def whole(self) -> Path:
        """The folder of the whole build."""
        return self.around or self.folder
