"""Looking at the machine: read-only, one file for each kind of thing, a time limit on every call, never a decision."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from ..facts import Facts
from ..settings import Settings
from . import compilers, cuda, environment, gpus, machine, sysroots, torch


def probe_all(settings: Settings, environ: Mapping[str, str], cache: Path, *, embedded: str | None = None) -> Facts:
    """Look at everything that the plan may want to choose from."""
    torches = torch.probe_torches(settings, environ)
    driver = gpus.probe_gpus(environ)
    return Facts(
        machine=machine.probe_machine(work=Path(settings.build_dir or tempfile.gettempdir()).absolute()),
        torches=torches,
        toolkits=cuda.probe_toolkits(settings, environ, [Path(item.site) for item in torches]),
        compilers=compilers.probe_compilers(settings, environ),
        sysroots=sysroots.probe_sysroots(settings, environ, cache),
        gpus=driver.gpus,
        driver=driver.driver,
        gpus_asked=driver.asked,
        polluted=environment.probe_environment(environ),
        embedded=embedded,
    )
