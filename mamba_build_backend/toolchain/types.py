"""The tools that were prepared for a build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Launcher:
    """A compiler cache: what stands before a compiler's command, and the variables that it needs."""

    name: str
    command: tuple[str, ...]
    variables: Mapping[str, str]
    folder_name: str = ""
    """A folder that stands for that of the build; empty where paths are relative."""
    asked: bool = False
    """Whether the user wants this one; where it was only found, a build goes on without."""


@dataclass(frozen=True)
class Toolchain:
    """Paths of the prepared tools."""

    cc: Path
    cxx: Path
    cuda_home: Path
    nvcc: Path
    """The script that starts nvcc by way of its stand-in."""
    seed_option: bool
    """Whether nvcc takes ``-frandom-seed``."""
    source_path_option: bool
    """Whether cudafe++ takes ``--orig_src_path_name``."""
    launcher: Launcher | None
