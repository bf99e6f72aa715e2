"""What the user can type here: which word starts this Python, pip or uv, root or not. For what is told, never for what is built."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from ..core.facts import Manager, Shell
from ..core.paths import exists, find_program, is_dir, is_file


def probe_shell(environ: Mapping[str, str], prefix: str = sys.prefix, *, root: Path = Path("/")) -> Shell:
    """Look at this environment; ``root`` stands in for / in tests."""
    path = environ.get("PATH", "")
    return Shell(
        python=_python(path),
        manager=_manager(environ, Path(prefix)),
        pip=find_spec("pip") is not None,
        uv=find_program("uv", environ) is not None,
        root=os.geteuid() == 0,
        container=any(exists(root / name) for name in (".dockerenv", "run/.containerenv")),
        modules=bool(environ.get("LMOD_CMD") or environ.get("MODULESHOME")),
    )


def _python(path: str) -> str:
    """``python`` or ``python3`` where that is this one, else its path."""
    for word in ("python", "python3"):
        found = shutil.which(word, path=path)
        # Not resolved: a virtual environment's is a link to that of another environment.
        if found and os.path.dirname(found) == os.path.dirname(sys.executable):
            return word
    return sys.executable


def _manager(environ: Mapping[str, str], prefix: Path) -> Manager:
    if "/.pixi/envs/" in f"{prefix}/" or environ.get("PIXI_PROJECT_ROOT"):
        return Manager.PIXI
    if is_dir(prefix / "conda-meta"):
        return Manager.CONDA
    return Manager.VENV if is_file(prefix / "pyvenv.cfg") else Manager.SYSTEM
