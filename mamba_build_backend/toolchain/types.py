"""The prepared tools of a build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Launcher:
    """A compiler cache: the prefix of a compiler's command, and its variables."""

    name: str
    command: tuple[str, ...]
    variables: Mapping[str, str]
    folder_name: str = ""
    """A folder with a fixed name that links to the build folder; empty if paths are relative."""
    asked: bool = False
    """Whether the user asked for this cache; if not, a build continues without it."""


@dataclass(frozen=True)
class Toolchain:
    """Paths of the prepared tools."""

    cc: Path
    cxx: Path
    cuda_home: Path
    nvcc: Path
    """The script that starts nvcc through its shim."""
    seed_option: bool
    """Whether nvcc accepts ``-frandom-seed``."""
    source_path_option: bool
    """Whether cudafe++ accepts ``--orig_src_path_name``."""
    launcher: Launcher | None
