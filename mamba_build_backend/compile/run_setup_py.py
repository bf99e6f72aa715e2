"""Run upstream's own setup.py with the plan's environment and flags, and hand over the wheel that it leaves."""

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
    """Compile; return upstream's wheel, as upstream made it. Raises BuildFailedError."""
    out = emptied(context.folder / "raw")
    status = run_setup(plan, tree, ["bdist_wheel", "--compression", "stored", "--dist-dir", str(out)], context, tools)
    if status != 0:
        raise failed(f"upstream's build failed with exit code {status}", context.log)
    wheels = matching(out, "*.whl")
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
    found = matching(out, "*.egg-info/PKG-INFO")
    if status != 0 or len(found) != 1:
        raise failed(f"setup.py egg_info failed with exit code {status}; its metadata are needed", context.log)
    requires = found[0].with_name("requires.txt")
    return with_requirements(read_text(found[0]), read_text(requires) if is_file(requires) else "")


def with_requirements(pkg_info: str, requires: str) -> str:
    r"""A PKG-INFO with the requirements of the requires.txt beside it: setuptools before 68 writes them there alone.

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
    """Run ``setup.py`` in a child and return its exit status; without ``tools``, for what needs no compiler."""
    if not is_file(tree / "setup.py"):
        raise BuildFailedError(f"{tree.name} has no setup.py", "the backend wraps projects that build with setuptools")
    setup_py = build_step.setup_py(plan, tree, arguments, context, tools)
    path = context.folder / "build-step.json"
    env = build_environment(plan, tools, context.environ)
    command: list[str | os.PathLike[str]] = [sys.executable, CHILD, path]
    if tools is None:
        protocol.write(protocol.BuildStep(setup_py, None), str(path))
        return stream(command, env=env, cwd=tree, log=context.log, echo=Progress(context.echo, verbose=context.verbose))
    # The stand-in of nvcc gets their words; nvcc itself would take them a second time.
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
        # What is done is kept: ninja goes on where it was.
        context.echo("the system killed a compiler, most likely for want of memory: once more, one at a time")
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
    emptied(context.whole / "tmp")  # what nvcc's steps left for one another
    return status


def _was_killed(log: Path) -> bool:
    """Whether the last step's log tells of a compiler that was killed."""
    from .known_failures import explain

    return any(item.id == "killed-by-memory" for item in explain(last_step(log)).explanations)


_OBJECT_STORES = ("SCCACHE_", "AWS_", "ACTIONS_")
"""Whose keys a build needs: sccache's client starts a server of its own where the one that was started for the build is gone."""


def _reaches_a_build(name: str, value: str) -> bool:
    """A secret is nothing for setup.py and the compilers, which run code from outside."""
    return not is_secret(name, value) or name.startswith(_OBJECT_STORES)


def build_environment(plan: BuildPlan, tools: Toolchain | None, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of upstream's build: the user's, less what would leak the host in and what is secret, and the plan's."""
    changed = dict(plan.environment)
    env = {name: value for name, value in environ.items() if name not in changed and _reaches_a_build(name, value)}
    env.update({key: value for key, value in changed.items() if value is not None})
    for name in ("TORCH_CUDA_ARCH_LIST", "CUDA_PATH"):
        env.pop(name, None)
    env.update(plan.upstream.value.project.environment)
    scripts = os.path.dirname(sys.executable)
    env["PATH"] = os.pathsep.join([search_path(env), scripts, sysconfig.get_path("scripts")])
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
    from ..core.commands import Here
    from .known_failures import explain

    try:
        diagnosis = explain(last_step(log), Here(building=True))
    except OSError:
        return BuildFailedError(what)
    look = (f"less {log}   (the whole output)", "python -m mamba_build_backend doctor -v   (what was chosen, and why)")
    if not diagnosis.first_error and diagnosis.explanations:
        best = diagnosis.explanations[0]
        kind = StorageError if best.id == "no-space" else BuildFailedError
        return kind(f"{what}\n    {best.line}", best.cause.rstrip("."), (*best.own_fix, *look))
    found = f"{what}\n    {diagnosis.first_error}" if diagnosis.first_error else what
    return BuildFailedError(found, "the compilers' whole output is in the log", look)
