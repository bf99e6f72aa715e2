"""Which undocumented or newer options the programs of a CUDA toolkit take; builds are reproducible with them, and go on without."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..core.errors import ToolError
from ..core.process import capture


def takes_seed(nvcc: Path, environ: Mapping[str, str]) -> bool:
    """Whether nvcc takes ``-frandom-seed``: that of CUDA 13.0 does, those of 11.8 and 12.4 do not."""
    return "-frandom-seed" in capture([nvcc, "--help"], env=environ)


def takes_source_path(nvcc: Path, environ: Mapping[str, str]) -> bool:
    """Whether cudafe++, beside nvcc, takes ``--orig_src_path_name``; with an option that it does not know it fails.

    NVIDIA documents no option of cudafe++. nvcc itself passes this one (nvcc --dryrun of 13.0).
    """
    try:
        capture([nvcc.with_name("cudafe++"), "--orig_src_path_name=/trial.cu", "--version"], env=environ, timeout=60)
    except ToolError:
        return False
    return True
