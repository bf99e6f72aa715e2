"""The GPUs of this machine and their driver; a machine without a GPU is common and not an error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import ToolError
from ..core.facts import Gpu
from ..core.paths import exists, find_program, read_text
from ..core.process import capture


@dataclass(frozen=True)
class Answer:
    """The driver's answer. ``asked`` is False if no tool could ask the driver, which differs from "no GPU"."""

    gpus: tuple[Gpu, ...] = ()
    driver: str = ""
    asked: bool = True


def probe_gpus(environ: Mapping[str, str], *, root: Path = Path("/")) -> Answer:
    """Ask NVML, through nvidia-ml-py or otherwise through nvidia-smi, which every driver contains.

    An isolated build has no nvidia-ml-py at first, and a user's environment rarely has it; the kernel module's file
    contains at least the driver's version. ``root`` replaces / in tests.
    """
    driver = _kernel_driver(root)
    return _by_nvml() or _by_nvidia_smi(environ) or Answer((), driver, asked=not driver)


def has_amd_driver(*, root: Path = Path("/")) -> bool:
    """Whether the kernel driver for AMD GPUs (amdkfd) is loaded; used only for a note to users of such a machine."""
    return exists(root / "dev/kfd")


def _by_nvml() -> Answer | None:
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        driver = _text(pynvml.nvmlSystemGetDriverVersion())
        found = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
            found.append(Gpu(_text(pynvml.nvmlDeviceGetName(handle)), f"{major}.{minor}"))
        return Answer(tuple(found), driver)
    except pynvml.NVMLError:
        return None
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _by_nvidia_smi(environ: Mapping[str, str]) -> Answer | None:
    program = find_program("nvidia-smi", environ)
    if program is None:
        return None
    try:
        # nvidia-smi knows compute_cap since driver 495; an older one prints an error.
        output = capture(
            [program, "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader"], env=environ, timeout=10
        )
    except ToolError:
        return None
    found, driver = [], ""
    for line in output.splitlines():
        if match := re.fullmatch(r"(.+), (\d+\.\d), ([\d.]+)", line.strip()):
            found.append(Gpu(match[1], match[2]))
            driver = match[3]
    return Answer(tuple(found), driver) if found else None


def _kernel_driver(root: Path) -> str:
    with suppress(OSError):
        text = read_text(root / "proc/driver/nvidia/version", errors="replace")
        # "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.161.08 …", or "… Open Kernel Module for x86_64  580.65.06
        # …"
        if match := re.search(r"NVRM version:.*?\s(\d{3}\.\d+(?:\.\d+)?)\s", text):
            return match[1]
    return ""
