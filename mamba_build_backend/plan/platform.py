"""Whether this machine can build at all, and what is worth knowing of it."""

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
"""Codes of the problems that no toolkit or compiler would mend: nothing else is said beside them."""


def check_platform(facts: Facts, upstream: str, notebook: Notebook) -> None:
    """What no toolkit and no compiler would mend; ``upstream`` is the setting."""
    machine = facts.machine
    if machine.system != "Linux":
        name = {"Darwin": "macOS"}.get(machine.system, machine.system)
        notebook.problem(
            "platform",
            f"this is {name}",
            f"torch with CUDA, and so {'this project' if upstream == SELF else upstream}'s kernels, exist for Linux",
            "use a Linux machine with an NVIDIA GPU, a container there, or WSL 2",
        )
    elif machine.libc != "glibc":
        notebook.problem(
            "libc",
            f"this Linux runs on {machine.libc}",
            "torch's wheels need glibc",
            "use a glibc image, such as debian, ubuntu or rockylinux",
        )
    elif machine.arch not in ARCHITECTURES:
        notebook.problem(
            "arch",
            f"this machine is {machine.arch}",
            f"torch with CUDA exists for {' and '.join(ARCHITECTURES)}",
            "use such a machine",
        )
    elif not machine.python_tag.startswith("cp"):
        notebook.problem(
            "python",
            f"this Python is no CPython ({machine.python_tag})",
            "torch's wheels are for CPython",
            "use a CPython 3.9 or newer that has torch",
        )
    elif int(machine.python_tag[3:].rstrip("t") or 0) < OLDEST_PYTHON and machine.python_tag.startswith("cp3"):
        notebook.problem(
            "python",
            f"this Python is {machine.python_version}",
            f"the builds need Python 3.{OLDEST_PYTHON} or newer",
            "use an environment with Python 3.9 or newer, and a torch in it   (on a Jetson: JetPack 6 or newer, which brings Python 3.10 and CUDA 12)",
        )


def _check_python_header(facts: Facts, abi: Abi, notebook: Notebook) -> None:
    """Torch's headers include Python's; a stable wheel has what it needs of them in the backend."""
    if abi.is_stable or facts.machine.python_header is not False:
        return
    notebook.problem(
        "python-header",
        f"Python {facts.machine.python_version} is here without its headers",
        "torch's own headers include Python.h, for a wheel with abi=torch",
        *install_python_header(facts),
        "-C abi=auto   (a wheel for many torches, where the project has one, needs none)",
    )


def check_machine(settings: Settings, facts: Facts, abi: Abi, installs: Sequence[Install], notebook: Notebook) -> None:
    """What the wheel needs of this Python, and what is worth knowing of the environment, the GPUs, the disk and a missing network."""
    _check_python_header(facts, abi, notebook)
    nvidia = facts.gpus or facts.driver or any(item.cuda for item in facts.torches)
    if facts.amd_driver and not nvidia:
        way = build_for_rocm(settings.upstream)
        notebook.note(f"this machine has an AMD GPU, and this backend builds for NVIDIA GPUs only. For AMD: {way}")
    if facts.polluted:
        named = "; ".join(_shortened(item) for item in facts.polluted)
        notebook.note(f"cleaned out of the build, for they lead to other folders than the sysroot's: {named}")
    if 0 < facts.machine.disk_free < LITTLE_DISK:
        notebook.note(
            f"{facts.machine.disk_free / 1e9:.1f} GB are free where the build works: -C build-dir=/another/folder"
        )
    if settings.offline and installs:
        named = ", ".join(text for item in installs for text in item.requirements)
        notebook.note(
            f"offline is set: pip must find {named} in a folder of wheels (--no-index --find-links); all that an isolated build installs",
            "python -m mamba_build_backend requires",
        )


def _shortened(item: Polluted, most: int = 60) -> str:
    value = item.value if len(item.value) <= most else item.value[: most - 1] + "…"
    return f"{item.variable}={value}" + (f" (kept: {item.kept})" if item.kept else "")
