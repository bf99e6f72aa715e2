"""How many compilers run at once, and with how many threads each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..core._compat import version
from ..core.facts import Facts
from ..core.settings import Settings
from .notebook import Notebook, counted
from .types import Choice, GpuCode

BASE_MEMORY = 700_000_000
"""Bytes of the build beside its compilers: setup.py with torch imported, the frontend, ninja."""
COMPILE_MEMORY = 1_200_000_000
"""Bytes that one nvcc may take per architecture that it works on at once. Seen at the peak with the largest files of a project, and nvcc 13.0:
0.98 GB for a file of its, 0.89 GB for the complex kernels of two block sizes; and g++ beside it."""
SPLIT_MEMORY = 1_000_000_000
"""Bytes that it takes besides with --split-compile=4: that file, 1.74 GB in place of 0.89."""
_MANY_CORES = 8
"""From so many on there may be fewer files left than cores: then a file's architectures are worked on side by side."""

_SPLIT = 4
"""Threads in which nvcc optimises a file, for one architecture. Half of the time and more can be shared; more of them take more
memory."""
_SPLIT_FRONT_END = 2
"""The same in the front end alone, which takes no more memory for it: several architectures give the cores enough to do afterwards.
One kernel for two types, cicc of nvcc 13.0, with 1, 2 and 4 threads: 15.9, 11.6, 11.5 s; 15.3, 16.3, 16.3 s
of CPU."""
_SPLITS_SINCE = "12.4"
"""Its nvcc has --split-compile (--help, read); 11.8's has not, those between were not asked."""
LITTLE_DISK = 2_000_000_000
"""Bytes under which a build folder is short of room: unpacked sources, objects and nvcc's own temporaries."""


_HOST, _FRONT_END, _CODE = 83, 297, 148
"""CPU seconds of all files of the default project (nvcc 13.0, process accounting): g++'s part, one pass of the front end, and for each
architecture the assembler's and the compression."""


def native_share(gpu_code: GpuCode) -> float | None:
    """The part of the time that a build for one architecture takes; None where this is one."""
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
    """Parallel compiles, and nvcc's threads in each: as many as there are cores, and never more than the memory holds.

    ``codes``: what nvcc compiles for (``GpuCode.codes``); with none, one thread is all that nvcc may have. ``files``: how many there
    are to compile at most, 0 where nobody knows.
    """
    machine = facts.machine
    cores = settings.jobs or machine.cores
    wanted = cores
    threads = min(_sass(codes) or 1, cores // 3) if cores >= _MANY_CORES else 1
    budget = _budget(settings, facts)
    room = max(1, (budget - BASE_MEMORY) // COMPILE_MEMORY) if budget else wanted * threads
    # Half of a file's time is its front end, which no thread of an architecture shares: files first.
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
    """Threads of nvcc's optimiser on one file, where ``jobs`` compilers may run at once, each on ``threads`` architectures.

    For more than one architecture they are those of the front end alone. For one, which takes more memory then, it may be that fewer
    compilers run, but not fewer than there are ``files``. The kernels are the same with any number, their order in the file is not.
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
    """Bytes that all may take together; 0 where nobody knows."""
    available = facts.machine.memory_available
    return settings.memory or (max(1, int(available * 0.75)) if available else 0)
