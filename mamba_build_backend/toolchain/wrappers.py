"""Scripts with the compilers' usual names, which compile against the sysroot and never against the host's glibc."""

from __future__ import annotations

import re
import shlex
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from ..core._compat import version
from ..core.facts import Compiler
from ..core.files import link_to
from ..core.paths import is_dir, is_file, is_link
from .libstdcxx import Runtime
from .shims import protocol
from .sysroot import Root

_C_NAMES = {"g": "gcc", "c": "cc"}
_PREFIX_MAP_SINCE = 8
"""GCC 8's release notes, on -ffile-prefix-map."""


def c_compiler(cxx: Path) -> Path:
    """Return the C compiler of a C++ compiler: gcc-12 for g++-12, conda's …-cc for its …-c++."""
    own = cxx.with_name(re.sub(r"[gc]\+\+(-[\d.]+)?$", lambda end: _C_NAMES[end[0][0]] + (end[1] or ""), cxx.name))
    return own if is_file(own) else cxx


def apply_wrappers(
    compiler: Compiler, root: Root, runtime: Runtime, folder: Path, places: Sequence[tuple[str, str]] = ()
) -> tuple[Path, Path]:
    """Write ``gcc`` and ``g++`` scripts into ``folder/bin``; return their paths.

    torch looks for compilers with these names, and nvcc's ``-ccbin`` accepts either. Their text does not depend on the
    path of ``folder``, because a compiler cache hashes them. ``places`` are further folders and their replacements in
    ``__FILE__``, which torch's headers put into the binary; the parent of ``folder`` becomes ".".
    """
    binaries = folder / "bin"
    binaries.mkdir(parents=True, exist_ok=True)
    if root.path != Path("/"):
        link_to(root.path, folder / "sysroot")

    def seen(path: str | Path) -> str:
        inside = Path(path)
        if root.path != Path("/") and root.path in (inside, *inside.parents):
            return f"$tools/sysroot/{inside.relative_to(root.path)}"
        return f"$tools/{inside.relative_to(folder)}" if folder in inside.parents else str(path)

    host = host_headers(folder / "include")
    shared = [f"--sysroot={seen(root.path)}", "-nostdinc", *root.defines]
    if version.Version(compiler.version).major >= _PREFIX_MAP_SINCE:
        shared += ["-ffile-prefix-map=$work=.", "-ffile-prefix-map=$real=."]
        shared += [f"-ffile-prefix-map={seen(place)}={name}" for place, name in places]
    includes = [f"-isystem{seen(str(path))}" for path in (*compiler.gcc_includes, *root.includes, *host)]
    cxx_includes = ["-nostdinc++", *(f"-isystem{path}" for path in compiler.cxx_includes)]
    libraries = [flag for path in root.libraries for flag in (f"-B{seen(path)}", f"-L{seen(path)}")]
    # Otherwise programs (not extensions) would have to resolve symbols of a newer system that torch's libraries need.
    # No build ID: it depends on data that is stripped later, such as the names of nvcc's temporary files.
    link = [f"-L{seen(runtime.folder)}", *libraries, "-Wl,--allow-shlib-undefined", "-Wl,--build-id=none"]
    group = [seen(word) for word in runtime.group]

    def script(name: str, command: list[str]) -> Path:
        parts = {"command": command, "link": link, "group": group, "last": _OLD_LIBRARIES}
        return written(
            binaries / name, _SCRIPT.format(**{key: quoted(words) for key, words in parts.items()}, **HANDED_OVER)
        )

    cc = script("gcc", [str(c_compiler(Path(compiler.path))), *shared, *includes])
    return cc, script("g++", [compiler.path, *shared, *cxx_includes, *includes])


def quoted(words: Sequence[str]) -> str:
    """Quote words for the shell, but keep the script's own variables."""
    return " ".join(re.sub(r"\$(tools|work|real)\b", r"""'"$\1"'""", shlex.quote(word)) for word in words)


_OLD_LIBRARIES = ("-Wl,--push-state,--as-needed", "-ldl", "-lpthread", "-lrt", "-lutil", "-Wl,--pop-state")
"""Since glibc 2.34 their functions are in libc, so code forgets to link them: torch 2.15's headers call dlsym, and a link
against an older glibc left that symbol without a version."""

# In a link, the runtime's group goes right after the last object and before the libraries; libstdcxx.py says why.
# Link options must not be added to queries such as "-v": gcc would then try to link nothing.
HAND_OVER = """\
# ninja's compiles ask for a list of dependencies, and so they can be cached; nvcc's own steps do not.
if [ $noted$links = yesno ] && [ -n "${step_file}" ] && [ -z "${in_shim}" ]; then
    export {in_shim}=yes
    exec "${python}" -I -S "${shim}" "$0" "$@"
fi
exec {command} "$@"
"""
"""The end of a compiler's script: depending on ``noted`` and ``links``, exec the object cache or the compiler itself."""
HANDED_OVER = {
    "step_file": protocol.STEP_FILE,
    "in_shim": protocol.IN_SHIM,
    "python": protocol.PYTHON,
    "shim": protocol.COMPILER_SHIM,
}
"""Values for formatting a script with that end, besides ``command``."""
_SCRIPT = (
    """\
#!/bin/sh
tools=${{0%/*/*}}
work=${{tools%/*}}
real=$(cd "$work" && pwd -P)
links=yes noted=no
[ "$*" != -v ] || links=no
index=0 last=0 before=
for word in "$@"; do
    index=$((index + 1))
    case $word in
        -MF) noted=yes ;;
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
"""
    + HAND_OVER
)


def written(path: Path, text: str) -> Path:
    """Write a program; return its path."""
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


_NVCC = f"""\
#!/bin/sh
exec "${protocol.PYTHON}" -I -S "${protocol.COMPILER_SHIM}" {{nvcc}} "$@"
"""


def nvcc_wrapper(nvcc: Path, folder: Path) -> Path:
    """Write an ``nvcc`` into ``folder`` that compiles through ``shims/compiler.py``."""
    folder.mkdir(parents=True, exist_ok=True)
    return written(folder / "nvcc", _NVCC.format(nvcc=shlex.quote(str(nvcc))))


def host_headers(view: Path) -> list[Path]:
    """Return a folder with <x86_64-linux-gnu/python3.11/pyconfig.h>, which Debian's pyconfig.h includes and no sysroot has."""
    multiarch = sysconfig.get_config_var("MULTIARCH")
    include = Path(sysconfig.get_path("include"))
    real = include.parent / str(multiarch) / include.name
    if not multiarch or not is_dir(real):
        return []
    link = view / str(multiarch) / include.name
    link.parent.mkdir(parents=True, exist_ok=True)
    if not is_link(link):
        link.symlink_to(real)
    return [view]
