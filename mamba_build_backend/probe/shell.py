"""What the user can type here: this Python's command, pip or uv, root or not. For shown commands, not for builds."""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from ..core.commands import Here
from ..core.facts import Manager, Shell
from ..core.paths import exists, find_program, is_dir, is_file, read_text
from .frontend import probe_frontend


def probe_shell(environ: Mapping[str, str], prefix: str = sys.prefix, *, root: Path = Path("/")) -> Shell:
    """Probe this environment; ``root`` replaces / in tests."""
    path = environ.get("PATH", "")
    return Shell(
        python=_python(path),
        manager=_manager(environ, Path(prefix)),
        pip=find_spec("pip") is not None,
        settings_by_variable=is_old(find_pip_version()),
        uv=find_program("uv", environ) is not None,
        root=os.geteuid() == 0,
        container=any(exists(root / name) for name in (".dockerenv", "run/.containerenv")),
        modules=bool(environ.get("LMOD_CMD") or environ.get("MODULESHOME")),
    )


def spelled_for_frontend(way: str) -> str:
    """A setting in a build's message, in the form that the frontend supports: a variable for a pip without ``-C``."""
    if not way.startswith("-C ") or probe_frontend().name not in ("", "pip"):
        return way
    shell = Shell(settings_by_variable=is_old(find_pip_version()))
    return Here(shell, building=True).way(way)


def find_pip_version() -> str:
    """The version of this environment's pip, even if an isolated build hides it; empty without pip."""
    spec = find_spec("pip")
    folders = [Path(spec.origin).parent] if spec and spec.origin else []
    for folder in (*folders, Path(sysconfig.get_path("purelib")) / "pip"):
        with suppress(OSError):
            if found := re.search(r"^__version__ = \"([\d.]+)", read_text(folder / "__init__.py"), re.MULTILINE):
                return found[1]
    return ""


def is_old(version: str) -> bool:
    """Whether a pip of this version has no ``-C``, which came with 23.1."""
    numbers = [int(part) for part in version.split(".") if part]
    return bool(numbers) and numbers < [23, 1]


def _python(path: str) -> str:
    """``python`` or ``python3`` if that starts this Python, otherwise its path."""
    for word in ("python", "python3"):
        found = shutil.which(word, path=path)
        # Do not resolve links: a virtual environment's python is a link to another environment's.
        if found and os.path.dirname(found) == os.path.dirname(sys.executable):
            return word
    return sys.executable


def _manager(environ: Mapping[str, str], prefix: Path) -> Manager:
    if "/.pixi/envs/" in f"{prefix}/" or environ.get("PIXI_PROJECT_ROOT"):
        return Manager.PIXI
    if is_dir(prefix / "conda-meta"):
        return Manager.CONDA
    return Manager.VENV if is_file(prefix / "pyvenv.cfg") else Manager.SYSTEM
