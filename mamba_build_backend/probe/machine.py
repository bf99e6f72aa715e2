"""The machine: system, C library, usable cores, free memory and disk, and the Python that we build for."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..core.facts import CompilerKind, Facts, Machine
from ..core.paths import is_file, read_text


def probe_machine(*, root: Path = Path("/"), work: Path | None = None) -> Machine:
    """Probe this machine. ``root`` replaces / in tests of /proc and /sys; builds work in ``work``."""
    libc, version = _libc()
    cores, total, limit = read_cores(root)
    return Machine(
        system=platform.system(),
        arch=platform.machine(),
        libc=libc,
        libc_version=version,
        cores=cores,
        memory_available=read_memory(root),
        python_version=platform.python_version(),
        python_tag=_python_tag(),
        python_prefix=sys.prefix,
        distribution=_distribution(root),
        cores_total=total,
        cores_limit=limit,
        disk_free=_disk_free(work or Path(tempfile.gettempdir())),
        python_library=find_python_library(root),
        python_header=is_file(Path(sysconfig.get_path("include")) / "Python.h"),
    )


def for_machine(facts: Facts, machine: str) -> Facts:
    """The facts for a wheel for ``machine``, a value of the setting: without these GPUs if it is another processor."""
    if machine in ("auto", facts.machine.runs_on):
        return facts
    there = replace(facts.machine, arch=machine, host=facts.machine.runs_on)
    aimed = (
        replace(item, target=f"{machine}-linux-gnu") if item.kind is CompilerKind.ZIG else item
        for item in facts.compilers
    )
    return replace(facts, machine=there, gpus=(), driver="", amd_driver=False, compilers=tuple(aimed))


_INTERPRETERS = {"cpython": "cp", "pypy": "pp"}
"""Names in platform tags (PEP 425)."""


def _libc() -> tuple[str, str]:
    # confstr asks the C library itself; platform.libc_ver() greps the interpreter and is wrong on musl.
    with suppress(AttributeError, ValueError, OSError):
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        if name == "glibc":
            return name, version
    return ("musl" if "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "") else "unknown"), ""


def _python_tag() -> str:
    threads = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    kind = _INTERPRETERS.get(sys.implementation.name, "py")
    return f"{kind}{sys.version_info.major}{sys.version_info.minor}{threads}"


def _distribution(root: Path) -> str:
    for name in ("etc/os-release", "usr/lib/os-release"):
        with suppress(OSError):
            text = read_text(root / name, errors="replace")
            values = dict(re.findall(r"^(ID|VERSION_ID)=[\"']?([^\"'\n]*)", text, re.MULTILINE))
            return f"{values.get('ID', '')} {values.get('VERSION_ID', '')}".strip()
    return ""


def read_cores(root: Path) -> tuple[int, int, str]:
    """The usable cores, all cores, and the reason for a limit."""
    total = os.cpu_count() or 1
    cores, limit = total, ""
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) < cores:
        cores, limit = len(os.sched_getaffinity(0)), "affinity"
    for folder in _cgroups(root, "cpu"):
        quota = None
        with suppress(OSError, ValueError):  # version 2: "max 100000" (a ValueError: no limit) or "200000 100000"
            allowed, period = read_text(folder / "cpu.max").split()
            quota = int(allowed) // int(period)
        with suppress(OSError, ValueError):  # version 1; -1 is no limit
            allowed, period = (read_text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
            quota = int(allowed) // int(period) if int(allowed) > 0 else None
        if quota is not None and max(1, quota) < cores:
            cores, limit = max(1, quota), "cgroup quota"
    return cores, total, limit


def read_memory(root: Path) -> int:
    """Free bytes: the minimum of the machine and every control group of ours; 0 if unknown, 1 if none is free."""
    free = []
    with suppress(OSError):
        if match := re.search(r"^MemAvailable:\s+(\d+) kB", read_text(root / "proc/meminfo"), re.MULTILINE):
            free.append(int(match[1]) * 1024)
    for folder in _cgroups(root, "memory"):
        for limit, used, idle in _MEMORY_FILES:
            with suppress(OSError, ValueError):  # "max" is a ValueError: no limit
                left = int(read_text(folder / limit)) - int(read_text(folder / used))
                free.append(left + _idle_cache(folder, idle))
    return max(1, min(free)) if free else 0


_MEMORY_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Files of a control group, versions 2 and 1: its limit, its usage, and the name in memory.stat of the inactive file
cache within that usage. The kernel reclaims this cache before its OOM killer acts; a torch installed just now fills
gigabytes of it."""


def _idle_cache(folder: Path, name: str) -> int:
    with suppress(OSError):
        if match := re.search(rf"^{name} (\d+)$", read_text(folder / "memory.stat"), re.MULTILINE):
            return int(match[1])
    return 0


def _cgroups(root: Path, controller: str) -> Iterator[Path]:
    """The control groups of this process, from its own up to the root: a batch system may limit one in between.

    /proc/self/cgroup has lines ``0::/path`` (version 2) and ``4:memory:/path`` (version 1), cgroups(7). A container may
    show a path of its host that does not exist inside; its own limits are then at the root.
    """
    mount = root / "sys/fs/cgroup"
    tops = [(mount, "/"), (mount / controller, "/")]
    with suppress(OSError):
        for line in read_text(root / "proc/self/cgroup").splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                tops.append((mount, path))
            elif controller in controllers.split(","):
                tops += [(mount / controller, path), (mount / controllers, path)]
    seen = set()
    for top, path in tops:
        folder = top / path.strip("/")
        while folder not in seen and (folder == top or top in folder.parents):
            seen.add(folder)
            yield folder
            folder = folder.parent


def _disk_free(folder: Path) -> int:
    for path in (folder, *folder.parents):
        with suppress(OSError):
            return shutil.disk_usage(path).free
    return 0


def find_python_library(root: Path = Path("/")) -> str:
    """The file that contains Python's own functions in this process: the shared library, or the program itself.

    Debian configures Python with a shared library, but its program contains all functions: the library is a separate
    package.
    """
    program = os.path.realpath(sys.executable)
    name, folder = sysconfig.get_config_var("INSTSONAME"), sysconfig.get_config_var("LIBDIR")
    if not sysconfig.get_config_var("Py_ENABLE_SHARED") or not name:
        return program
    with suppress(OSError):
        maps = read_text(root / "proc/self/maps", errors="replace")
        mapped = re.findall(r"^(?:\S+ +){5}(/.*)$", maps, re.MULTILINE)
        return next((path for path in mapped if os.path.basename(path) == name), program)
    path = os.path.join(folder or "", name)
    return path if os.path.exists(path) else program
