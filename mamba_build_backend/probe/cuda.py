"""Every CUDA toolkit: a setting's, the environment's, PATH's, /usr/local's, and the one that PyPI's wheels make."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ..errors import ToolError
from ..facts import Toolkit
from ..process import capture
from ..settings import Settings
from .paths import on_path


def probe_toolkits(settings: Settings, environ: Mapping[str, str], sites: Sequence[Path]) -> tuple[Toolkit, ...]:
    """Look for nvcc; ``sites`` are site-packages that may hold PyPI's ``nvidia/cu13``."""
    seen: set[str] = set()
    found: list[Toolkit] = []
    for home, where in _homes(settings, environ, sites):
        real = os.path.realpath(home)
        if real in seen:
            continue
        seen.add(real)
        if (home / "bin" / "nvcc").is_file():
            found.append(read_toolkit(home, where, environ))
        elif where in ("setting cuda-home", "CUDA_HOME", "CUDA_PATH"):
            found.append(Toolkit(str(home), where, problem=f"there is no {home / 'bin' / 'nvcc'}"))
    return tuple(found)


def _homes(settings: Settings, environ: Mapping[str, str], sites: Sequence[Path]) -> Iterable[tuple[Path, str]]:
    if settings.cuda_home not in ("auto", "pypi"):
        where = settings.origin("cuda-home")
        yield Path(settings.cuda_home).expanduser(), where if where == "CUDA_HOME" else "setting cuda-home"
    if settings.cuda_home != "pypi":
        for variable in ("CUDA_HOME", "CUDA_PATH"):
            if environ.get(variable):
                yield Path(environ[variable]), variable
        for folder in on_path(environ):
            nvcc = folder / "nvcc"
            if nvcc.is_file():
                yield _home_of(nvcc, environ), "PATH"
        for home in [Path("/usr/local/cuda"), *sorted(Path("/usr/local").glob("cuda-*"), reverse=True)]:
            yield home, "/usr/local"
        if environ.get("CONDA_PREFIX"):
            yield Path(environ["CONDA_PREFIX"]), "CONDA_PREFIX"
    for site in [*(Path(entry) for entry in sys.path if entry), *sites]:
        for home in sorted(site.glob("nvidia/cu[0-9]*")):
            yield home, "the package index's nvcc"


def _home_of(nvcc: Path, environ: Mapping[str, str]) -> Path:
    """The toolkit behind an nvcc on PATH, which may be a link, or a script that starts the real one elsewhere."""
    with suppress(ToolError):
        said = capture([nvcc, "--dryrun", "-c", "-x", "cu", os.devnull, "-o", os.devnull], env=environ, merge=True)
        if match := re.search(r"^#\$ TOP=(.+)$", said, re.MULTILINE):
            return Path(os.path.realpath(match[1].strip()))
    return Path(os.path.realpath(nvcc)).parent.parent


def read_toolkit(home: Path, where: str, environ: Mapping[str, str]) -> Toolkit:
    """Ask the toolkit's nvcc for its version and its architectures."""
    nvcc = home / "bin" / "nvcc"
    layout = "pypi" if home.parent.name == "nvidia" and home.name.startswith("cu") else "home"
    try:
        said = capture([nvcc, "--version"], env=environ)
    except ToolError as error:
        return Toolkit(str(home), where, layout, problem=error.problems[0].found)
    match = re.search(r"release (\d+\.\d+)", said)
    if not match:
        return Toolkit(str(home), where, layout, problem=f"`{nvcc} --version` names no release")
    try:
        archs = tuple(re.findall(r"sm_(\w+)", capture([nvcc, "--list-gpu-code"], env=environ)))
    except ToolError:  # nvcc before 11.? has no such option; the table knows its architectures
        archs = ()
    problem = None
    if layout == "home" and not any(
        (home / part / "cuda_runtime.h").is_file() for part in ("include", "targets/x86_64-linux/include")
    ):
        problem = f"cuda_runtime.h is not in {home / 'include'}: the toolkit is incomplete"
    return Toolkit(str(home), where, layout, match[1], archs, problem)
