"""Looking at the machine: read-only, one file for each kind of thing, a time limit on every call, never a decision."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..facts import Facts
from ..settings import Settings
from . import compilers, cuda, gpus, machine, sysroots, torch

POLLUTING = (
    "CPATH",
    "C_INCLUDE_PATH",
    "CPLUS_INCLUDE_PATH",
    "LIBRARY_PATH",
    "LD_RUN_PATH",
    "LDFLAGS",
    "CFLAGS",
    "CXXFLAGS",
    "CPPFLAGS",
)
"""Variables that put folders of the host in front of ours. The build runs without them, and says so.

LD_LIBRARY_PATH is not one of them: Pythons and compilers of a cluster's modules need it to start, and the linker takes
nothing from it that the wrapper has not named first.
"""


def probe_all(settings: Settings, environ: Mapping[str, str], cache: Path, *, embedded: str | None = None) -> Facts:
    """Look at everything that the plan may want to choose from."""
    torches = torch.probe_torches(settings, environ)
    found_gpus, asked = gpus.probe_gpus()
    return Facts(
        machine=machine.probe_machine(),
        torches=torches,
        toolkits=cuda.probe_toolkits(settings, environ, [Path(item.site) for item in torches]),
        compilers=compilers.probe_compilers(settings, environ),
        sysroots=sysroots.probe_sysroots(settings, environ, cache),
        gpus=found_gpus,
        nvml=asked,
        polluted=tuple(f"{name}={environ[name]}" for name in POLLUTING if environ.get(name)),
        embedded=embedded,
    )
