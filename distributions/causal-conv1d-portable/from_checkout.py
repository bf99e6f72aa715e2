"""The hooks that build this distribution in a checkout: the backend's own, run from the top of the checkout.

The sdist is the project that ``vendor`` would make: a copy of the backend for causal-conv1d lies in it, so that it builds alone.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
sys.path.insert(0, str(CHECKOUT))

from mamba_build_backend import *  # noqa: E402, F403
from mamba_build_backend import build_sdist as portable_sdist  # noqa: E402
from mamba_build_backend.core.own_copy import NAME, RECORD  # noqa: E402
from mamba_build_backend.vendoring.manifest import content, make_record  # noqa: E402

UPSTREAM = "causal-conv1d"
_OURS = 'build-backend = "from_checkout"'


def gather(folder: Path) -> None:
    """Put the project into an empty folder: its own files, and a copy of the backend for this upstream."""
    files = content(UPSTREAM)
    files[RECORD] = (json.dumps(make_record(UPSTREAM, files), indent=1) + "\n").encode()
    for name, data in files.items():
        path = folder / NAME / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    shutil.copy(CHECKOUT / "LICENSE", folder)
    shutil.copy(HERE / "README.md", folder)
    text = (HERE / "pyproject.toml").read_text(encoding="utf-8")
    if text.count(_OURS) != 1:
        raise RuntimeError(f"{HERE / 'pyproject.toml'} does not hold {_OURS!r} once")
    (folder / "pyproject.toml").write_text(text.replace(_OURS, f'build-backend = "{NAME}"'), encoding="utf-8")


def build_sdist(sdist_directory: str, config_settings: Any = None) -> str:
    """PEP 517."""
    before, out = Path.cwd(), os.path.abspath(sdist_directory)
    with tempfile.TemporaryDirectory(prefix="mamba-sdist-") as folder:
        gather(Path(folder))
        os.chdir(folder)
        try:
            return portable_sdist(out, config_settings)
        finally:
            os.chdir(before)
