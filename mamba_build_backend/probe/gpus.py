"""The GPUs of this machine and their driver, through NVML; a machine without one is the usual case, not an error."""

from __future__ import annotations

from ..facts import Gpu


def probe_gpus() -> tuple[tuple[Gpu, ...], bool]:
    """Ask NVML; return the GPUs, and whether it could be asked, which needs nvidia-ml-py (see ``requires.py``)."""
    try:
        import pynvml
    except ImportError:
        return (), False
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return (), True
    try:
        driver = _text(pynvml.nvmlSystemGetDriverVersion())
        found = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
            found.append(Gpu(_text(pynvml.nvmlDeviceGetName(handle)), f"{major}.{minor}", driver))
        return tuple(found), True
    except pynvml.NVMLError:
        return (), True
    finally:
        pynvml.nvmlShutdown()


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
