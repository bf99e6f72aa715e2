"""A wheel for another processor than this machine's: what it needs in addition to a cross-compiler."""

from __future__ import annotations

from ..core.facts import Facts
from ..core.settings import INDEX_NVCC, Settings
from ..tables import CrossRuntime, Tables
from .notebook import Notebook
from .types import Abi


def decide_runtime(
    settings: Settings, facts: Facts, tables: Tables, cuda: str, abi: Abi, notebook: Notebook
) -> CrossRuntime | None:
    """CUDA's runtime for the other processor; None if there is none, or the ABI cannot be cross-compiled."""
    machine = facts.machine
    if not (machine.host and abi.is_stable and cuda):
        return None
    row = tables.cross_runtime(cuda, machine.arch)
    if row is None:
        known = [item.cuda for item in tables.runtimes if item.machine == machine.arch]
        notebook.problem(
            "machine",
            f"no CUDA {cuda} runtime for {machine.arch} is known",
            f"PyPI has those of CUDA {known[0]} to {known[-1]}"
            if known
            else f"a wheel for {machine.arch} must be linked with one",
            *([f"-C cuda-home={INDEX_NVCC}   (nvcc from PyPI)"] if known else []),
            f"use an {machine.arch} machine",
        )
    elif settings.offline and row.index_file not in facts.fetched:
        notebook.problem(
            "machine",
            f"offline is set, and {row.index_file} is not in the cache",
            f"a wheel for {machine.arch} is linked with the CUDA runtime in that file",
            "-C offline=false",
        )
    return row


def check_cross(facts: Facts, abi: Abi, obstacle: str, notebook: Notebook) -> None:
    """Report why no compiler can cross-compile, unless another problem was already reported."""
    machine = facts.machine
    if any(item.code == "machine" for item in notebook.problems):
        return
    ways = [] if abi.is_stable else ["-C abi=stable"]
    notebook.problem(
        "machine",
        f"the wheel is for {machine.arch}, this machine is {machine.host}, and {obstacle}",
        "only zig cross-compiles, and only with abi=stable",
        *ways,
        f"use an {machine.arch} machine",
    )
