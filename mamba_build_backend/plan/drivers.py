"""Which CUDA this machine's driver can run."""

from __future__ import annotations

from ..core.facts import Facts
from ..core.versions import parsed
from ..tables import Tables


def is_tegra(facts: Facts, tables: Tables) -> bool:
    """Whether the GPU is a Jetson's, whose driver comes with the system and has other version numbers."""
    boards = {code for row in tables.cuda for code in row.jetson}
    return facts.machine.arch == "aarch64" and any(gpu.capability.replace(".", "") in boards for gpu in facts.gpus)


def driver_runs(facts: Facts, tables: Tables, cuda: str) -> bool:
    """Whether the driver can run programs of this CUDA; true if the driver is unknown."""
    if not facts.driver:
        return True
    least, found = tables.cuda_row(cuda).driver, facts.driver
    if is_tegra(facts, tables):  # Thor's 580.00 is a driver of CUDA 13
        least, found = least.partition(".")[0], found.partition(".")[0]
    return bool(parsed(found) >= parsed(least))
