"""Run upstream's own setup.py with the plan's environment and flags, and return the wheel that it makes."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from ..core.errors import BackendError, BuildFailedError, StorageError
from ..core.files import emptied
from ..core.outside_text import is_secret
from ..core.paths import is_file, matching, read_text, search_path
from ..core.process import last_step, stream
from ..core.work import BuildContext
from ..plan import BuildPlan
from ..plan.nvcc import APPEND, PREPEND, environment_flags
from ..toolchain.shims import protocol
from ..toolchain.types import Toolchain
from . import build_step
from .progress import Progress

CHILD = Path(__file__).with_name("_setup_py_child.py")


def build_raw_wheel(plan: BuildPlan, tree: Path, tools: Toolchain, context: BuildContext) -> Path:
    """Compile, and return upstream's wheel unchanged. Raises BuildFailedError."""
    out = emptied(context.folder / "raw")
    status = run_setup(plan, tree, ["bdist_wheel", "--compression", "stored", "--dist-dir", str(out)], context, tools)
    if status != 0:
        raise failed(f"upstream's build failed with exit code {status}", context.log)
    wheels = matching(out, "*.whl")
    if len(wheels) != 1:
        raise BuildFailedError(
            f"upstream's build made {len(wheels)} wheels", "exactly one is expected", f"less {context.log}"
        )
    return wheels[0]


def build_in_place(plan: BuildPlan, tree: Path, tools: Toolchain, context: BuildContext) -> None:
    """Compile the extension into the source tree, for an editable install. Raises BuildFailedError."""
    status = run_setup(
        plan, tree, ["build_ext", "--inplace", "--build-temp", str(context.folder / "objects")], context, tools
    )
    if status != 0:
        raise failed(f"upstream's build failed with exit code {status}", context.log)


def egg_info(plan: BuildPlan, tree: Path, context: BuildContext) -> str:
    """Return the PKG-INFO that setup.py generates, for a project that has none yet. Raises BuildFailedError."""
    out = emptied(context.folder / "egg")
    status = run_setup(plan, tree, ["egg_info", "--egg-base", str(out)], context, None)
    found = matching(out, "*.egg-info/PKG-INFO")
    if status != 0 or len(found) != 1:
        raise failed(f"setup.py egg_info failed with exit code {status}; the build needs its metadata", context.log)
    requires = found[0].with_name("requires.txt")
    return with_requirements(read_text(found[0]), read_text(requires) if is_file(requires) else "")


def with_requirements(pkg_info: str, requires: str) -> str:
    r"""Add the requirements of requires.txt to a PKG-INFO: setuptools before 68 writes them only to requires.txt.

    >>> with_requirements("Name: a\nVersion: 1\n\ntext\n", "torch\n\n[dev]\npytest\n").splitlines()[2:4]
    ['Requires-Dist: torch', 'Provides-Extra: dev']
    """
    head, blank, body = pkg_info.partition("\n\n")
    if re.search(r"^Requires-Dist:", head, re.MULTILINE):
        return pkg_info
    lines, suffix = [], ""
    for line in filter(None, map(str.strip, requires.splitlines())):
        if section := re.fullmatch(r"\[([^:\]]*):?(.*)\]", line):
            extra, marker = section.groups()
            lines += [f"Provides-Extra: {extra}"] if extra and f"Provides-Extra: {extra}" not in lines else []
            parts = [f"({marker})" if marker and extra else marker, f'extra == "{extra}"' if extra else ""]
            suffix = "; " + " and ".join(filter(None, parts))
        else:
            lines.append(f"Requires-Dist: {line}{suffix}")
    return "\n".join([head.rstrip("\n"), *lines]) + (blank or "\n") + body


def run_setup(plan: BuildPlan, tree: Path, arguments: list[str], context: BuildContext, tools: Toolchain | None) -> int:
    """Run ``setup.py`` in a child and return its exit status; without ``tools``, for commands that compile nothing."""
    if not is_file(tree / "setup.py"):
        raise BuildFailedError(f"{tree.name} has no setup.py", "the backend wraps projects that build with setuptools")
    setup_py = build_step.setup_py(plan, tree, arguments, context, tools)
    path = context.folder / "build-step.json"
    env = build_environment(plan, tools, context.environ)
    command: list[str | os.PathLike[str]] = [sys.executable, CHILD, path]
    if tools is None:
        protocol.write(protocol.BuildStep(setup_py, None), str(path))
        return stream(command, env=env, cwd=tree, log=context.log, echo=Progress(context.echo, verbose=context.verbose))
    # The nvcc shim adds these flags; nvcc itself would read the variables and add them a second time.
    environment = environment_flags(env)
    for name in (PREPEND, APPEND):
        env.pop(name, None)
    for note in environment.notes() if context.around is None else ():
        context.echo(f"note: {note}")
    env.update(build_step.variables(path, tools), TMPDIR=str(context.whole / "tmp"))

    def run(*, alone: bool) -> int:
        config = build_step.shim_config(plan, tools, context, environment, alone=alone)
        protocol.write(protocol.BuildStep(setup_py, config), str(path))
        return _run(command, {**env, "MAX_JOBS": "1"} if alone else env, tree, context)

    status = run(alone=False)
    if status != 0 and max(plan.jobs.value, plan.nvcc.threads) > 1 and _was_killed(context.log):
        # ninja keeps the finished objects and continues from there.
        context.echo("the OOM killer most likely stopped a compiler: retrying with one compiler at a time")
        status = run(alone=True)
    return status


def _run(command: list[str | os.PathLike[str]], env: dict[str, str], tree: Path, context: BuildContext) -> int:
    progress = Progress(context.echo, verbose=context.verbose, environ=context.environ)
    try:
        status = stream(
            command, env=env, cwd=tree, log=context.log, echo=progress, beat=progress.beat, interval=progress.interval
        )
    finally:
        progress.end()
    emptied(context.whole / "tmp")  # files that nvcc's steps left for one another
    return status


def _was_killed(log: Path) -> bool:
    """Whether the last step's log shows that the system killed a compiler."""
    from .known_failures import explain

    return any(item.id == "killed-by-memory" for item in explain(last_step(log)).explanations)


_OBJECT_STORES = ("SCCACHE_", "AWS_", "ACTIONS_")
"""Variables whose secrets a build needs: if the build's sccache server is gone, sccache's client starts another server."""


def _reaches_a_build(name: str, value: str) -> bool:
    """Whether setup.py and the compilers get this variable. They run foreign code, so secrets are withheld."""
    return not is_secret(name, value) or name.startswith(_OBJECT_STORES)


def build_environment(plan: BuildPlan, tools: Toolchain | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of upstream's build: the plan's, and the user's without secrets and host paths."""
    changed = dict(plan.environment)
    env = {name: value for name, value in environ.items() if name not in changed and _reaches_a_build(name, value)}
    env.update({key: value for key, value in changed.items() if value is not None})
    for name in ("TORCH_CUDA_ARCH_LIST", "CUDA_PATH"):
        env.pop(name, None)
    env.update(plan.upstream.value.project.environment)
    scripts = os.path.dirname(sys.executable)
    env["PATH"] = os.pathsep.join([search_path(env), scripts, sysconfig.get_path("scripts")])
    env["MAX_JOBS"] = str(plan.jobs.value)
    # Unbuffered, so that progress shows at once; without .pyc files, so that none stay in the user's site-packages.
    env.update(PYTHONUNBUFFERED="1", PYTHONDONTWRITEBYTECODE="1", PYTHONIOENCODING="utf-8")
    if tools is None:
        # Old setup.py ask nvcc for its version even for the metadata; there is nothing to compile.
        env.update({name: "TRUE" for name in env if name.endswith("_SKIP_CUDA_BUILD")})
    if tools is None and plan.toolkit.value is not None:
        env["CUDA_HOME"] = plan.toolkit.value.home  # CUDAExtension raises without CUDA_HOME
    if tools is not None:
        env.update(CUDA_HOME=str(tools.cuda_home), CC=str(tools.cc), CXX=str(tools.cxx), PYTORCH_NVCC=str(tools.nvcc))
        env["PATH"] = os.pathsep.join([str(tools.cxx.parent), str(tools.cuda_home / "bin"), env["PATH"]])
    return env


def failed(what: str, log: Path) -> BackendError:
    """Return the error for a failed step: the cause if its log has a known one, otherwise the first error line.

    The output of earlier steps, or of a first attempt that was killed, does not count.

    A full disk is always a StorageError, with its exit code, whichever program met it first.
    """
    from ..core.commands import Here
    from .known_failures import explain

    try:
        diagnosis = explain(last_step(log), Here(building=True))
    except OSError:
        return BuildFailedError(what)
    look = (
        f"less {log}   (the whole output)",
        "python -m mamba_build_backend doctor -v   (the choices, and the reasons)",
    )
    if not diagnosis.first_error and diagnosis.explanations:
        best = diagnosis.explanations[0]
        kind = StorageError if best.id == "no-space" else BuildFailedError
        return kind(f"{what}\n    {best.line}", best.cause.rstrip("."), (*best.own_fix, *look))
    found = f"{what}\n    {diagnosis.first_error}" if diagnosis.first_error else what
    return BuildFailedError(found, "the log has the compilers' whole output", look)
