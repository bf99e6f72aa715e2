"""Check whether this machine can build at all, and note what users should know about it."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.facts import Facts, Polluted
from ..core.projects import SELF
from ..core.settings import Settings
from .jobs import LITTLE_DISK
from .notebook import Notebook
from .remedies import build_for_rocm, install_python_header
from .types import Abi, Install

ARCHITECTURES = ("x86_64", "aarch64")
OLDEST_PYTHON = 9
"""The minor version."""
NO_PLACE = ("platform", "libc", "arch", "python", "torch-rocm")
"""Codes of problems that no toolkit or compiler can fix: other problems are not shown with them."""


def check_platform(facts: Facts, upstream: str, notebook: Notebook) -> None:
    """Report what no toolkit and no compiler can fix; ``upstream`` is the setting."""
    machine = facts.machine
    if machine.system != "Linux":
        name = {"Darwin": "macOS"}.get(machine.system, machine.system)
        notebook.problem(
            "platform",
            f"this is {name}",
            f"this backend builds {'this project' if upstream == SELF else upstream}'s CUDA kernels for Linux only",
            "use a Linux machine with an NVIDIA GPU, a container on it, or WSL 2",
        )
    elif machine.libc != "glibc":
        notebook.problem(
            "libc",
            f"this Linux uses {machine.libc}",
            "torch's wheels need glibc",
            "use a glibc image, such as debian, ubuntu or rockylinux",
        )
    elif machine.arch not in ARCHITECTURES:
        notebook.problem(
            "arch",
            f"this machine is {machine.arch}",
            f"torch with CUDA exists for {' and '.join(ARCHITECTURES)}",
            f"use a machine with {' or '.join(ARCHITECTURES)}",
        )
    elif not machine.python_tag.startswith("cp"):
        notebook.problem(
            "python",
            f"this Python is not CPython ({machine.python_tag})",
            "torch's wheels need CPython",
            "use a CPython 3.9 or newer that has torch",
        )
    elif int(machine.python_tag[3:].rstrip("t") or 0) < OLDEST_PYTHON and machine.python_tag.startswith("cp3"):
        notebook.problem(
            "python",
            f"this Python is {machine.python_version}",
            f"a build needs Python 3.{OLDEST_PYTHON} or newer",
            "use an environment with Python 3.9 or newer, and a torch in it   (on a Jetson: JetPack 6 or newer, which brings Python 3.10 and CUDA 12)",
        )


def _check_python_header(facts: Facts, abi: Abi, notebook: Notebook) -> None:
    """Torch's headers include Python's; for a stable wheel, the backend contains what it needs of them."""
    if abi.is_stable or facts.machine.python_header is not False:
        return
    notebook.problem(
        "python-header",
        f"Python {facts.machine.python_version} has no headers",
        "with abi=torch, torch's own headers include Python.h",
        *install_python_header(facts),
        "-C abi=auto   (a stable wheel needs no Python.h; not every project has one)",
    )


def check_machine(settings: Settings, facts: Facts, abi: Abi, installs: Sequence[Install], notebook: Notebook) -> None:
    """Check the Python headers, and note facts about the GPUs, variables, disk space and offline builds."""
    _check_python_header(facts, abi, notebook)
    nvidia = facts.gpus or facts.driver or any(item.cuda for item in facts.torches)
    if facts.amd_driver and not nvidia:
        notebook.note(
            "this machine has an AMD GPU, but this backend builds for NVIDIA GPUs only; for AMD, use the project's own build",
            build_for_rocm(settings.upstream),
        )
    if facts.polluted:
        named = "; ".join(_shortened(item) for item in facts.polluted)
        notebook.note(f"ignoring environment variables that point outside the sysroot: {named}")
    if 0 < facts.machine.disk_free < LITTLE_DISK:
        notebook.note(
            f"the build folder has only {facts.machine.disk_free / 1e9:.1f} GB of free space; "
            "to use another one, add -C build-dir=/another/folder"
        )
    if settings.offline and installs:
        named = ", ".join(text for item in installs for text in item.requirements)
        notebook.note(
            f"offline is set, so pip must find {named} in a folder of wheels (--no-index --find-links); "
            "this command lists everything that an isolated build installs",
            "python -m mamba_build_backend requires",
        )


def _shortened(item: Polluted, most: int = 60) -> str:
    value = item.value if len(item.value) <= most else item.value[: most - 1] + "…"
    return f"{item.variable}={value}" + (f" (kept: {item.kept})" if item.kept else "")
