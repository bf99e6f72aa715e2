"""The number of parallel compilers, and the threads of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..core._compat import version
from ..core.facts import Facts
from ..core.settings import Settings
from .notebook import Notebook, counted
from .types import Choice, GpuCode

BASE_MEMORY = 700_000_000
"""Bytes of the build without its compilers: setup.py with torch imported, the frontend, ninja."""
COMPILE_MEMORY = 1_200_000_000
"""Bytes that one nvcc may need per architecture that it compiles in parallel. Peaks seen with a project's largest
files and nvcc 13.0: 0.98 GB for one of its files, 0.89 GB for the complex kernels of two block sizes; plus g++."""
SPLIT_MEMORY = 1_000_000_000
"""Additional bytes with --split-compile=4: 1.74 GB instead of 0.89 for that file."""
_MANY_CORES = 8
"""From this number on, cores may outnumber the remaining files, so nvcc compiles a file's architectures in parallel."""

_SPLIT = 4
"""Threads of nvcc's optimiser for one file and one architecture. They can share half of the time or more; more
threads need more memory."""
_SPLIT_FRONT_END = 2
"""The same for the front end only, where threads need no more memory; afterwards, several architectures keep the
cores busy. One kernel for two types, cicc of nvcc 13.0, with 1, 2 and 4 threads: 15.9, 11.6, 11.5 s; 15.3, 16.3,
16.3 s of CPU."""
_SPLITS_SINCE = "12.4"
"""The nvcc of 12.4 has --split-compile (read in its --help); 11.8's has not, and those in between were not checked."""
LITTLE_DISK = 2_000_000_000
"""Bytes below which a build folder is short of space: for unpacked sources, objects and nvcc's temporary files."""


_HOST, _FRONT_END, _CODE = 83, 297, 148
"""CPU seconds of all files of the default project (nvcc 13.0, process accounting): g++, one pass of the front end,
and for each architecture the assembler and the compression."""


def native_share(gpu_code: GpuCode) -> float | None:
    """The share of the time that a build for one architecture takes; None if this is one."""
    codes = _sass(gpu_code.codes)
    if codes < 2:
        return None
    whole = _HOST + _FRONT_END * gpu_code.runs + _CODE * codes
    return (_HOST + _FRONT_END + _CODE) / whole


def _sass(codes: Iterable[str]) -> int:
    return sum(code != "PTX" for code in codes)


def decide_jobs(
    settings: Settings, facts: Facts, codes: Sequence[str], files: int, notebook: Notebook
) -> tuple[Choice[int], int]:
    """The number of parallel compilers and nvcc's threads in each: limited by the cores and by the memory.

    ``codes``: the architectures (``GpuCode.codes``); without any, nvcc gets one thread. ``files``: the most files to
    compile, 0 if unknown.
    """
    machine = facts.machine
    cores = settings.jobs or machine.cores
    wanted = cores
    threads = min(_sass(codes) or 1, cores // 3) if cores >= _MANY_CORES else 1
    budget = _budget(settings, facts)
    room = max(1, (budget - BASE_MEMORY) // COMPILE_MEMORY) if budget else wanted * threads
    # Half of a file's time is its front end, which threads for architectures do not speed up: parallel files first.
    threads = max(1, min(threads, room // min(cores // 2 or 1, files or cores)))
    fit = room // threads
    if fit < wanted:
        why = f"{budget / 1e9:.1f} GB of memory at {COMPILE_MEMORY / 1e9:g} GB each"
        if threads > 1:
            why += f", {threads} architectures at once"
        if settings.jobs and fit * threads < settings.jobs:
            asked = f"{settings.origin('jobs')} asks for {settings.jobs} parallel compilers"
            notebook.note(
                f"{asked}, but only {fit * threads} will run: {why} (for more, set for instance -C memory=64G)"
            )
        return Choice(fit, why), threads
    why = counted(machine.cores, "core")
    if settings.jobs:
        why = settings.origin("jobs")
    elif machine.cores_limit:
        why = f"{machine.cores} of {machine.cores_total} cores, by {machine.cores_limit}"
    if threads > 1:
        why += f", {threads} architectures at once"
    return Choice(wanted, why), threads


def decide_split(
    settings: Settings, facts: Facts, jobs: Choice[int], threads: int, files: int, cuda: str
) -> tuple[Choice[int], int]:
    """Threads of nvcc's optimiser per file, if ``jobs`` compilers run in parallel, each on ``threads`` architectures.

    With more than one architecture, only the front end uses these threads. With one architecture they need more memory,
    so fewer compilers may run, but not fewer than ``files``. The kernels are the same with any number; only their order
    in the file changes.
    """
    if version.Version(cuda) < version.Version(_SPLITS_SINCE) or jobs.value * threads < _MANY_CORES:
        return jobs, 1
    if threads > 1:
        return jobs, _SPLIT_FRONT_END
    budget, each = _budget(settings, facts), COMPILE_MEMORY + SPLIT_MEMORY
    fit = (budget - BASE_MEMORY) // each if budget else jobs.value
    if fit < min(jobs.value, files or jobs.value):
        return jobs, 1
    if fit < jobs.value:
        jobs = Choice(fit, f"{budget / 1e9:.1f} GB of memory at {each / 1e9:g} GB each")
    return jobs, _SPLIT


def _budget(settings: Settings, facts: Facts) -> int:
    """Bytes that all compilers together may use; 0 if unknown."""
    available = facts.machine.memory_available
    return settings.memory or (max(1, int(available * 0.75)) if available else 0)
