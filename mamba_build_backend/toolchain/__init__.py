"""Prepare what the compiler sees: an old glibc, an old libstdc++, and one CUDA toolkit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..core.errors import ToolError
from ..core.facts import CompilerKind
from ..core.files import emptied
from ..core.process import Echo
from ..plan.types import ReadyPlan
from ..probe.fetched import cached_archive
from . import compiler_cache, libstdcxx, probe_options, sysroot, toolkit, wrappers, zig
from .types import Launcher, Toolchain


def apply_toolchain(ready: ReadyPlan, work: Path, cache: Path, environ: Mapping[str, str], echo: Echo) -> Toolchain:
    """Prepare everything that the plan chose; sysroots are made once and cached."""
    plan, compiler = ready.plan, ready.compiler
    # Temporary files of a killed compiler are deleted together with the build folder.
    user, environ = environ, {**environ, "TMPDIR": str(emptied(work / "tmp"))}
    # NVIDIA's wheels next to a torch for another CUDA contain another release's headers and libraries.
    torch = ready.torch
    same = torch is not None and (torch.cuda or "").partition(".")[0] == ready.toolkit.version.partition(".")[0]
    beside = Path(torch.site) if torch is not None and same else None
    home = toolkit.apply_toolkit(ready.toolkit, beside, work, compact=plan.gpu_code.value.compact)
    if plan.runtime is not None:
        toolkit.aim(home, plan.runtime.machine, cached_archive(plan.runtime, cache), work)
    tools, real = work / "toolchain", home / "bin" / "nvcc"
    seed = probe_options.takes_seed(real, environ)
    source_path = probe_options.takes_source_path(real, environ)
    # ninja recompiles a file if its command changes: so the command must differ by gpu-code.
    front = wrappers.nvcc_wrapper(real, tools / ("compact" if plan.gpu_code.value.compact else "bin"))
    if compiler.kind is CompilerKind.ZIG:
        zig.mend_headers(home)
        cc, cxx = zig.apply_zig(ready, tools, cache, environ, echo, [(str(home), "cuda")])
        launcher = _launcher(replace(ready, compiler=replace(compiler, path=str(cxx))), home, work, user, echo)
        return Toolchain(cc, cxx, home, front, seed, source_path, launcher)
    launcher = _launcher(ready, home, work, user, echo)
    if not plan.portable:
        own = Path(compiler.path)
        return Toolchain(wrappers.c_compiler(own), own, home, front, seed, source_path, launcher)
    root = sysroot.apply_sysroot(ready.sysroot, plan.floor.glibc, compiler.target, cache, environ, echo)
    runtime = libstdcxx.apply_libstdcxx(compiler, plan.floor, root, tools / "libstdc++", environ)
    cc, cxx = wrappers.apply_wrappers(compiler, root, runtime, tools, [(str(home), "cuda")])
    return Toolchain(cc, cxx, home, front, seed, source_path, launcher)


def _launcher(ready: ReadyPlan, home: Path, work: Path, environ: Mapping[str, str], echo: Echo) -> Launcher | None:
    """Return the compiler cache. If it does not run, and the user did not ask for it, the build continues without."""
    chosen, asked = ready.plan.compiler_cache.value, ready.plan.compiler_cache.forced
    if chosen is None:
        return None
    try:
        return replace(compiler_cache.apply_compiler_cache(chosen, ready.compiler, home, work, environ), asked=asked)
    except ToolError as error:
        found = error.problems[0].found
        if asked:
            raise ToolError(
                found, f"cache={chosen.name} needs it", "-C cache=off   (compiles every file each time)"
            ) from None
        echo(f"note: building without a compiler cache: {found}")
        return None
