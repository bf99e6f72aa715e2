"""Programs that remember what a compiler made: ccache and sccache, where they are on PATH."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping

from ..core.errors import ToolError
from ..core.facts import CompilerCache
from ..core.process import capture
from ..core.settings import COMPILER_CACHES, Settings


def probe_compiler_caches(settings: Settings, environ: Mapping[str, str]) -> tuple[CompilerCache, ...]:
    """Ask each of them for its version; none where the setting says that none is wanted."""
    names = COMPILER_CACHES if settings.cache == "auto" else (settings.cache,)
    found = []
    for name in names:
        path = shutil.which(name, path=environ.get("PATH")) if name in COMPILER_CACHES else None
        if path is None:
            continue
        try:
            said = capture([path, "--version"], env=environ, timeout=10)
        except ToolError as error:
            found.append(CompilerCache(name, path, problem=error.problems[0].found))
            continue
        release = re.search(rf"^{name}(?: version)? v?(\d+(?:\.\d+)+)", said, re.MULTILINE)
        if release:
            found.append(CompilerCache(name, path, release[1]))
        else:
            first = (said.strip().splitlines() or ["nothing"])[0]
            found.append(CompilerCache(name, path, problem=f"asked for its version, it says: {first[:80]}"))
    return tuple(found)
