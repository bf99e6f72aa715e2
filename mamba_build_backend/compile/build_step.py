"""Convert the plan into the instructions for setup.py and the compilers (types of ``toolchain/shims/protocol.py``)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..core.files import link_to
from ..core.work import BuildContext
from ..plan import BuildPlan
from ..plan.nvcc import EnvironmentFlags
from ..toolchain import zig
from ..toolchain.shims import compiler, nvcc_steps, protocol
from ..toolchain.types import Toolchain
from . import regroup_kernels, stable_abi


def setup_py(
    plan: BuildPlan, tree: Path, arguments: Sequence[str], context: BuildContext, tools: Toolchain | None
) -> protocol.SetupPy:
    """Return the instructions for the child that runs setup.py; without ``tools`` the child compiles nothing."""
    stand_in = stable_abi.stand_in(plan)
    first, last = _torch_path(plan, context.folder) if stand_in is None else ((), ())
    standard = f"-std=c++{plan.target.cxx_standard}"
    flags = stable_abi.flags(plan)
    return protocol.SetupPy(
        script=str(tree / "setup.py"),
        arguments=tuple(arguments),
        path_first=first,
        path_last=last,
        nvcc_flags=(*plan.nvcc_flags, standard, *flags, *zig.nvcc_flags(plan), "-ccbin", str(tools.cxx))
        if tools
        else (),
        cxx_flags=(standard, *flags),
        stable=stable_abi.extension(context.folder) if flags else None,
        stand_in=stand_in,
        regroupings=tuple(regroup_kernels.regrouping(group) for group in plan.regrouped) if tools else (),
        as_if_gpu=_capability(plan) if plan.upstream.value.fork else "",
    )


def _capability(plan: BuildPlan) -> str:
    """The newest compute capability in the wheel; 8.0, which every setup.py accepts, if that is not known yet."""
    codes = [code.rstrip("af") for code in plan.gpu_code.value.codes if code != "PTX"]
    code = max(codes, key=int, default="80")
    return f"{code[:-1]}.{code[-1]}"


def shim_config(
    plan: BuildPlan, tools: Toolchain, context: BuildContext, environment: EnvironmentFlags, *, alone: bool
) -> protocol.ShimConfig:
    """Return the instructions for the compilers' shims.

    ``alone``: one compiler and one architecture at a time, for low memory.
    """
    # The build folder may have a short alias (storage.py); programs that resolve their path see the real one.
    folders = dict.fromkeys((str(context.whole), os.path.realpath(context.whole)))
    return protocol.ShimConfig(
        build_folders=tuple(folders),
        source_path_option=tools.source_path_option,
        seed_option=tools.seed_option,
        shared_passes=_shared_passes(plan),
        derived_ptx=_derived_ptx(plan, alone=alone),
        one_architecture=alone,
        cache_command=tools.launcher.command if tools.launcher else (),
        fixed_folder=tools.launcher.folder_name if tools.launcher else "",
        nvcc_prepend=environment.prepend,
        nvcc_append=environment.append,
    )


def _shared_passes(plan: BuildPlan) -> protocol.SharedPasses | None:
    shared = plan.gpu_code.value.shared
    return protocol.SharedPasses(shared.files, shared.flags()) if shared.files else None


def _derived_ptx(plan: BuildPlan, *, alone: bool) -> protocol.DerivedPtx | None:
    shared = plan.gpu_code.value.shared
    if not shared.derived:
        return None
    return protocol.DerivedPtx(
        files=shared.files,
        source=f"compute_{shared.passes[0].compute}",
        targets=tuple(f"compute_{compute}" for compute in shared.derived),
        threads=1 if alone else plan.nvcc.front_end_threads,
    )


def variables(path: Path, tools: Toolchain) -> dict[str, str]:
    """Environment variables that tell the compilers' scripts where the shims are, and the shims where the step's file is."""
    return {
        protocol.STEP_FILE: str(path),
        protocol.PYTHON: sys.executable,
        protocol.COMPILER_SHIM: str(compiler.__file__),
        protocol.NVCC_STEPS_SHIM: str(nvcc_steps.__file__),
        **(tools.launcher.variables if tools.launcher else {}),
    }


def _torch_path(plan: BuildPlan, work: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return entries for the front and the end of the child's sys.path."""
    if plan.torch.value is None:
        return (), ()
    site = Path(plan.torch.value.site)
    # torch writes its own path into build.ninja and compile lines; a link gives torch a path without spaces.
    alone = work / "torch-alone"
    alone.mkdir(exist_ok=True)
    link_to(site / "torch", alone / "torch")
    return (str(alone),), (str(site),)
