"""Zig as nvcc's host compiler: when it can be used, and what must be installed."""

from __future__ import annotations

from ..core.facts import Compiler, CompilerKind, Facts
from ..core.settings import Settings
from ..tables import Tables, ZigCompiler
from .types import Abi, Install, Tool


def zig_obstacle(settings: Settings, facts: Facts, tables: Tables, cuda: str, abi: Abi) -> str:
    """Why zig cannot be nvcc's host compiler here; empty if it can."""
    machine, row = facts.machine, tables.zig_compiler(cuda) if cuda else None
    if not abi.is_stable:
        return "with abi=torch the wheel shares torch's C++ library, which is g++'s, and zig has its own"
    if row is None:
        return f"no zig is known to work with nvcc {cuda}"
    if (machine.system, machine.libc) != ("Linux", "glibc") or machine.runs_on not in row.archs:
        return f"zig was tested as nvcc's host compiler only on {' and '.join(row.archs)} with glibc"
    if machine.host and machine.arch not in row.cross:
        return f"zig with nvcc {cuda} was not tested for {machine.arch}"
    if settings.sysroot not in ("auto", "zig"):
        return f"zig brings its own glibc, and setting sysroot is {settings.sysroot}"
    return ""


def take_zig(facts: Facts, row: ZigCompiler) -> tuple[Compiler | None, list[Install]]:
    """The installed zig, or the requirement that installs it."""
    for item in facts.compilers:
        if item.kind is CompilerKind.ZIG and item.version == row.version and not item.problem:
            return item, []
    return None, [Install(Tool.COMPILER, (row.requirement,))]
