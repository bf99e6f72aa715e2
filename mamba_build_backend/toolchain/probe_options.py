"""Test which undocumented or newer options a CUDA toolkit accepts: builds are reproducible with them, and work without."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..core.errors import ToolError
from ..core.process import capture


def takes_seed(nvcc: Path, environ: Mapping[str, str]) -> bool:
    """Whether nvcc accepts ``-frandom-seed``: CUDA 13.0's does, those of 11.8 and 12.4 do not."""
    return "-frandom-seed" in capture([nvcc, "--help"], env=environ)


def takes_source_path(nvcc: Path, environ: Mapping[str, str]) -> bool:
    """Whether the cudafe++ next to nvcc accepts ``--orig_src_path_name``; cudafe++ fails for an unknown option.

    NVIDIA documents no option of cudafe++. nvcc itself passes this one (nvcc --dryrun of 13.0).
    """
    try:
        capture([nvcc.with_name("cudafe++"), "--orig_src_path_name=/trial.cu", "--version"], env=environ, timeout=60)
    except ToolError:
        return False
    return True
