"""Symbol versions: what libraries need, and what a system must have in the end for a wheel and its torch together. Pure.

The rule of the effective floor stands here alone: of each family the larger version counts, and who asks for it sets it.
``doctor`` applies it to the promise of a plan, ``audit`` and the build record to what was measured.
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
"""A version that is needed, the library that has it, and the first symbols that ask for it, with blanks between."""

_WITHOUT_NUMBER = {"GLIBC_ABI_DT_RELR": "GLIBC_2.36"}
"""Versions that stand for a release: glibc 2.36's NEWS, on DT_RELR relocations."""
_SYSTEMS = {"rhel": "RHEL", "debian": "Debian", "ubuntu": "Ubuntu"}
"""Families of distributions that are named, by their ID in os-release(5)."""


@dataclass(frozen=True)
class Asked:
    """A version that is asked for, empty where none is. ``by`` is what asks: a symbol of a library, or torch's library."""

    version: str = ""
    by: str = ""


@dataclass(frozen=True)
class TorchNeeds:
    """What the libraries of a torch ask of the system. ``source`` is ``libraries`` or, of the build's torch, ``record``."""

    version: str
    source: str
    glibc: Asked = Asked()
    glibcxx: Asked = Asked()
    cxxabi: Asked = Asked()


@dataclass(frozen=True)
class Effective:
    """The larger of two versions. ``set_by`` is ``wheel`` or ``torch``, and empty where nothing is asked for."""

    version: str
    set_by: str
    by: str
    """What in it asks: a symbol of a library, or torch's library; empty where that is not known."""
    wheel: str
    torch: str
    """With ``wheel``: what each of them needs; empty where it needs nothing, or is not known."""


@dataclass(frozen=True)
class EffectiveFloor:
    """What a system must have for a wheel and its torch together."""

    torch: str
    """The version of torch; empty where what it needs is not known."""
    torch_source: str
    """As in TorchNeeds; empty where there is none."""
    glibc: Effective
    glibcxx: Effective
    cxxabi: Effective
    systems: tuple[str, ...]
    """The oldest release of each distribution that has all three, such as ``RHEL 8``; a family that has none is left out."""


def larger(wheel: Asked, torch: Asked) -> Effective:
    """Which of the two sets a floor; the wheel, where they need the same."""
    theirs = bool(torch.version) and (
        not wheel.version or version.Version(torch.version) > version.Version(wheel.version)
    )
    taken = torch if theirs else wheel
    who = ("torch" if theirs else "wheel") if taken.version else ""
    return Effective(taken.version, who, taken.by, wheel.version, torch.version)


def effective_floor(blockers: Iterable[Blocker], torch: TorchNeeds | None, tables: Tables) -> EffectiveFloor:
    """What a wheel, whose libraries have these blockers, and a torch need; None stands for a torch that is not known."""
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
    """Of each family of distributions the oldest release that has these versions.

    Its libstdc++ is taken to be no newer than what the manylinux policy of its glibc allows, which holds for all of them.
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
    """The newest of each symbol version among several libraries."""
    return Floor(*(newest([getattr(floor, field) for floor in floors]) for field, _ in FAMILIES))


def newest(numbers: Iterable[str]) -> str:
    """The newest of several versions, of which some may be empty."""
    return max(filter(None, numbers), key=version.Version, default="")


def floor_of(needs: Needs) -> tuple[Floor, tuple[Blocker, ...]]:
    """The newest version that a library needs of each family, and which symbols ask for it."""
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
