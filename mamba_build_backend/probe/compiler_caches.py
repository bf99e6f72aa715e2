"""Compiler caches on PATH: ccache and sccache."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..core.errors import ToolError
from ..core.facts import CacheProgram, CompilerCache
from ..core.paths import find_program
from ..core.process import capture
from ..core.settings import Settings


def probe_compiler_caches(settings: Settings, environ: Mapping[str, str]) -> tuple[CompilerCache, ...]:
    """Ask each wanted cache program for its version."""
    found = []
    for name in CacheProgram:
        wanted = settings.cache in ("auto", name.value)
        path = find_program(name.value, environ) if wanted else None
        if path is None:
            continue
        try:
            output = capture([path, "--version"], env=environ, timeout=10)
        except ToolError as error:
            found.append(CompilerCache(name, path, problem=error.problems[0].found))
            continue
        release = re.search(rf"^{name}(?: version)? v?(\d+(?:\.\d+)+)", output, re.MULTILINE)
        if release:
            found.append(CompilerCache(name, path, release[1]))
        else:
            first = (output.strip().splitlines() or ["nothing"])[0]
            found.append(CompilerCache(name, path, problem=f"its --version prints: {first[:80]}"))
    return tuple(found)
