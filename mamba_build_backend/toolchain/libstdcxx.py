"""Link C++ so that it runs with an older libstdc++.so.6 than the compiler's, as gcc-toolset does.

If the linker gets the compiler's own libstdc++.so.6, it writes that library's newest symbol versions into the wheel.
Instead we give it a stub that exports only the symbols of the promised version, and after the stub the compiler's
libstdc++.a for the few newer functions. The linker takes those statically and hidden. Exceptions, locales and streams
stay in the one shared library; a fully static libstdc++ would duplicate them.

The archive must come right after the objects and before torch's libraries: GNU ld also takes archive members for
symbols that *shared* libraries on its command line leave undefined. Placed last, it gave an extension a member for
libtorch_python.so's std::runtime_error(std::runtime_error&&), and with it a reference to glibc 2.32. ``wrappers.py``
sees to the place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import ToolError
from ..core.facts import Compiler
from ..core.paths import is_file
from ..core.process import capture
from ..symbols.elf import DynamicSymbol, read_exports
from ..tables import Floor
from .sysroot import Root

STATIC = "libstdc++.a"
SUPPORT = "libmamba_support.a"

# g++ 13's <iostream> no longer makes a std::ios_base::Init in each object; it refers to this function instead, which
# means "the library initialises its streams itself" (GLIBCXX_3.4.32). An older library does not: so add the Init object
# here, and keep out libstdc++.a's own definition, which would bring a second set of streams.
_STREAMS_SOURCE = """\
#include <ios>
namespace std { void ios_base_library_init() {} }
namespace { std::ios_base::Init streams __attribute__((init_priority(101))); }
"""

# Members of a libstdc++.a that was built with glibc 2.32 or newer skip atomic operations if this variable of glibc
# says that there is one thread. 0 means that there may be more, which is always correct.
_THREADS_SOURCE = """\
extern "C" { extern char __libc_single_threaded; char __libc_single_threaded = 0; }
"""


@dataclass(frozen=True)
class Runtime:
    """The folder with the stub, and the linker arguments right after the objects; their symbols stay hidden."""

    folder: Path
    group: tuple[str, ...]


def apply_libstdcxx(compiler: Compiler, floor: Floor, root: Root, folder: Path, environ: Mapping[str, str]) -> Runtime:
    """Make ``folder/libstdc++.so`` for this compiler and the promised versions. Raises ToolError."""
    assert compiler.libstdcxx_shared is not None and compiler.libstdcxx_static is not None
    folder.mkdir(parents=True, exist_ok=True)
    kept = select_symbols(read_exports(Path(compiler.libstdcxx_shared)), floor)
    if not kept:
        raise ToolError(f"{compiler.libstdcxx_shared} exports no symbol at or under GLIBCXX_{floor.glibcxx}")
    assembly, script = folder / "stub.s", folder / "stub.map"
    assembly.write_text(_assembly(kept), encoding="ascii")
    script.write_text(_version_script(kept), encoding="ascii")
    shared = folder / "libstdc++.so.6"
    link = [
        "-shared",
        "-nostdlib",
        "-nostartfiles",
        "-fPIC",
        f"-Wl,--version-script={script}",
        "-Wl,-soname,libstdc++.so.6",
    ]
    capture([compiler.path, *link, "-o", shared, assembly], env=environ, timeout=120)

    support = _support_archive(compiler, root, folder, environ)
    (folder / "libstdc++.so").unlink(missing_ok=True)
    (folder / "libstdc++.so").symlink_to(shared.name)
    # A group, because members of the static library may need the support archive. The support archive comes first, so
    # that its definitions win.
    group = ("-Wl,--start-group", str(shared), str(support), compiler.libstdcxx_static, "-Wl,--end-group")
    return Runtime(folder, (f"-Wl,--exclude-libs,{STATIC}:{SUPPORT}", *group))


def _support_archive(compiler: Compiler, root: Root, folder: Path, environ: Mapping[str, str]) -> Path:
    includes = [f"-isystem{path}" for path in (*compiler.cxx_includes, *compiler.gcc_includes, *root.includes)]
    objects = []
    for name, text in (("streams", _STREAMS_SOURCE), ("threads", _THREADS_SOURCE)):
        source = folder / f"{name}.cpp"
        source.write_text(text, encoding="ascii")
        objects.append(folder / f"{name}.o")
        flags = [*root.defines, "-nostdinc", "-nostdinc++", *includes, "-O2", "-fPIC"]
        command: list[str | os.PathLike[str]] = [compiler.path, *flags, "-c", source, "-o", objects[-1]]
        capture(command, env=environ, timeout=120)
    archive = folder / SUPPORT
    archive.unlink(missing_ok=True)
    capture([_ar(compiler), "rcs", archive, *objects], env=environ, timeout=60)
    return archive


def _ar(compiler: Compiler) -> str:
    # A cross or conda compiler has its own binutils, with the same name prefix.
    own = re.sub(r"g\+\+(-[\d.]+)?$", "ar", compiler.path)
    return own if own != compiler.path and is_file(own) else "ar"


def select_symbols(symbols: Iterable[DynamicSymbol], floor: Floor) -> tuple[DynamicSymbol, ...]:
    """Select each symbol's newest version within the promise; omit symbols that are newer."""
    caps = {"GLIBCXX": _numbers(floor.glibcxx), "CXXABI": _numbers(floor.cxxabi)}
    best: dict[str, tuple[tuple[int, ...], DynamicSymbol]] = {}
    for symbol in symbols:
        family, _, number = symbol.version.partition("_")
        # Nodes such as CXXABI_TM_1 and GLIBCXX_LDBL_3.4 are not part of the promise. A version definition also appears
        # as an absolute symbol with its own name.
        if family not in caps or not re.fullmatch(r"\d+(\.\d+)*", number) or symbol.name == symbol.version:
            continue
        numbers = _numbers(number)
        if numbers <= caps[family] and (symbol.name not in best or numbers > best[symbol.name][0]):
            best[symbol.name] = (numbers, symbol)
    return tuple(symbol for _, symbol in sorted(best.values(), key=lambda item: item[1].name))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


_SECTIONS = {"function": ".text", "object": ".data", "tls": '.section .tbss,"awT",%nobits'}
_TYPES = {"function": "%function", "object": "%object", "tls": "%tls_object"}


def _assembly(symbols: tuple[DynamicSymbol, ...]) -> str:
    """Return assembly with a definition for each symbol, of its kind, binding and size; it is never executed."""
    lines = []
    for symbol in symbols:
        size = max(1, symbol.size) if symbol.kind != "function" else 1
        kind = "%gnu_unique_object" if symbol.unique else _TYPES[symbol.kind]
        lines += [
            _SECTIONS[symbol.kind],
            f'{".weak" if symbol.weak else ".globl"} "{symbol.name}"',
            f'.type "{symbol.name}", {kind}',
            f'"{symbol.name}":',
            f".zero {size}",
            f'.size "{symbol.name}", {size}',
        ]
    return "\n".join([*lines, '.section .note.GNU-stack,"",%progbits', ""])


def _version_script(symbols: tuple[DynamicSymbol, ...]) -> str:
    nodes: dict[str, list[str]] = {}
    for symbol in symbols:
        nodes.setdefault(symbol.version, []).append(symbol.name)
    # "local: *" may occur only once; symbols that a node names stay exported.
    blocks = [
        f"{node} {{ global: {' '.join(f'{name};' for name in names)} {'local: *; ' if first == 0 else ''}}};"
        for first, (node, names) in enumerate(sorted(nodes.items()))
    ]
    return "\n".join([*blocks, ""])
