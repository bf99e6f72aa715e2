"""Choose nvcc's host compiler from the C++ compilers that were found."""

from __future__ import annotations

from dataclasses import replace

from ..core.commands import as_root, guessed
from ..core.errors import with_comment
from ..core.facts import Compiler, CompilerKind, Facts, Origin
from ..core.settings import ZIG, Place, Settings
from ..core.versions import parsed
from ..tables import Cuda, Tables, TorchRow, is_newer, minor
from .cross import check_cross
from .notebook import Notebook
from .remedies import install_compiler
from .types import Abi, Choice, Install, Rejected, TorchTarget
from .zig import take_zig, zig_obstacle

CXX17_GCC, CXX20_GCC = 7, 10
"""The first g++ with complete C++17, and the first with -std=c++20 instead of -std=c++2a (GCC 7 and 10 release
notes)."""


class Limits:
    """The g++ versions that nvcc and (if included) torch's headers both support; each limit knows who sets it."""

    def __init__(self, tables: Tables, cuda: str, target: TorchTarget, abi: Abi) -> None:
        self.cuda = cuda
        row: Cuda = tables.cuda_row(cuda)
        torch: TorchRow | None = tables.torch_row(minor(target.version)) if target.version else None
        lower = [(row.gcc_min, f"nvcc {cuda}")]
        if abi.is_stable:
            lower.append((CXX17_GCC, "C++17"))
        elif torch is not None:
            lower.append((torch.gcc_min, f"torch {minor(target.version)}"))
        if target.cxx_standard >= 20:
            lower.append((CXX20_GCC, f"torch's C++{target.cxx_standard}"))
        self.least, self.least_by = max(lower, key=lambda pair: pair[0])
        # A CUDA release that is newer than the table will support newer compilers than the newest known one.
        self.most = None if is_newer(tables.cuda, cuda) else row.gcc_max
        self.likely_most = row.gcc_max
        self.bad_pairs = [pair for pair in tables.bad_pairs if pair.holds_cuda(cuda)]

    def misfit(self, release: str) -> str:
        """Why this g++ does not fit; empty if it does."""
        major = parsed(release).major
        if self.most is not None and major > self.most:
            return f"nvcc {self.cuda} works with g++ up to {self.most}"
        if major < self.least:
            return f"{self.least_by} needs g++ {self.least} or newer"
        return next((pair.why for pair in self.bad_pairs if pair.bans(release)), "")

    def banned(self) -> tuple[int, ...]:
        """Major versions within the limits whose every known release fails."""
        inside = range(self.least, self.likely_most + 1)
        return tuple(n for n in inside if any(pair.bans(f"{n}.1") and pair.bans(f"{n}.9") for pair in self.bad_pairs))

    def __str__(self) -> str:
        """The supported range in words."""
        banned, most = self.banned(), self.most
        while most is not None and most in banned:
            most -= 1
        upto = f"to {most}" if most is not None else "and newer"
        between = "".join(f", not {n}" for n in banned if most is None or n < most)
        who = "works" if self.least_by.startswith("nvcc") else f"and {self.least_by} work"
        return f"nvcc {self.cuda} {who} with g++ {self.least} {upto}{between}"


def decide_compiler(
    settings: Settings, facts: Facts, tables: Tables, cuda: str, target: TorchTarget, abi: Abi, notebook: Notebook
) -> tuple[Choice[Compiler | None], list[Install]]:
    """The first g++ that nvcc and torch both support and that has a static libstdc++; otherwise zig."""
    limits = Limits(tables, cuda, target, abi)
    asked_zig = settings.host_compiler == ZIG
    forced = settings.host_compiler not in ("auto", ZIG) and settings.place("host-compiler") is not Place.ALIAS
    rejected: list[Rejected] = []
    best: Compiler | None = None
    for item in facts.compilers if not asked_zig else ():
        if item.kind is CompilerKind.ZIG:
            continue
        why = _misfit(item, facts, limits)
        if forced and item.origin is not Origin.SETTING:
            why = why or "setting host-compiler names another compiler"
        elif best is not None:
            why = why or f"{best.path} was found first"
        if why:
            rejected.append(Rejected(_name(item), why))
        else:
            best = item
    if best is not None:
        return Choice(best, f"{best.found_in}: {limits}", tuple(rejected), forced=forced), []
    obstacle = "setting host-compiler asks for a g++" if forced else zig_obstacle(settings, facts, tables, cuda, abi)
    row = tables.zig_compiler(cuda)
    if not obstacle and row is not None:
        found, installs = take_zig(facts, row)
        why = "setting host-compiler" if asked_zig else f"no g++ on this machine fits: {limits}"
        if facts.machine.host:
            why = f"cross-compiles for {facts.machine.arch}"
        elif not asked_zig:
            way = next(iter(install_compiler(limits.least, _most(limits), limits.banned(), facts, tables)))
            text = f"no g++ fits nvcc {cuda}, so the build uses zig from PyPI; install a g++ to use that instead"
            notebook.note(text, "" if way.startswith("-C") else way)
        return Choice(found, why, tuple(rejected), forced=asked_zig), installs
    if facts.machine.host:
        check_cross(facts, abi, obstacle, notebook)
    elif asked_zig:
        notebook.problem(
            "host-compiler", "setting host-compiler asks for zig", obstacle, "-C host-compiler=auto   (use a g++)"
        )
    else:
        _problem(facts, tables, limits, tuple(rejected), notebook)
    return Choice(None, "none fits", tuple(rejected)), []


def has_gxx(facts: Facts, limits: Limits) -> bool:
    """Whether a g++ on this machine fits."""
    return any(item.kind is CompilerKind.GCC and not _misfit(item, facts, limits) for item in facts.compilers)


def _name(item: Compiler) -> str:
    return f"{item.title} ({item.path})"


def _misfit(item: Compiler, facts: Facts, limits: Limits) -> str:
    if item.problem:
        return item.problem
    if facts.machine.host:
        return "only zig cross-compiles"
    if not item.target.startswith(facts.machine.arch):
        return f"compiles for {item.target}"
    return limits.misfit(item.version) or _without_static(item)


def _without_static(item: Compiler) -> str:
    return "" if item.libstdcxx_static else "libstdc++.a is not installed, and a portable link needs it"


def _lacks_static_alone(item: Compiler, facts: Facts, limits: Limits) -> bool:
    return bool(_misfit(item, facts, limits)) and not _misfit(replace(item, libstdcxx_static="there"), facts, limits)


def _most(limits: Limits) -> int:
    return limits.most if limits.most is not None else limits.likely_most


def _problem(facts: Facts, tables: Tables, limits: Limits, rejected: tuple[Rejected, ...], notebook: Notebook) -> None:
    seen = "; ".join(f"{item.what}: {item.why}" for item in rejected)
    row = tables.distribution_row(facts.machine.distribution)
    shell = guessed(facts.shell, facts.machine.python_prefix)
    fixes = list(install_compiler(limits.least, _most(limits), limits.banned(), facts, tables))
    if row is not None and row.static and any(_lacks_static_alone(item, facts, limits) for item in facts.compilers):
        command, _, comment = row.static.partition("   (")
        # A user of a cluster with modules is rarely root, so that command comes second.
        fixes.insert(int(shell.modules), with_comment(as_root(shell, command), comment.removesuffix(")")))
    found = f"no C++ compiler fits ({seen})" if seen else "no g++ was found"
    notebook.problem("no-compiler", found, str(limits), *fixes)
