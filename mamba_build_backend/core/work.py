"""What is handed from stage to stage: where a build happens, how it speaks, and the tools that were prepared for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .process import Echo


@dataclass(frozen=True)
class BuildContext:
    """The folder of a build, its log, the user's environment, and where progress goes."""

    folder: Path
    log: Path
    environ: Mapping[str, str]
    echo: Echo
    verbose: bool = False
    around: Path | None = None
    """The folder of the build of which this is a part's."""

    @property
    def whole(self) -> Path:
        """The folder in which all of the build lies."""
        return self.around or self.folder
