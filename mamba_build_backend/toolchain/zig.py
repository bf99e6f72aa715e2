"""Use zig's C++ compiler in place of g++: clang with its own C++ library, linked in, and the glibc that the wheel promises.

zig needs the libc++ branch of CUDA's headers, which ``__HORIZON__`` enables. The compiler must not define that name
when nvcc asks for its predefined macros (nvcc would look for a front end that does not exist), so it is an option of
nvcc, not of the scripts here. One declaration in that branch differs from glibc's: glibc's ``__assert_fail`` takes an
unsigned line number, and throws nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..core.facts import CompilerKind
from ..core.files import link_to
from ..core.paths import entries, is_dir, is_file, is_link, matching, read_text, resolved
from ..core.process import Echo, capture
from ..plan import BuildPlan
from ..plan.types import ReadyPlan
from ..tables import load_tables
from .wrappers import HAND_OVER, HANDED_OVER, host_headers, quoted, written

NVCC_FLAGS = ("-D__HORIZON__",)
_ASSERT = re.compile(
    r"(__HORIZON__\)\s*extern[^;]*?__assert_fail\(\s*const char \*, const char \*, )int(, const char \*\))(;)"
)
_CONFIG = """\
// libc++ declares the names of C with this attribute, which the front end of older nvcc does not know.
#include_next <__config>
#undef _LIBCPP_USING_IF_EXISTS
#define _LIBCPP_USING_IF_EXISTS
"""
_TRIAL = "#include <iostream>\n#include <string>\nvoid trial(std::string text) { std::cout << text; throw text; }\n"


def nvcc_flags(plan: BuildPlan) -> tuple[str, ...]:
    """Return nvcc's additional options if zig is its host compiler."""
    compiler = plan.compiler.value
    return NVCC_FLAGS if compiler is not None and compiler.kind is CompilerKind.ZIG else ()


def apply_zig(
    ready: ReadyPlan,
    folder: Path,
    cache: Path,
    environ: Mapping[str, str],
    echo: Echo,
    places: Sequence[tuple[str, str]] = (),
) -> tuple[Path, Path]:
    """Write ``gcc`` and ``g++`` scripts into ``folder/bin`` that start zig; return their paths.

    If the plan says so, a link strips symbols: a machine without g++ has no ``strip`` either.

    Their text depends on no path, because a compiler cache hashes them. ``places`` are as in
    :func:`~mamba_build_backend.toolchain.wrappers.apply_wrappers`. zig compiles its C++ library at its first link; the
    result is kept in ``cache``.
    """
    compiler, kept = ready.compiler, cache / "zig"
    kept.mkdir(parents=True, exist_ok=True)
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    link_to(Path(compiler.path).parent, folder / "zig")
    link_to(kept, folder / "zig-kept")
    target = f"{compiler.target}.{ready.plan.floor.glibc}"
    # -O disables zig's checks for undefined behaviour, which would abort the process; but it also disables assert, so
    # undo that.
    shared = ["-target", target, "-O2", "-fno-sanitize=undefined", "-UNDEBUG"]
    shared += ["-ffile-prefix-map=$work=.", "-ffile-prefix-map=$real=.", "-ffile-prefix-map=$tools/zig=zig"]
    shared += [f"-ffile-prefix-map={place.replace(str(folder), '$tools')}={name}" for place, name in places]
    if ready.plan.runtime is not None:
        shared.append("-DMAMBA_STABLE_OWN_PYTHON_H")  # this Python's header is for another processor
    else:
        shared += [f"-isystem$tools/{path.relative_to(folder)}" for path in host_headers(folder / "include")]
    row = next(row for row in load_tables().zig_compilers if row.version == compiler.version)
    shield = [] if row.using_if_exists else ["-I$tools/shield"]
    if shield:
        (folder / "shield").mkdir(exist_ok=True)
        (folder / "shield" / "__config").write_text(_CONFIG, encoding="ascii")

    def script(name: str, driver: str, options: Sequence[str]) -> Path:
        command = quoted(["$tools/zig/zig", driver, *shared, *options])
        strip = "-s" if ready.plan.strip else ""
        text = _SCRIPT.format(version=compiler.version, command=command, strip=strip, **HANDED_OVER)
        return written(folder / "bin" / name, text)

    cc, cxx = script("gcc", "cc", ()), script("g++", "c++", shield)
    name = f"{compiler.version}-{target}{'-stripped' if ready.plan.strip else ''}"  # zig makes one library for each
    _make_library(cxx, name, folder, kept, environ, echo)
    return cc, cxx


def _make_library(cxx: Path, name: str, folder: Path, kept: Path, environ: Mapping[str, str], echo: Echo) -> None:
    """Link a trial file, so that zig makes its C++ library now, with a message.

    Of two parallel builds the second waits.
    """
    done, trial = kept / f"{name}.made", folder / "trial-zig.cpp"
    if is_file(done):
        return
    echo("zig compiles its C++ library (once; takes a minute or more)")
    trial.write_text(_TRIAL, encoding="ascii")
    made = trial.with_suffix(".o")
    capture([cxx, "-fPIC", "-c", trial, "-o", made], env=environ, timeout=600)
    capture([cxx, "-shared", made, "-o", trial.with_suffix(".so")], env=environ, timeout=3600)
    done.touch()


def mend_headers(view: Path) -> None:
    """Put a corrected copy of one header into a folder of links to a toolkit, wherever nvcc may find it."""
    for include in (view / "include", *matching(view, "targets/*/include")):
        header = include / "crt" / "common_functions.h"
        if not is_file(header):
            continue
        text = read_text(header, errors="surrogateescape")
        changed = _ASSERT.sub(r"\1unsigned int\2 __THROW\3", text)
        if changed == text:
            continue
        for part in reversed([*header.relative_to(view).parents][:-1]):
            _open_link(view / part)
        header.unlink()
        header.write_text(changed, encoding="utf-8", errors="surrogateescape")


def _open_link(link: Path) -> None:
    """Replace a link to a folder by a folder of links."""
    if is_link(link) and is_dir(link):
        home = resolved(link)
        link.unlink()
        link.mkdir()
        for entry in entries(home):
            (link / entry.name).symlink_to(entry)


# A link keeps only objects, libraries and the version script: other options are for GNU ld or for Python's own
# compiler, and zig rejects unknown ones. The extension finds only Python's symbols in the process.
_SCRIPT = (
    """\
#!/bin/sh
# zig {version}
tools=${{0%/*/*}}
work=${{tools%/*}}
real=$(cd "$work" && pwd -P)
export ZIG_GLOBAL_CACHE_DIR="$tools/zig-kept" ZIG_LOCAL_CACHE_DIR="$work/zig-objects"
# It would find its headers by its own real path: a compiler cache has to see the same names in every build.
export ZIG_LIB_DIR="$tools/zig/lib"
links=yes noted=no
[ "$*" != -v ] || links=no
for word in "$@"; do
    case $word in
        -MF) noted=yes ;;
        -c|-S|-E|-M|-MM|-fsyntax-only|-r|--version|-dump*|-print*) links=no ;;
    esac
done
if [ $links = yes ]; then
    count=$#
    for word in "$@"; do
        case $word in
            -shared|-o|-L*|-l*|-Wl,--version-script=*) set -- "$@" "$word" ;;
            -*) ;;
            *) set -- "$@" "$word" ;;
        esac
    done
    shift $count
    set -- "$@" {strip}
fi
"""
    + HAND_OVER
)
