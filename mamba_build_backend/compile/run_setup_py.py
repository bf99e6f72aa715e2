"""Run upstream's own setup.py with the plan's environment and flags, and hand over the wheel that it leaves."""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from ..core.errors import BackendError, BuildFailedError, StorageError
from ..core.files import emptied, link_to
from ..core.process import last_step, stream
from ..core.work import BuildContext
from ..plan import BuildPlan
from ..toolchain.shims import compiler, nvcc_steps
from ..toolchain.types import Toolchain
from . import regroup_kernels, stable_abi
from .progress import Progress

CHILD = Path(__file__).with_name("_setup_py_child.py")


def build_raw_wheel(plan: BuildPlan, tree: Path, tools: Toolchain, context: BuildContext) -> Path:
    """Compile; return upstream's wheel, as upstream made it. Raises BuildFailedError."""
    out = emptied(context.folder / "raw")
    status = run_setup(plan, tree, ["bdist_wheel", "--compression", "stored", "--dist-dir", str(out)], context, tools)
    if status != 0:
        raise failed(f"upstream's build failed with exit code {status}", context.log)
    wheels = sorted(out.glob("*.whl"))
    if len(wheels) != 1:
        raise BuildFailedError(
            f"upstream's build left {len(wheels)} wheels", "exactly one is expected", f"less {context.log}"
        )
    return wheels[0]


def build_in_place(plan: BuildPlan, tree: Path, tools: Toolchain, context: BuildContext) -> None:
    """Compile the extension into the tree itself, for an editable install. Raises BuildFailedError."""
    status = run_setup(
        plan, tree, ["build_ext", "--inplace", "--build-temp", str(context.folder / "objects")], context, tools
    )
    if status != 0:
        raise failed(f"upstream's build failed with exit code {status}", context.log)


def egg_info(plan: BuildPlan, tree: Path, context: BuildContext) -> str:
    """The metadata of a project that has no PKG-INFO yet, from its own setup.py."""
    out = emptied(context.folder / "egg")
    status = run_setup(plan, tree, ["egg_info", "--egg-base", str(out)], context, None)
    found = sorted(out.glob("*.egg-info/PKG-INFO"))
    if status != 0 or len(found) != 1:
        raise failed(f"setup.py egg_info failed with exit code {status}; its metadata are needed", context.log)
    return found[0].read_text(encoding="utf-8")


def run_setup(plan: BuildPlan, tree: Path, arguments: list[str], context: BuildContext, tools: Toolchain | None) -> int:
    """Run ``setup.py`` in a child and return its exit status; without ``tools``, for what needs no compiler."""
    if not (tree / "setup.py").is_file():
        raise BuildFailedError(f"{tree.name} has no setup.py", "the backend wraps projects that build with setuptools")
    first, last = _torch_path(plan, context.folder)
    standard = f"-std=c++{plan.target.cxx_standard}"
    flags = stable_abi.flags(plan)
    spec = {
        "setup": str(tree / "setup.py"),
        "arguments": arguments,
        "path_first": first,
        "path_last": last,
        "nvcc_flags": [*plan.nvcc_flags, standard, *flags, "-ccbin", str(tools.cxx)] if tools else [],
        "cxx_flags": [standard, *flags],
        "stable": stable_abi.extension(context.folder) if flags else None,
        "together": [regroup_kernels.group(item) for item in plan.together] if tools else [],
    }
    path = context.folder / "child.json"
    path.write_text(json.dumps(spec, indent=1), encoding="utf-8")
    env = build_environment(plan, tools, context.environ)
    command: list[str | os.PathLike[str]] = [sys.executable, CHILD, path]
    if tools is None:
        return stream(command, env=env, cwd=tree, log=context.log, echo=Progress(context.echo, verbose=context.verbose))
    env.update(_orders(plan, tools, context), TMPDIR=str(context.whole / "tmp"))
    status = _run(command, env, tree, context)
    if status != 0 and max(plan.jobs.value, plan.threads) > 1 and _was_killed(context.log):
        # What is done is kept: ninja goes on where it was.
        context.echo("the system killed a compiler, most likely for want of memory: once more, one at a time")
        status = _run(command, {**env, **_orders(plan, tools, context, alone=True), "MAX_JOBS": "1"}, tree, context)
    return status


def _orders(plan: BuildPlan, tools: Toolchain, context: BuildContext, *, alone: bool = False) -> dict[str, str]:
    """Variables for what stands in front of the compilers."""
    # The folder may be known by a short name of its own (storage.py); what asks where it is gets the real one.
    works = list(dict.fromkeys((str(context.whole), os.path.realpath(context.whole))))
    single = plan.one_pass
    orders = {
        "works": works,
        "seed": tools.seed,
        "one_pass": {"files": single.files, "flags": single.flags()},
        "lowered": single.orders(alone=alone),
        "alone": alone,
        "cache": tools.launcher.command if tools.launcher else (),
        "name": tools.launcher.folder_name if tools.launcher else "",
    }
    path = context.folder / "orders.json"
    path.write_text(json.dumps(orders, indent=1), encoding="utf-8")
    own = {
        compiler.ORDERS: str(path),
        compiler.PYTHON: sys.executable,
        compiler.COMPILE: str(compiler.__file__),
        nvcc_steps.STEPS: str(nvcc_steps.__file__),
    }
    return {**own, **(tools.launcher.variables if tools.launcher else {})}


def _run(command: list[str | os.PathLike[str]], env: dict[str, str], tree: Path, context: BuildContext) -> int:
    progress = Progress(context.echo, verbose=context.verbose, environ=context.environ)
    try:
        status = stream(
            command, env=env, cwd=tree, log=context.log, echo=progress, beat=progress.beat, interval=progress.interval
        )
    finally:
        progress.end()
    emptied(context.whole / "tmp")  # what nvcc's steps left for one another
    return status


def _was_killed(log: Path) -> bool:
    """Whether the last step's log tells of a compiler that was killed."""
    from .known_failures import explain

    return any(item.id == "killed-by-memory" for item in explain(last_step(log)).explanations)


def _torch_path(plan: BuildPlan, work: Path) -> tuple[list[str], list[str]]:
    """Entries for the front and the end of the child's path."""
    if plan.torch.value is None:
        return [], []
    site = Path(plan.torch.value.site)
    # torch writes its own path into build.ninja and compile lines; a link gives it one without blanks.
    alone = work / "torch-alone"
    alone.mkdir(exist_ok=True)
    link_to(site / "torch", alone / "torch")
    return [str(alone)], [str(site)]


def build_environment(plan: BuildPlan, tools: Toolchain | None, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of upstream's build: the user's, less what would leak the host in, and the plan's."""
    changed = dict(plan.environment)
    env = {key: value for key, value in environ.items() if key not in changed}
    env.update({key: value for key, value in changed.items() if value is not None})
    for name in ("TORCH_CUDA_ARCH_LIST", "CUDA_PATH"):
        env.pop(name, None)
    env.update(plan.upstream.value.project.environment)
    scripts = os.path.dirname(sys.executable)
    env["PATH"] = os.pathsep.join([env.get("PATH", os.defpath), scripts, sysconfig.get_path("scripts")])
    env["MAX_JOBS"] = str(plan.jobs.value)
    # An unbuffered child shows its progress when it happens, and leaves no .pyc in the user's site-packages.
    env.update(PYTHONUNBUFFERED="1", PYTHONDONTWRITEBYTECODE="1", PYTHONIOENCODING="utf-8")
    if tools is None:
        # Old setup.py ask nvcc for its version even for their metadata; there is nothing to compile.
        env.update({name: "TRUE" for name in env if name.endswith("_SKIP_CUDA_BUILD")})
    if tools is None and plan.toolkit.value is not None:
        env["CUDA_HOME"] = plan.toolkit.value.home  # CUDAExtension refuses to be made without one
    if tools is not None:
        env.update(CUDA_HOME=str(tools.cuda_home), CC=str(tools.cc), CXX=str(tools.cxx), PYTORCH_NVCC=str(tools.nvcc))
        env["PATH"] = os.pathsep.join([str(tools.cxx.parent), str(tools.cuda_home / "bin"), env["PATH"]])
    return env


def failed(what: str, log: Path) -> BackendError:
    """The error for a step that failed: the cause, if its log holds a known one, else the first line that names an error.

    What steps before it said, or a first try that was killed, does not count.

    A full disk is told as one, with its exit code, whichever program met it first.
    """
    from .known_failures import explain

    try:
        diagnosis = explain(last_step(log))
    except OSError:
        return BuildFailedError(what)
    look = (f"less {log}   (the whole output)", "python -m mamba_build_backend doctor -v   (what was chosen, and why)")
    if not diagnosis.first_error and diagnosis.explanations:
        best = diagnosis.explanations[0]
        kind = StorageError if best.id == "no-space" else BuildFailedError
        return kind(f"{what}\n    {best.line}", best.cause.rstrip("."), (*best.own_fix, *look))
    found = f"{what}\n    {diagnosis.first_error}" if diagnosis.first_error else what
    return BuildFailedError(found, "the compilers' whole output is in the log", look)
