"""What the compiler is made to see: an old glibc, an old libstdc++, and one CUDA toolkit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..core.errors import ToolError
from ..core.facts import Compiler
from ..core.files import emptied
from ..core.process import Echo
from ..plan import BuildPlan
from ..plan.compiler_cache import ASKED
from . import compiler_cache, libstdcxx, sysroot, toolkit, wrappers
from .types import Launcher, Toolchain


def apply_toolchain(plan: BuildPlan, work: Path, cache: Path, environ: Mapping[str, str], echo: Echo) -> Toolchain:
    """Prepare everything that the plan chose; sysroots are made once and kept in the cache."""
    compiler, chosen, nvcc = plan.compiler.value, plan.sysroot.value, plan.toolkit.value
    assert compiler is not None and chosen is not None and nvcc is not None and plan.torch.value is not None
    # What a compiler that is killed leaves behind goes with the build folder.
    user, environ = environ, {**environ, "TMPDIR": str(emptied(work / "tmp"))}
    home = toolkit.apply_toolkit(nvcc, Path(plan.torch.value.site), work)
    tools, real = work / "toolchain", home / "bin" / "nvcc"
    seed = wrappers.knows_seed(real, environ)
    front = wrappers.nvcc_wrapper(real, tools / "bin")
    launcher = _launcher(plan, compiler, home, work, user, echo)
    if not plan.portable:
        own = Path(compiler.path)
        return Toolchain(wrappers.c_compiler(own), own, home, front, seed, launcher)
    root = sysroot.apply_sysroot(chosen, plan.floor.glibc, compiler.target, cache, environ, echo)
    runtime = libstdcxx.apply_libstdcxx(compiler, plan.floor, root, tools / "libstdc++", environ)
    cc, cxx = wrappers.apply_wrappers(compiler, root, runtime, tools, [(str(home), "cuda")])
    return Toolchain(cc, cxx, home, front, seed, launcher)


def _launcher(
    plan: BuildPlan, compiler: Compiler, home: Path, work: Path, environ: Mapping[str, str], echo: Echo
) -> Launcher | None:
    """The compiler cache; where it was only found, and does not run, the build goes on without."""
    chosen = plan.compiler_cache.value
    if chosen is None:
        return None
    asked = plan.compiler_cache.because == ASKED
    try:
        return replace(compiler_cache.apply_compiler_cache(chosen, compiler, home, work, environ), asked=asked)
    except ToolError as error:
        found = error.problems[0].found
        if asked:
            raise ToolError(found, f"cache={chosen.name} needs it", "-C cache=off   (compiles all each time)") from None
        echo(f"note: without a compiler cache: {found}")
        return None
