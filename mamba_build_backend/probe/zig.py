"""The ziglang package of this Python: a C++ compiler, and its glibc headers and stubs."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from ..core.facts import Compiler, CompilerKind, Origin
from ..core.paths import matching


def installed_zig() -> Iterator[tuple[Path, str]]:
    """The package's folder, and its version such as ``0.13.0.post1``; empty if its metadata is not found."""
    with suppress(ImportError, ValueError):
        spec = find_spec("ziglang")
        if spec is not None and spec.origin:
            package, release = Path(spec.origin).parent, ""
            for info in matching(package.parent, "ziglang-*.dist-info"):
                release = info.name[len("ziglang-") : -len(".dist-info")]
            yield package, release


def zig_compilers() -> Iterator[Compiler]:
    """Ziglang as a C++ compiler, with zig's version; the tables say which CUDA versions it works with."""
    for package, release in installed_zig():
        number = release.partition(".post")[0]
        target = f"{platform.machine()}-linux-gnu"
        found_in = f"ziglang {release}"
        problem = None if number else "ziglang: its version cannot be read"
        yield Compiler(
            str(package / "zig"), found_in, CompilerKind.ZIG, number, target, problem=problem, origin=Origin.INDEX
        )
