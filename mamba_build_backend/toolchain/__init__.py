"""What the compiler is made to see: an old glibc, an old libstdc++, and one CUDA toolkit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ..plan import BuildPlan
from ..process import Echo
from ..workshop import Toolchain
from . import libstdcxx, sysroot, toolkit, wrappers


def apply_toolchain(plan: BuildPlan, work: Path, cache: Path, environ: Mapping[str, str], echo: Echo) -> Toolchain:
    """Prepare everything that the plan chose; sysroots are made once and kept in the cache."""
    compiler, chosen, nvcc = plan.compiler.value, plan.sysroot.value, plan.toolkit.value
    assert compiler is not None and chosen is not None and nvcc is not None and plan.torch.value is not None
    home = toolkit.apply_toolkit(nvcc, Path(plan.torch.value.site), work)
    if not plan.portable:
        return Toolchain(wrappers.c_compiler(Path(compiler.path)), Path(compiler.path), home, home / "bin" / "nvcc")
    root = sysroot.apply_sysroot(chosen, plan.floor.glibc, compiler.target, cache, environ, echo)
    runtime = libstdcxx.apply_libstdcxx(compiler, plan.floor, root, work / "toolchain" / "libstdc++", environ)
    # The folder may be known by a short name of its own (storage.py); what asks where it is gets the real one.
    here = (str(work), os.path.realpath(work))
    places = {**dict.fromkeys(here, "."), str(home): "cuda"}
    cc, cxx = wrappers.apply_wrappers(compiler, root, runtime, work / "toolchain", places)
    return Toolchain(
        cc, cxx, home, wrappers.nvcc_wrapper(home / "bin" / "nvcc", here, work / "toolchain" / "bin", environ)
    )
