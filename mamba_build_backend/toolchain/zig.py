"""zig's C++ compiler in g++'s place: clang with a C++ library of its own, linked in, and the glibc that the wheel promises.

Of CUDA's headers it needs the branch for libc++ that ``__HORIZON__`` switches on. nvcc itself must not see that name where it asks the
compiler what it is (it would look for a front end that is not there), so it is an option of nvcc's and not of the scripts here. One
declaration in that branch is not glibc's: ``__assert_fail`` takes an unsigned line number, and throws nothing.
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
    """What nvcc is told where zig is its host compiler."""
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

    A link drops the symbols that nobody links against, where the plan wants that: a machine without g++ has no ``strip`` either.

    What they say depends on no folder, as a compiler cache reads them. ``places`` are as of
    :func:`~mamba_build_backend.toolchain.wrappers.apply_wrappers`. zig compiles its C++ library at its first link; the result stays in
    ``cache``.
    """
    compiler, kept = ready.compiler, cache / "zig"
    kept.mkdir(parents=True, exist_ok=True)
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    link_to(Path(compiler.path).parent, folder / "zig")
    link_to(kept, folder / "zig-kept")
    target = f"{compiler.target}.{ready.plan.floor.glibc}"
    # With an -O zig leaves out its checks of undefined behaviour, which end a process; but it also leaves out assert, kernels' too.
    shared = ["-target", target, "-O2", "-fno-sanitize=undefined", "-UNDEBUG"]
    shared += ["-ffile-prefix-map=$work=.", "-ffile-prefix-map=$real=.", "-ffile-prefix-map=$tools/zig=zig"]
    shared += [f"-ffile-prefix-map={place.replace(str(folder), '$tools')}={name}" for place, name in places]
    if ready.plan.runtime is not None:
        shared.append("-DMAMBA_STABLE_OWN_PYTHON_H")  # this Python's header is another processor's
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
    name = f"{compiler.version}-{target}{'-stripped' if ready.plan.strip else ''}"  # zig makes one for each
    _make_library(cxx, name, folder, kept, environ, echo)
    return cc, cxx


def _make_library(cxx: Path, name: str, folder: Path, kept: Path, environ: Mapping[str, str], echo: Echo) -> None:
    """Link something, so that zig makes its C++ library now, and that is said; of two builds at once the second waits for the first."""
    done, trial = kept / f"{name}.made", folder / "trial-zig.cpp"
    if is_file(done):
        return
    echo("zig makes its C++ library: once, a minute or more")
    trial.write_text(_TRIAL, encoding="ascii")
    made = trial.with_suffix(".o")
    capture([cxx, "-fPIC", "-c", trial, "-o", made], env=environ, timeout=600)
    capture([cxx, "-shared", made, "-o", trial.with_suffix(".so")], env=environ, timeout=3600)
    done.touch()


def mend_headers(view: Path) -> None:
    """Put a changed copy of one header into a folder of links to a toolkit, wherever nvcc may find it."""
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
    """What is a link to a folder becomes a folder of links."""
    if is_link(link) and is_dir(link):
        home = resolved(link)
        link.unlink()
        link.mkdir()
        for entry in entries(home):
            (link / entry.name).symlink_to(entry)


# A link takes the objects, libraries and version script alone: other options are GNU ld's or a Python's own compiler's, and zig
# refuses those that it does not know. It finds Python's symbols, and nothing else, in the process.
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
