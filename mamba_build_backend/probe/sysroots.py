"""Every glibc that the wheel could be linked against."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from pathlib import Path

from ..core.facts import Origin, Sysroot, SysrootProvider
from ..core.paths import expanded, is_dir, matching, read_text
from ..core.settings import Settings
from ..tables import load_tables
from .paths import conda_prefixes
from .zig import installed_zig


def probe_sysroots(settings: Settings, environ: Mapping[str, str], cache: Path) -> tuple[Sysroot, ...]:
    """Find the setting's path, conda's sysroot package, a sysroot in the cache, and zig."""
    found: list[Sysroot] = []
    if settings.sysroot not in ("auto", "conda", "zig", "host"):
        found.append(read_sysroot(expanded(settings.sysroot), SysrootProvider.PATH, "setting sysroot", Origin.SETTING))
    for prefix, where in conda_prefixes(environ):
        for path in matching(prefix, "*-conda*-linux-gnu/sysroot"):
            found.append(read_sysroot(path, SysrootProvider.CONDA, where, Origin.CONDA))
    made = zig_folder(cache, settings.glibc, platform.machine())
    if is_dir(made):
        found.append(Sysroot(SysrootProvider.ZIG, str(made), "the cache", origin=Origin.CACHE))
    found += [_zig(*item) for item in installed_zig()]
    return tuple(found)


def zig_folder(cache: Path, glibc: str, arch: str) -> Path:
    """The cache path of the sysroot that zig makes."""
    return cache / "sysroots" / f"zig-{load_tables().zig.version}-{arch}-glibc-{glibc}"


def read_sysroot(path: Path, provider: SysrootProvider, where: str, origin: Origin = Origin.UNKNOWN) -> Sysroot:
    """Read the glibc version that a sysroot's headers declare."""
    header = path / "usr" / "include" / "features.h"
    try:
        text = read_text(header, errors="replace")
    except OSError:
        return Sysroot(provider, str(path), where, problem=f"there is no {header}", origin=origin)
    match = re.search(r"#\s*define\s+__GLIBC_MINOR__\s+(\d+)", text)
    if not match:
        undeclared = f"{header} declares no __GLIBC_MINOR__"
        return Sysroot(provider, str(path), where, problem=undeclared, origin=origin)
    return Sysroot(provider, str(path), where, f"2.{match[1]}", origin=origin)


def _zig(package: Path, release: str) -> Sysroot:
    wanted = load_tables().zig.version
    if not release.startswith(f"{wanted}.") and release != wanted:
        other = f"ziglang {release} has other glibc headers than {wanted}"
        return Sysroot(SysrootProvider.ZIG, str(package), "ziglang", problem=other, origin=Origin.INDEX)
    return Sysroot(SysrootProvider.ZIG, str(package), f"ziglang {release}", origin=Origin.INDEX)
