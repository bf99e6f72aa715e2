"""Compilers under their usual names that see the sysroot and nothing of the host's glibc."""

from __future__ import annotations

import re
import shlex
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from .._compat import version
from ..facts import Compiler
from ..process import capture
from .libstdcxx import Runtime
from .sysroot import Root

_C_NAMES = {"g": "gcc", "c": "cc"}
_PREFIX_MAP_SINCE = 8
"""GCC 8's release notes, on -ffile-prefix-map."""


def c_compiler(cxx: Path) -> Path:
    """The C compiler that belongs to a C++ compiler: gcc-12 to g++-12, conda's …-cc to its …-c++."""
    own = cxx.with_name(re.sub(r"[gc]\+\+(-[\d.]+)?$", lambda end: _C_NAMES[end[0][0]] + (end[1] or ""), cxx.name))
    return own if own.is_file() else cxx


def apply_wrappers(
    compiler: Compiler, root: Root, runtime: Runtime, folder: Path, places: Mapping[str, str]
) -> tuple[Path, Path]:
    """Write ``gcc`` and ``g++`` scripts into ``folder/bin``; return their paths.

    They are named so because torch asks for compilers by these names, and nvcc's ``-ccbin`` takes either. ``places`` are folders
    of this build, and what ``__FILE__`` says in their stead, which torch's headers put into the binary.
    """
    host = _host_headers(folder / "include")
    shared = [f"--sysroot={root.path}", "-nostdinc", *root.defines]
    if version.Version(compiler.version).major >= _PREFIX_MAP_SINCE:
        shared += [f"-ffile-prefix-map={place}={name}" for place, name in places.items()]
    includes = [f"-isystem{path}" for path in (*compiler.gcc_includes, *root.includes, *host)]
    cxx_includes = ["-nostdinc++", *(f"-isystem{path}" for path in compiler.cxx_includes)]
    libraries = [flag for path in root.libraries for flag in (f"-B{path}", f"-L{path}")]
    # Programs, as opposed to extensions, would otherwise have to resolve what torch's libraries need of a newer system.
    # A build ID is made from all that is stripped afterwards, too, such as the names of nvcc's temporary files.
    link = [f"-L{runtime.folder}", *libraries, "-Wl,--allow-shlib-undefined", "-Wl,--build-id=none"]
    binaries = folder / "bin"
    binaries.mkdir(parents=True, exist_ok=True)
    cc = _script(binaries / "gcc", [str(c_compiler(Path(compiler.path))), *shared, *includes], link, runtime)
    cxx = _script(binaries / "g++", [compiler.path, *shared, *cxx_includes, *includes], link, runtime)
    return cc, cxx


_OLD_LIBRARIES = ("-Wl,--push-state,--as-needed", "-ldl", "-lpthread", "-lrt", "-lutil", "-Wl,--pop-state")
"""Since glibc 2.34 their functions are in libc, and code forgets to ask for them: torch 2.15's headers call dlsym, and a link
against an older glibc left it without a version."""

# In a link, the runtime's group goes right behind the last object, so in front of the libraries; libstdcxx.py says why.
# What only a link needs stays away from questions such as "-v", which gcc would take for a link of nothing.
_SCRIPT = """\
#!/bin/sh
links=yes
[ "$*" != -v ] || links=no
index=0 last=0 before=
for word in "$@"; do
    index=$((index + 1))
    case $word in
        -c|-S|-E|-M|-MM|-fsyntax-only|-r|--version|-dump*|-print*) links=no ;;
        -*|*.so|*.so.[0-9]*) ;;
        *) case $before in -o|-l) ;; *) last=$index ;; esac ;;
    esac
    before=$word
done
if [ $links = yes ]; then
    index=0
    for word in "$@"; do
        index=$((index + 1))
        case $word in
            # conda's and pyenv's Pythons add their own folder; $ORIGIN and the like stay.
            -Wl,-rpath,/*|-Wl,-rpath=/*|-Wl,--rpath,/*|-Wl,--rpath=/*|-Wl,-R/*|-Wl,-R,/*|-R/*) ;;
            -Wl,--enable-new-dtags,-rpath,/*|-Wl,--enable-new-dtags,-R/*) ;;
            *) set -- "$@" "$word" ;;
        esac
        [ $index != $last ] || set -- "$@" {group}
    done
    shift $index
    # Before the caller's own: Debian's Python links extensions with -L/usr/lib/x86_64-linux-gnu, the host's glibc.
    set -- {link} "$@" {last}
fi
exec {command} "$@"
"""


def _script(path: Path, command: list[str], link: list[str], runtime: Runtime) -> Path:
    text = _SCRIPT.format(
        command=shlex.join(command),
        group=shlex.join(runtime.group),
        link=shlex.join(link),
        last=shlex.join(_OLD_LIBRARIES),
    )
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


# nvcc makes the names of a file's internal functions and variables from its path, so two build folders gave two binaries.
# What its first stage is told last of that path is what it takes. In a file that defines nothing for others, such as most of
# the kernels, a number of the process comes in, too; "-frandom-seed" takes that out, and not the path (seen with 11.8, 13.0).
_NVCC = """\
#!/bin/sh
for word in "$@"; do
    case $word in /*.cu) path=$word ;; *.cu) path=$PWD/$word ;; *) continue ;; esac
    for work in {works}; do
        case $path in "$work"/*) set -- "$@" -Xcudafe "--orig_src_path_name=${{path#"$work"}}" {seed} ;; esac
    done
done
exec {nvcc} "$@"
"""


def nvcc_wrapper(nvcc: Path, works: Sequence[str], folder: Path, environ: Mapping[str, str]) -> Path:
    """Write an ``nvcc`` into ``folder`` that makes the same of a source in whichever build folder it lies.

    ``works`` are the names of that folder. Those of CUDA 11.8 and 12.4 cannot be told a seed; 13.0's can.
    """
    path = folder / "nvcc"
    seed = '"-frandom-seed=${path#"$work"}"' if "-frandom-seed" in capture([nvcc, "--help"], env=environ) else ""
    names = shlex.join(dict.fromkeys(works))
    path.write_text(_NVCC.format(works=names, seed=seed, nvcc=shlex.quote(str(nvcc))), encoding="utf-8")
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
