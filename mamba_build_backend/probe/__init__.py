"""Looking at the machine: read-only, one file for each kind of thing, a time limit on every call, never a decision."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..core.facts import Facts
from ..core.settings import Settings
from . import compiler_caches, compilers, cuda, environment, frontend, gpus, machine, source, sysroots, torch


def probe_all(settings: Settings, environ: Mapping[str, str], cache: Path, *, embedded: tuple[str, ...] = ()) -> Facts:
    """Look at everything that the plan may want to choose from.

    Most of the time goes into waiting for programs, and a slow driver or a compiler on a network disk would hold up all the
    others, so they are asked side by side.
    """
    source_kind, source_files = source.probe_source(settings)
    caller = frontend.probe_frontend()
    torches = torch.probe_torches(settings, environ, caller)
    sites = [Path(item.site) for item in torches]
    with ThreadPoolExecutor() as pool:
        driver = pool.submit(gpus.probe_gpus, environ)
        toolkits = pool.submit(cuda.probe_toolkits, settings, environ, sites)
        caches = pool.submit(compiler_caches.probe_compiler_caches, settings, environ)
        found = pool.submit(compilers.probe_compilers, settings, environ)
        return Facts(
            machine=machine.probe_machine(work=Path(settings.build_dir or tempfile.gettempdir()).absolute()),
            torches=torches,
            toolkits=toolkits.result(),
            compilers=found.result(),
            sysroots=sysroots.probe_sysroots(settings, environ, cache),
            compiler_caches=caches.result(),
            gpus=driver.result().gpus,
            driver=driver.result().driver,
            gpus_asked=driver.result().asked,
            polluted=environment.probe_environment(environ),
            embedded=embedded,
            source_kind=source_kind,
            source_files=source_files,
            frontend=caller.command,
        )
