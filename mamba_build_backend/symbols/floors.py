"""Symbol versions: what libraries need, and what a system must have for a wheel and its torch together. No I/O.

Only this module has the rule of the effective floor: in each family the larger version counts, and its owner sets the
floor. ``doctor`` applies the rule to a plan's promise, ``audit`` and the build record to measured versions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..core._compat import version
from ..tables import Floor, Tables

if TYPE_CHECKING:
    from .elf import Needs, VersionNeed

FAMILIES = (("glibc", "GLIBC"), ("glibcxx", "GLIBCXX"), ("cxxabi", "CXXABI"), ("gcc", "GCC"))
Blocker = tuple[str, str, str]
"""A needed version, the library that provides it, and the first symbols that need it, separated by spaces."""

_WITHOUT_NUMBER = {"GLIBC_ABI_DT_RELR": "GLIBC_2.36"}
"""Versions without a number, by release: glibc 2.36's NEWS, on DT_RELR relocations."""
_SYSTEMS = {"rhel": "RHEL", "debian": "Debian", "ubuntu": "Ubuntu"}
"""Families of distributions to name, by their ID in os-release(5)."""


@dataclass(frozen=True)
class Asked:
    """A needed version (may be empty). ``by``: the symbol that needs it, or torch's library."""

    version: str = ""
    by: str = ""


@dataclass(frozen=True)
class TorchNeeds:
    """What the libraries of a torch need from the system.

    ``source``: ``libraries``, or ``record`` for the build's torch.
    """

    version: str
    source: str
    glibc: Asked = Asked()
    glibcxx: Asked = Asked()
    cxxabi: Asked = Asked()


@dataclass(frozen=True)
class Effective:
    """The larger of two versions. ``set_by``: ``wheel`` or ``torch``; empty if neither needs a version."""

    version: str
    set_by: str
    by: str
    """The symbol that needs it, or torch's library; empty if unknown."""
    wheel: str
    torch: str
    """With ``wheel``: the version that each of them needs; empty if none, or unknown."""


@dataclass(frozen=True)
class EffectiveFloor:
    """What a system must have for a wheel and its torch together."""

    torch: str
    """The version of torch; empty if its needs are unknown."""
    torch_source: str
    """As in TorchNeeds; may be empty."""
    glibc: Effective
    glibcxx: Effective
    cxxabi: Effective
    systems: tuple[str, ...]
    """The oldest release of each distribution with all three, such as ``RHEL 8``; omits distributions without one."""


def larger(wheel: Asked, torch: Asked) -> Effective:
    """Return which of the two sets the floor; the wheel if both need the same."""
    theirs = bool(torch.version) and (
        not wheel.version or version.Version(torch.version) > version.Version(wheel.version)
    )
    taken = torch if theirs else wheel
    who = ("torch" if theirs else "wheel") if taken.version else ""
    return Effective(taken.version, who, taken.by, wheel.version, torch.version)


def effective_floor(blockers: Iterable[Blocker], torch: TorchNeeds | None, tables: Tables) -> EffectiveFloor:
    """Return what a wheel with these blockers and a torch need together; None means an unknown torch."""
    ours = {family: Asked() for _, family in FAMILIES}
    for needed, library, symbols in blockers:
        family, _, number = needed.partition("_")
        if not ours[family].version or version.Version(number) > version.Version(ours[family].version):
            ours[family] = Asked(number, f"{symbols.partition(' ')[0]} of {library}".removeprefix(" of "))
    theirs = torch or TorchNeeds("", "")
    glibc = larger(ours["GLIBC"], theirs.glibc)
    glibcxx = larger(ours["GLIBCXX"], theirs.glibcxx)
    cxxabi = larger(ours["CXXABI"], theirs.cxxabi)
    systems = oldest_systems(Floor(glibc.version, glibcxx.version, cxxabi.version), tables)
    return EffectiveFloor(theirs.version, theirs.source, glibc, glibcxx, cxxabi, systems)


def oldest_systems(floor: Floor, tables: Tables) -> tuple[str, ...]:
    """Return the oldest release of each distribution that has these versions.

    Assumes the libstdc++ that the manylinux policy allows for a release's glibc, which is correct for all of them.
    """
    found: dict[str, tuple[version.Version, str]] = {}
    for row in tables.distributions:
        policy = tables.floor_row(row.glibc)
        if not _covers(Floor(row.glibc, policy.glibcxx, policy.cxxabi), floor):
            continue
        for family, title in _SYSTEMS.items():
            number = next((name.partition(" ")[2] for name in row.names if name.startswith(f"{family} ")), "")
            if number and (family not in found or version.Version(number) < found[family][0]):
                found[family] = version.Version(number), f"{title} {number}"
    return tuple(found[family][1] for family in _SYSTEMS if family in found)


def _covers(given: Floor, needed: Floor) -> bool:
    pairs = ((getattr(given, field), getattr(needed, field)) for field, _ in FAMILIES)
    return all(not least or (has and version.Version(has) >= version.Version(least)) for has, least in pairs)


def highest(floors: Sequence[Floor]) -> Floor:
    """Return the newest version of each family among several libraries."""
    return Floor(*(newest([getattr(floor, field) for floor in floors]) for field, _ in FAMILIES))


def newest(numbers: Iterable[str]) -> str:
    """Return the newest of several versions; some may be empty."""
    return max(filter(None, numbers), key=version.Version, default="")


def floor_of(needs: Needs) -> tuple[Floor, tuple[Blocker, ...]]:
    """Return the newest version that a library needs in each family, and the symbols that need it."""
    best: dict[str, VersionNeed] = {}
    for item in needs.versions:
        need = replace(item, version=_WITHOUT_NUMBER.get(item.version, item.version))
        family, _, number = need.version.partition("_")
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9}){0,9}", number):
            continue
        if family not in best or _number(need) > _number(best[family]):
            best[family] = need
    values = {name: best[family].version.partition("_")[2] if family in best else "" for name, family in FAMILIES}
    blockers = tuple(
        (best[family].version, best[family].library, " ".join(best[family].symbols[:4]))
        for _, family in FAMILIES
        if family in best
    )
    return Floor(**values), blockers


def _number(need: VersionNeed) -> version.Version:
    return version.Version(need.version.partition("_")[2])
