"""How many compilers run at once, and with which flags."""

from __future__ import annotations

from ..facts import Facts
from ..settings import Settings
from ..tables import FrontEnd, Tables
from .types import Choice

COMPILE_MEMORY = 1_000_000_000
"""Bytes that one nvcc may take per architecture that it works on at once: 0.66 GB seen at the peak, plus its host half."""

SMALLEST = "--compress-mode=size"
LITTLE_DISK = 2_000_000_000
"""Bytes under which a build folder is short of room: unpacked sources, objects and nvcc's own temporaries."""


_HOST, _FRONT_END, _CODE = 12.0, 81.0, 27.5
"""CPU seconds of one file of mamba-ssm 2.3.0 (selective_scan_bwd_fp32_real.cu, nvcc 13.0): g++'s part, one pass of the front end,
and the assembler's for one architecture. Measured: sm_90 alone 110, four architectures from one front end 204."""


def native_share(front_ends: tuple[FrontEnd, ...]) -> float | None:
    """The part of the time that a build for one architecture takes; None where this is one."""
    codes = sum(code != "PTX" for item in front_ends for code in item.codes)
    if codes < 2:
        return None
    whole = _HOST + _FRONT_END * len(front_ends) + _CODE * codes
    return (_HOST + _FRONT_END + _CODE) / whole


def decide_jobs(settings: Settings, facts: Facts, front_ends: tuple[FrontEnd, ...]) -> tuple[Choice[int], int]:
    """Parallel compiles, and nvcc's threads in each."""
    machine = facts.machine
    cores = machine.cores
    passes = sum(len(item.codes) for item in front_ends) or 1
    # nvcc works on several architectures at once with --threads; that pays only where cores would be idle at the end.
    threads = min(passes, 4) if cores >= 4 else 1
    budget = settings.memory or int(machine.memory_available * 0.75)
    fit = max(1, budget // (COMPILE_MEMORY * threads)) if budget else cores
    if fit < cores and threads > 1:
        threads = 1
        fit = max(1, budget // COMPILE_MEMORY)
    if settings.jobs:
        return Choice(settings.jobs, settings.origin("jobs")), threads
    if fit < cores:
        return Choice(fit, f"{budget / 1e9:.1f} GB of memory at {COMPILE_MEMORY / 1e9:g} GB each"), threads
    why = f"{cores} cores"
    if machine.cores_limit:
        why = f"{cores} of {machine.cores_total} cores, by {machine.cores_limit}"
    return Choice(cores, why), threads


def nvcc_flags(
    settings: Settings, tables: Tables, cuda: str, front_ends: tuple[FrontEnd, ...], threads: int
) -> tuple[str, ...]:
    """The options that the build hands to nvcc in place of upstream's."""
    flags = [flag for item in front_ends for flag in item.flags()]
    if threads > 1:
        flags += ["--threads", str(threads)]
    if settings.lineinfo:
        flags.append("-lineinfo")
    compress = tables.cuda_row(cuda).compress if cuda else "no"
    asked = settings.origin("compress") != "default"
    if settings.compress != "default" and (compress == "yes" or (compress == "asked" and asked)):
        flags.append(f"--compress-mode={settings.compress}")
    return tuple(flags)
