"""Compilers under their usual names that see the sysroot and nothing of the host's glibc."""

from __future__ import annotations

import re
import shlex
import sysconfig
from pathlib import Path

from ..facts import Compiler
from .libstdcxx import Runtime
from .sysroot import Root


def c_compiler(cxx: Path) -> Path:
    """The C compiler that belongs to a C++ compiler: gcc-12 to g++-12."""
    own = cxx.with_name(re.sub(r"g\+\+(-[\d.]+)?$", r"gcc\1", cxx.name))
    return own if own.is_file() else cxx


def apply_wrappers(compiler: Compiler, root: Root, runtime: Runtime, folder: Path) -> tuple[Path, Path]:
    """Write ``gcc`` and ``g++`` scripts into ``folder/bin``; return their paths.

    They are named so because torch asks for compilers by these names, and nvcc's ``-ccbin`` takes either.
    """
    host = _host_headers(folder / "include")
    shared = [f"--sysroot={root.path}", "-nostdinc", *root.defines]
    includes = [f"-isystem{path}" for path in (*compiler.gcc_includes, *root.includes, *host)]
    cxx_includes = ["-nostdinc++", *(f"-isystem{path}" for path in compiler.cxx_includes)]
    libraries = [flag for path in root.libraries for flag in (f"-B{path}", f"-L{path}")]
    link = [f"-L{runtime.folder}", *libraries, f"-Wl,--exclude-libs,{':'.join(runtime.hidden)}"]
    binaries = folder / "bin"
    binaries.mkdir(parents=True, exist_ok=True)
    cc = _script(binaries / "gcc", [str(c_compiler(Path(compiler.path))), *shared, *includes, *link])
    cxx = _script(binaries / "g++", [compiler.path, *shared, *cxx_includes, *includes, *link])
    return cc, cxx


def _script(path: Path, command: list[str]) -> Path:
    path.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    return path


def _host_headers(view: Path) -> list[Path]:
    """Debian's pyconfig.h includes <x86_64-linux-gnu/python3.11/pyconfig.h>, which lies where no sysroot has it."""
    multiarch = sysconfig.get_config_var("MULTIARCH")
    include = Path(sysconfig.get_path("include"))
    real = include.parent / str(multiarch) / include.name
    if not multiarch or not real.is_dir():
        return []
    link = view / str(multiarch) / include.name
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(real)
    return [view]
