"""Every C++ compiler that could be nvcc's host compiler: its kind, its version and its libstdc++."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..core.errors import ToolError
from ..core.facts import Compiler, CompilerKind, Origin
from ..core.paths import find_program, matching
from ..core.process import capture
from ..core.settings import ZIG, Place, Settings
from ..tables import is_version
from .paths import conda_prefixes, on_path

_DISGUISED = ("ccache", "sccache", "distcc", "icecc", "colorgcc")
"""Launchers on PATH with a compiler's name. They search the rest of PATH for the compiler, and would find our own
scripts."""
_NAMES = re.compile(r"(g|clang)\+\+(-\d+(\.\d+)?)?$|(x86_64|aarch64|powerpc64le)-conda[\w.]*-linux-gnu-(g|clang)\+\+$")


def probe_compilers(settings: Settings, environ: Mapping[str, str], *, root: Path = Path("/")) -> tuple[Compiler, ...]:
    """Find the setting's compiler, those of the active conda environment and PATH, and Red Hat's toolsets.

    Environment modules and Spack change PATH. ``root`` replaces / in tests.
    """
    seen: set[str] = set()
    candidates = []
    for path, origin, where in _candidates(settings, environ, root):
        real = os.path.realpath(path)
        if real not in seen:
            seen.add(real)
            candidates.append((path, origin, where))
    with ThreadPoolExecutor() as pool:
        return tuple(pool.map(lambda item: read_compiler(item[0], item[2], environ, item[1]), candidates))


def _is_disguised(path: str | Path) -> bool:
    return os.path.basename(os.path.realpath(path)) in _DISGUISED


def _candidates(settings: Settings, environ: Mapping[str, str], root: Path) -> Iterable[tuple[Path, Origin, str]]:
    if settings.host_compiler not in ("auto", ZIG):
        # CXX may contain a launcher or flags ("ccache g++", "g++ -pthread"): its last word that is not a flag is the
        # compiler.
        words = [word for word in settings.host_compiler.split() if not word.startswith("-")]
        name = settings.host_compiler if os.path.exists(settings.host_compiler) else (words or [""])[-1]
        path = find_program(name, environ)
        if path and _is_disguised(path):
            name = os.path.basename(path)
            others = [str(item) for item in on_path(environ) if not _is_disguised(os.path.join(item, name))]
            path = shutil.which(name, path=os.pathsep.join(others)) or path
        of_variable = settings.place("host-compiler") is Place.ALIAS
        yield (
            Path(path or name),
            Origin.VARIABLE if of_variable else Origin.SETTING,
            "CXX" if of_variable else "setting host-compiler",
        )
    folders = [(folder, Origin.PATH, "PATH") for folder in on_path(environ)]
    folders[:0] = [(prefix / "bin", Origin.CONDA, where) for prefix, where in conda_prefixes(environ)]
    # devtoolset-11 on CentOS 7, gcc-toolset-13 on RHEL 8 and 9: installed, but on PATH only after `scl enable`.
    toolsets = sorted(matching(root / "opt/rh", "*toolset-[0-9]*/root/usr/bin"), key=_toolset_number, reverse=True)
    folders += [(folder, Origin.SYSTEM, "/opt/rh") for folder in toolsets]
    for folder, origin, where in folders:
        try:
            names = sorted(entry for entry in os.listdir(folder) if _NAMES.match(entry))
        except OSError:
            continue
        for entry in names:
            if os.access(folder / entry, os.X_OK) and not _is_disguised(folder / entry):
                yield folder / entry, origin, where


def _toolset_number(folder: Path) -> int:
    match = re.search(r"toolset-(\d+)", str(folder))
    return int(match[1]) if match else 0


def read_compiler(path: Path, where: str, environ: Mapping[str, str], origin: Origin = Origin.UNKNOWN) -> Compiler:
    """Ask one compiler for its version, target, include folders and libstdc++."""
    clean = {**environ, "LC_ALL": "C"}
    for name in ("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH"):
        clean.pop(name, None)
    try:
        banner = capture([path, "--version"], env=clean)
        version = capture([path, "-dumpfullversion", "-dumpversion"], env=clean).strip()
        target = capture([path, "-dumpmachine"], env=clean).strip()
        search = capture([path, "-E", "-v", "-x", "c++", os.devnull, "-o", os.devnull], env=clean, merge=True)
        static = _file(path, "libstdc++.a", clean)
        shared = _file(path, "libstdc++.so.6", clean) or _file(path, "libstdc++.so", clean)
    except ToolError as error:
        return Compiler(str(path), where, problem=error.problems[0].found, origin=origin)
    cxx, gcc = _includes(search)
    named = version.partition("\n")[0]
    kind = CompilerKind.CLANG if "clang" in banner else CompilerKind.GCC
    problem = None
    if kind is CompilerKind.CLANG:
        # clang uses the libstdc++ of a g++, so that g++ is installed, too, and the tested link recipe uses it.
        problem = "clang: the portable link needs g++"
    elif not cxx:
        problem = "it has no C++ headers"
    elif not is_version(named):
        problem = f"`{path} -dumpfullversion` says {version[:80]!r}"
    return Compiler(
        str(path),
        where,
        kind,
        named if is_version(named) else "",
        target,
        cxx,
        gcc,
        static,
        os.path.realpath(shared) if shared else None,
        _symbol_version(os.path.realpath(shared)) if shared else "",
        problem,
        origin,
    )


def _symbol_version(library: str) -> str:
    """``3.4.30`` for libstdc++.so.6.0.30: the last numbers are equal (GCC manual, ABI Policy and Guidelines)."""
    match = re.search(r"libstdc\+\+\.so\.6\.0\.(\d+)$", library)
    return f"3.4.{match[1]}" if match else ""


def _file(path: Path, name: str, env: Mapping[str, str]) -> str | None:
    output = capture([path, f"-print-file-name={name}"], env=env).strip()
    return os.path.normpath(output) if os.path.isabs(output) and os.path.exists(output) else None


def _includes(search: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split gcc's search list into libstdc++'s folders and gcc's own; the other folders belong to the system."""
    inside = search.partition("#include <...> search starts here:")[2].partition("End of search list")[0]
    cxx, gcc = [], []
    for line in inside.splitlines():
        folder = os.path.normpath(line.strip()) if line.strip() else ""
        if re.search(r"/c\+\+(/|$)", folder):
            cxx.append(folder)
        elif re.search(r"/lib(64|exec)?/gcc(-cross)?/", folder):
            gcc.append(folder)
    return tuple(cxx), tuple(gcc)
