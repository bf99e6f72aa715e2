"""Choose the glibc to link against, and the symbol versions that the wheel may need from a system."""

from __future__ import annotations

from collections.abc import Sequence

from ..core._compat import version
from ..core.facts import Compiler, CompilerKind, Facts, Origin, Sysroot, SysrootProvider, Torch
from ..core.settings import Settings
from ..symbols.floors import Asked, larger, newest
from ..tables import Cuda, Floor, Tables, minor
from .notebook import Notebook
from .types import Abi, Choice, Install, Rejected, Tool, TorchTarget


def decide_sysroot(
    settings: Settings,
    facts: Facts,
    tables: Tables,
    cuda: str,
    compiler: Compiler | None,
    installs: Sequence[Install],
    notebook: Notebook,
) -> tuple[Choice[Sysroot | None], list[Install]]:
    """A sysroot whose glibc is not newer than the setting ``glibc``, and what must be installed for it.

    ``installs`` are the compiler's.
    """
    here = compiler is not None and compiler.kind is CompilerKind.ZIG
    if here or any(item.tool is Tool.COMPILER for item in installs):
        return Choice(_of_zig(settings, compiler) if compiler else None, "the compiler's own"), []
    target = version.Version(settings.glibc)
    host = Sysroot(SysrootProvider.HOST, "/", "this machine", facts.machine.libc_version, origin=Origin.SYSTEM)
    if facts.machine.libc != "glibc":
        return Choice(None, "this machine has no glibc"), []
    clash = _clash(tables.cuda_row(cuda), host.glibc)
    if settings.sysroot == "host" and clash:
        found = f"sysroot=host: this machine's glibc is {host.glibc}, and {clash}"
        notebook.problem("glibc-headers", found, "the headers of an older glibc are needed", "-C sysroot=auto")
    if settings.sysroot == "host" or (settings.sysroot == "auto" and not settings.repair and not clash):
        if version.Version(host.glibc) > target:
            notebook.note(
                f"linking against this machine's glibc {host.glibc}: the wheel may need more than {settings.glibc}"
            )
        why = "setting sysroot" if settings.sysroot == "host" else "repair=false: for this machine only"
        return Choice(host, why), []
    # conda's compilers come with their own sysroot, against which their libraries were built. That holds for compilers
    # found in the environment and for those that its activation names in CXX.
    conda = compiler is not None and "-conda" in compiler.target and _has_condas(facts, target)
    if settings.sysroot == "auto" and version.Version(host.glibc) <= target and not conda:
        return Choice(host, f"this machine's glibc is {host.glibc}, which is old enough"), []
    own = f"version {host.glibc} is newer than {settings.glibc}"
    why = "conda's compiler uses its own sysroot" if conda else clash or own
    rejected = [Rejected("this machine's glibc", why)]
    provider = settings.sysroot if settings.sysroot in ("auto", "conda", "zig") else "path"
    for item in facts.sysroots:
        name = f"{item.provider} ({item.path})"
        if item.problem:
            rejected.append(Rejected(name, item.problem))
        elif provider not in ("auto", item.provider.value):
            rejected.append(Rejected(name, f"setting sysroot is {settings.sysroot}"))
        elif item.glibc and version.Version(item.glibc) > target:
            rejected.append(Rejected(name, f"glibc {item.glibc} is newer than {settings.glibc}"))
        else:
            return Choice(item, item.found_in, tuple(rejected)), []
    if provider in ("auto", "zig"):
        return Choice(None, "zig's glibc headers and stubs, from PyPI", tuple(rejected)), [
            Install(Tool.SYSROOT, (tables.zig.requirement,))
        ]
    _problem(settings, rejected, notebook)
    return Choice(None, "none fits", tuple(rejected)), []


def _problem(settings: Settings, rejected: Sequence[Rejected], notebook: Notebook) -> None:
    notebook.problem(
        "no-sysroot",
        "; ".join(f"{item.what}: {item.why}" for item in rejected),
        f"setting sysroot={settings.sysroot} needs a sysroot of glibc {settings.glibc} or older",
        f"conda install -c conda-forge sysroot_linux-64={settings.glibc}",
        "-C sysroot=auto   (zig's, from PyPI)",
    )


def _has_condas(facts: Facts, target: version.Version) -> bool:
    found = (item.glibc for item in facts.sysroots if item.provider is SysrootProvider.CONDA and item.glibc)
    return any(version.Version(glibc) <= target for glibc in found)


def _of_zig(settings: Settings, compiler: Compiler) -> Sysroot:
    return Sysroot(SysrootProvider.ZIG, compiler.path, compiler.found_in, settings.glibc, origin=Origin.INDEX)


def _clash(row: Cuda, glibc: str) -> str:
    """Why CUDA's headers do not work with a glibc; empty if they do."""
    if not row.glibc_max or not glibc or version.Version(glibc) <= version.Version(row.glibc_max):
        return ""
    return (
        f"math_functions.h of CUDA {row.version} works with glibc up to {row.glibc_max} (cospi, rsqrt declared twice)"
    )


def is_portable(settings: Settings, sysroot: Sysroot | None) -> bool:
    """Whether the compilers are wrapped: not if the build links against this machine's own system on purpose."""
    on_purpose = settings.sysroot == "host" or not settings.repair
    return not (on_purpose and sysroot is not None and sysroot.provider is SysrootProvider.HOST)


def decide_floor(settings: Settings, tables: Tables, torch: Torch | None, target: TorchTarget, abi: Abi) -> Floor:
    """The promise: at most the setting's glibc, and of libstdc++ at most what the wheel's torch needs itself.

    A binding that passes no C++ objects to torch contains the parts of libstdc++ that it uses, so it needs only the
    libstdc++ of that glibc's systems.
    """
    least = tables.floor_row(settings.glibc)
    if target.cxx11_abi is False or abi.is_stable:
        return Floor(settings.glibc, least.glibcxx, least.cxxabi, least.gcc)
    # std::__cxx11 is newer than that glibc's libstdc++, and torch needs it; allow no more than torch itself needs.
    row = tables.floor_row(max(settings.glibc, tables.cxx11_glibc, key=version.Version))
    glibcxx, cxxabi = row.glibcxx, row.cxxabi
    if torch is not None and torch.glibcxx:
        glibcxx = min(glibcxx, newest([least.glibcxx, torch.glibcxx]), key=version.Version)
    if torch is not None and torch.cxxabi:
        cxxabi = min(cxxabi, newest([least.cxxabi, torch.cxxabi]), key=version.Version)
    return Floor(settings.glibc, glibcxx, cxxabi, row.gcc)


def decide_effective_floor(settings: Settings, tables: Tables, torch: Torch | None, target: TorchTarget) -> Choice[str]:
    """The glibc that a system must have: the larger of the wheel's and its torch's."""
    ours = settings.glibc
    if torch is not None and torch.glibc:
        theirs, how = torch.glibc, "read from its libraries"
    elif target.version:
        theirs, how = tables.torch_row(minor(target.version)).glibc, "known from its wheels"
    else:
        return Choice(ours, "limited by this wheel")
    if larger(Asked(ours), Asked(theirs)).set_by == "torch":
        return Choice(theirs, f"limited by torch {target.version}, {how}; this wheel needs at most {ours}")
    return Choice(ours, f"limited by this wheel; torch {target.version} needs {theirs}, {how}")
