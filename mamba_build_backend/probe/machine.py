"""The machine: system, C library, cores that we may use, memory that is free, and the Python that we build for."""

from __future__ import annotations

import os
import platform
import re
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path

from ..facts import Machine


def probe_machine(*, root: Path = Path("/")) -> Machine:
    """Look at this machine. ``root`` stands in for / in tests of /proc and /sys readings."""
    libc, version = _libc()
    return Machine(
        system=platform.system(),
        arch=platform.machine(),
        libc=libc,
        libc_version=version,
        cores=_cores(root),
        memory_available=_memory(root),
        python_version=platform.python_version(),
        python_tag=f"cp{sys.version_info.major}{sys.version_info.minor}",
        python_prefix=sys.prefix,
        python_library=_python_library(),
    )


def _libc() -> tuple[str, str]:
    # confstr asks the C library itself; platform.libc_ver() greps the interpreter and is wrong on musl.
    with suppress(AttributeError, ValueError, OSError):
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        if name == "glibc":
            return name, version
    return ("musl" if "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "") else "unknown"), ""


def _cores(root: Path) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    with suppress(OSError, ValueError):  # cgroup v2: "max 100000" or "200000 100000"
        quota, period = (root / "sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            cores = min(cores, max(1, int(quota) // int(period)))
    with suppress(OSError, ValueError):  # cgroup v1
        quota_us = int((root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us").read_text())
        period_us = int((root / "sys/fs/cgroup/cpu/cpu.cfs_period_us").read_text())
        if quota_us > 0:
            cores = min(cores, max(1, quota_us // period_us))
    return max(1, cores)


def _memory(root: Path) -> int:
    free = 0
    with suppress(OSError):
        if match := re.search(r"^MemAvailable:\s+(\d+) kB", (root / "proc/meminfo").read_text(), re.MULTILINE):
            free = int(match[1]) * 1024
    for limit, used in (
        ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):  # "max" is a ValueError: no limit
            left = int((root / limit).read_text()) - int((root / used).read_text())
            free = min(free, max(0, left)) if free else max(0, left)
    return free


def _python_library() -> str | None:
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        return os.path.realpath(sys.executable)
    name, folder = sysconfig.get_config_var("INSTSONAME"), sysconfig.get_config_var("LIBDIR")
    path = os.path.join(folder, name) if name and folder else ""
    return path if path and os.path.exists(path) else None
