"""Configure ccache or sccache in front of nvcc and g++ so that they hit, and never return a wrong object."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from ..core.errors import ToolError
from ..core.facts import CacheProgram, Compiler, CompilerCache, CompilerKind
from ..core.paths import is_file, read_text
from ..core.process import Echo, capture
from ..core.shared_folder import stand_in
from .shims import nvcc_steps, ptx
from .shims.compiler import WORK
from .types import Launcher, Toolchain

_NVCC_PARTS = ("nvvm/bin/cicc", "bin/cicc", "bin/ptxas", "bin/cudafe++", "bin/fatbinary")
_STAND_IN_FOR = ("nvvm/bin/cicc.real", "bin/fatbinary.real")
"""NVIDIA's real programs if ``nvcc_steps.py`` replaces them, with ``gpu-code=compact``."""
_UNSURE = "include_file_mtime,include_file_ctime"
"""By default ccache rejects headers that are younger than a second, and all of ours were unpacked just now."""


def apply_compiler_cache(
    chosen: CompilerCache, compiler: Compiler, cuda_home: Path, work: Path, environ: Mapping[str, str]
) -> Launcher:
    """Return the prefix of a compiler's command and its variables. Raises ToolError if the cache does not run."""
    # A cache does not check the programs that nvcc and g++ start, and an update may change those and not the compiler.
    parts = [cuda_home / part for part in (*_NVCC_PARTS, *_STAND_IN_FOR)]
    if any(is_file(cuda_home / part) for part in _STAND_IN_FOR):
        parts += [Path(nvcc_steps.__file__), Path(ptx.__file__)]
    with suppress(ToolError):
        parts.append(Path(capture([compiler.path, "-print-prog-name=cc1plus"], env=environ).strip()))
    parts = [path for path in (*parts, Path(compiler.path)) if is_file(path)]
    if chosen.name is CacheProgram.CCACHE:
        launcher = Launcher("ccache", (chosen.path,), _of_ccache(parts, compiler, work, environ))
    else:
        launcher = Launcher("sccache", (chosen.path,), _of_sccache(parts, compiler, environ))
        # Start the server here: two parallel first compiles would each start one. A running server is reported as an
        # error. The server outlives the build, so it gets the user's TMPDIR.
        try:
            capture([chosen.path, "--start-server"], env=environ, timeout=30, merge=True)
        except ToolError as error:
            if "in use" not in error.output:  # sccache's own message
                raise
    # Try it: for example, a cache whose folder is not writable would fail every compile.
    trial = work / "trial.cpp"
    trial.write_text("int trial;\n", encoding="ascii")
    command: list[str | os.PathLike[str]] = [chosen.path, compiler.path, "-c", trial, "-o", trial.with_suffix(".o")]
    capture(command, env={**environ, **launcher.variables, "TMPDIR": str(work / "tmp")}, timeout=60)
    if chosen.name is CacheProgram.CCACHE:
        Path(launcher.variables["CCACHE_STATSLOG"]).unlink(missing_ok=True)
    return launcher


def _of_ccache(parts: Sequence[Path], compiler: Compiler, work: Path, environ: Mapping[str, str]) -> dict[str, str]:
    # zig names its headers by absolute paths in a build environment that no longer exists at the next build.
    inside = {"CCACHE_BASEDIR": str(work)} if compiler.kind is CompilerKind.ZIG else {}
    return {
        **inside,
        "CCACHE_DEPEND": "1",
        "CCACHE_NOHASHDIR": "1",
        "CCACHE_COMPILERCHECK": "content",
        "CCACHE_EXTRAFILES": os.pathsep.join(filter(None, [environ.get("CCACHE_EXTRAFILES"), *map(str, parts)])),
        "CCACHE_SLOPPINESS": ",".join(filter(None, [environ.get("CCACHE_SLOPPINESS"), _UNSURE])),
        "CCACHE_STATSLOG": str(work / "ccache.stats"),
    }


def _of_sccache(parts: Sequence[Path], compiler: Compiler, environ: Mapping[str, str]) -> dict[str, str]:
    digest = hashlib.sha256(environ.get("SCCACHE_C_CUSTOM_CACHE_BUSTER", "").encode())
    for path in parts:
        digest.update(f"{path.name} {path.stat().st_size} ".encode())
    digest.update(compiler.version.encode())
    return {"SCCACHE_C_CUSTOM_CACHE_BUSTER": digest.hexdigest()}


@contextmanager
def in_use(tools: Toolchain, label: str, work: Path, environ: Mapping[str, str], echo: Echo) -> Iterator[Toolchain]:
    """Yield the tools to compile with; at the end, report how many objects came from the cache.

    ``label`` is the same for builds that share objects.
    """
    launcher = tools.launcher
    if launcher is None:
        yield tools
        return
    before = _count(launcher, environ)
    with ExitStack() as stack:
        if launcher.name == "sccache":
            # sccache passes a source's absolute path to nvcc's steps, and hashes their arguments.
            name = f"mamba-build-cached-{label}"
            folder = stack.enter_context(stand_in(name))
            if folder is None:
                found = f"another build of the same project uses the folder /tmp/{name}"
                if not launcher.asked:
                    echo(f"note: building without a compiler cache: {found}")
                    yield replace(tools, launcher=None)
                    return
                raise ToolError(
                    found,
                    "sccache needs a folder with the same name in all builds",
                    (
                        f"wait for that build to end   (if it was killed: rm -r /tmp/{name}, as the user who ran it)",
                        "-C cache=off   (compiles every file each time)",
                    ),
                )
            (folder / WORK).symlink_to(os.path.realpath(work), target_is_directory=True)
            launcher = replace(launcher, folder_name=str(folder))
        yield replace(tools, launcher=launcher)
    hits, misses = (now - then for now, then in zip(_count(launcher, environ), before))
    if hits + misses > 0:
        echo(f"{launcher.name}: {hits} of {hits + misses} found in the cache")


def _count(launcher: Launcher, environ: Mapping[str, str]) -> tuple[int, int]:
    with suppress(OSError, ToolError, ValueError, KeyError, TypeError):
        if launcher.name == "ccache":
            return _of_log(read_text(launcher.variables["CCACHE_STATSLOG"]))
        return _of_stats(capture([*launcher.command, "--show-stats", "--stats-format=json"], env=environ))
    return 0, 0


def _of_log(text: str) -> tuple[int, int]:
    """Count hits and misses in a CCACHE_STATSLOG: a line names a source, the lines after it its counters."""
    lines = text.splitlines()
    return sum(line in ("direct_cache_hit", "preprocessed_cache_hit") for line in lines), lines.count("cache_miss")


def _of_stats(text: str) -> tuple[int, int]:
    """Count hits and misses of all languages in sccache's statistics; each of nvcc's steps counts."""
    stats = json.loads(text)["stats"]
    return sum(stats["cache_hits"]["counts"].values()), sum(stats["cache_misses"]["counts"].values())
