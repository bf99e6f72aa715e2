"""Probe the machine: read-only, one file per kind of fact, a time limit on every call, and no decisions."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.facts import Facts, SourceKind
from ..core.settings import Settings
from ..core.tree_facts import Tree
from ..tables import load_tables
from . import (
    compiler_caches,
    compilers,
    cuda,
    environment,
    frontend,
    gpus,
    machine,
    shell,
    source,
    sysroots,
    torch,
    tree,
    zig,
)
from .fetched import probe_fetched
from .handover import ALL, Earlier, Family, Look, read_marks
from .machine import for_machine

__all__ = ["Family", "Look", "for_machine", "look", "probe_all", "with_source"]


def probe_all(settings: Settings, environ: Mapping[str, str], cache: Path, *, embedded: tuple[str, ...] = ()) -> Facts:
    """Probe everything that the plan may choose from."""
    return look(settings, environ, cache, embedded=embedded).facts


def look(
    settings: Settings,
    environ: Mapping[str, str],
    cache: Path,
    *,
    embedded: tuple[str, ...] = (),
    earlier: Earlier | None = None,
) -> Look:
    """Probe everything, or only what is new or changed since an ``earlier`` hook of this install.

    The probes run in parallel: most of the time is spent waiting for programs, and a slow driver or a compiler on a
    network disk would delay all the others.
    """
    caller = frontend.probe_frontend()
    stale = ALL if earlier is None else earlier.stale(read_marks(settings, environ, caller, earlier.facts))
    found: dict[str, Any] = {
        "amd_driver": gpus.has_amd_driver(),
        "polluted": environment.probe_environment(environ),
        "embedded": embedded,
        "frontend": caller.command,
        "fetched": probe_fetched(settings, cache, platform.machine(), load_tables()),
        "shell": shell.probe_shell(environ),
    }
    if earlier is None or Family.TORCHES in stale:
        found["torches"] = torch.probe_torches(settings, environ, caller)
    else:
        found["torches"] = earlier.facts.torches
    sites = [Path(item.site) for item in found["torches"]]
    with ThreadPoolExecutor() as pool:
        probes: dict[Family, Callable[[], dict[str, Any]]] = {
            Family.GPUS: lambda: _driver(environ),
            Family.TOOLKITS: lambda: {"toolkits": cuda.probe_toolkits(settings, environ, sites)},
            Family.COMPILER_CACHES: lambda: {
                "compiler_caches": compiler_caches.probe_compiler_caches(settings, environ)
            },
            Family.COMPILERS: lambda: {
                "compilers": (*compilers.probe_compilers(settings, environ), *zig.zig_compilers())
            },
            Family.SYSROOTS: lambda: {"sysroots": sysroots.probe_sysroots(settings, environ, cache)},
        }
        asked = [pool.submit(probe) for family, probe in probes.items() if family in stale]
        if earlier is None:
            work = Path(settings.build_dir or tempfile.gettempdir()).absolute()
            known = Facts(machine.probe_machine(work=work))
        else:
            known = earlier.facts
        for answer in asked:
            found.update(answer.result())
    facts = for_machine(with_source(replace(known, **found), settings), settings.machine)
    return Look(facts, read_marks(settings, environ, caller, facts), stale)


def with_source(facts: Facts, settings: Settings) -> Facts:
    """The facts of a machine, completed with what the setting ``source`` points to."""
    kind, files = source.probe_source(settings)
    path = source.path_of(settings)
    trees: tuple[Tree, ...] = ()
    if kind is SourceKind.TREE:
        trees = tree.probe_trees(path, facts.torches)
    elif kind is SourceKind.ARCHIVE and settings.upstream_version is None:
        trees = tree.probe_archive(path, facts.torches)
    return replace(facts, source_kind=kind, source_files=files, trees=trees)


def _driver(environ: Mapping[str, str]) -> dict[str, Any]:
    answer = gpus.probe_gpus(environ)
    return {"gpus": answer.gpus, "driver": answer.driver, "gpus_asked": answer.asked}
