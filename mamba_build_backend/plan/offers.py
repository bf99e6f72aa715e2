"""Every nvcc that could compile a wheel, found on this machine or available for download, and their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from typing import Any

from ..core._compat import version
from ..core.facts import Facts, Origin, Toolkit, Torch
from ..core.setting_values import is_address
from ..core.settings import ARCHIVED_NVCC, INDEX_NVCC, MIRROR_OFF, Place, Settings
from ..core.versions import parsed
from ..tables import Archives, ProjectVersion, RedistRelease, Tables, covers
from .compiler import Limits, has_gxx
from .drivers import driver_runs, is_tegra
from .nvcc import OLDEST
from .types import Abi, Rejected, TorchTarget
from .zig import zig_obstacle

MATHS = ("cublas_v2.h", "cusparse.h", "cusolverDn.h")
"""Headers that only some sources include."""

STATIC_RUNTIME = "libcudart_static"
"""The runtime inside a stable wheel, which is independent of torch's CUDA; other wheels do not need it."""

OF_WHEELS = ("cuda_runtime.h", "cuda_fp16.h", "cuda_bf16.h", *MATHS, "libcudart")
"""The parts in NVIDIA's wheels that a torch from PyPI requires, once the build has installed it."""


class Provider(IntEnum):
    """Where an nvcc comes from; of two equally good ones, the first provider wins."""

    MACHINE = 0
    INDEX = 1
    ARCHIVES = 2


class Grade(IntEnum):
    """How well a CUDA release fits the driver and torch, the best first."""

    FITS = 0
    OLDER = 1
    """Its major version is older than torch's, so it supports fewer GPUs than torch."""
    UNSEEN = 2
    """No driver that can run it was found here."""


@dataclass(frozen=True)
class Offer:
    """One nvcc."""

    cuda: str
    """Its version, such as ``12.4``."""
    provider: Provider
    order: tuple[Any, ...]
    """The sort key among equally good offers of one provider."""
    toolkit: Toolkit | None = None
    release: RedistRelease | None = None


@dataclass(frozen=True)
class Offers:
    """All offers for a wheel of one ABI.

    A wheel for one torch needs an nvcc of torch's own major version. A wheel with its own CUDA runtime can use any nvcc
    that compiles for the requested GPUs, or those here, and whose programs the driver can run. If no driver was found,
    the driver that torch's CUDA needs is assumed, as the user chose that torch for it.
    """

    settings: Settings
    facts: Facts
    tables: Tables
    row: ProjectVersion
    torch: Torch | None
    target: TorchTarget
    abi: Abi

    @property
    def need(self) -> version.Version:
        """Torch's CUDA."""
        return parsed(self.target.cuda)

    @property
    def forced(self) -> bool:
        """Whether a setting names the toolkit; ``CUDA_HOME`` only names the first candidate."""
        return self.settings.cuda_home != "auto" and self.settings.place("cuda-home") is not Place.ALIAS

    @cached_property
    def runs(self) -> int:
        """The newest CUDA major version that the driver can run; torch's if no driver was found."""
        driver, need = self.facts.driver, self.need.major
        if not driver:
            return need
        oldest = parsed(self.tables.cuda[0].version).major
        known = [row for row in self.tables.cuda if driver_runs(self.facts, self.tables, row.version)]
        here = max((parsed(row.version).major for row in known), default=oldest)
        # For other machines, torch's CUDA says more than this machine's driver.
        return max(here, need) if self.settings.is_set("arch") and self.settings.arch != "native" else here

    def grade(self, cuda: str) -> Grade:
        """How well a release fits the driver and torch."""
        major = parsed(cuda).major
        if not self.abi.is_stable:
            return Grade.FITS  # offers of another major version than torch's were already excluded
        if major > self.runs:
            return Grade.UNSEEN
        return Grade.FITS if major >= min(self.need.major, self.runs) else Grade.OLDER

    def serves(self, offer: Offer) -> bool:
        """Whether this nvcc compiles for the wheel's GPUs."""
        archs = offer.toolkit.archs if offer.toolkit and offer.toolkit.archs else self.tables.cuda_row(offer.cuda).archs
        return is_served(self.settings, self.facts, set(archs))

    def hosted(self, cuda: str) -> bool:
        """Whether there is a C++ compiler for this CUDA; always true for a wheel for one torch, which has no choice."""
        if not self.abi.is_stable:
            return True
        zig = not zig_obstacle(self.settings, self.facts, self.tables, cuda, self.abi)
        return zig or has_gxx(self.facts, Limits(self.tables, cuda, replace(self.target, cxx_standard=17), self.abi))

    def best_first(self) -> list[Offer]:
        """All usable offers."""
        asked = self.settings.cuda_home if self.forced else ""
        found = [*self._of_machine()]
        found += self._of_index(asked == INDEX_NVCC) if asked in ("", INDEX_NVCC) else ()
        found += self._of_archives(asked == ARCHIVED_NVCC) if asked in ("", ARCHIVED_NVCC) else ()
        return sorted(
            found,
            key=lambda item: (
                not self.serves(item),
                self.grade(item.cuda) is Grade.UNSEEN,  # another compiler is easier to get than another driver
                not self.hosted(item.cuda),
                self.grade(item.cuda),
                item.provider,
                *item.order,
            ),
        )

    def were_it_fetched(self) -> Offer | None:
        """The best offer if all downloads were allowed."""
        allowed = replace(self, settings=replace(self.settings, offline=False, cuda_mirror=None))
        return next(iter(allowed.best_first()), None)

    def _of_machine(self) -> Iterator[Offer]:
        for item in self.facts.toolkits:
            if not self.misfit(item):
                # Of two equally near releases, prefer the older: its code needs less of torch's CUDA runtime and of the
                # driver. The sort is stable, so of two toolkits of the same version the one that was found first wins.
                other = parsed(item.version).major != self.need.major
                order = (other, *distance(item.version, self.need), parsed(item.version))
                yield Offer(item.version, Provider.MACHINE, order, toolkit=item)

    def _of_index(self, asked: bool) -> Iterator[Offer]:
        """Torch's own release, or a known one; a release that no driver here can run only on request."""
        cuda = self.target.cuda
        if self.tables.cuda_row(cuda).index_nvcc and (asked or self.grade(cuda) is not Grade.UNSEEN):
            yield Offer(cuda, Provider.INDEX, (0, self.need))
        for row in self.tables.cuda if self.abi.is_stable else ():
            if row.index_nvcc and row.version != cuda and (asked or self.grade(row.version) is not Grade.UNSEEN):
                yield Offer(row.version, Provider.INDEX, (1, parsed(row.version)))

    def _of_archives(self, asked: bool) -> Iterator[Offer]:
        for release in self.releases():
            seen = asked or self.grade(release.cuda) is not Grade.UNSEEN
            if seen and not (self.missing(release) and self.fetches_nothing):
                yield Offer(release.cuda, Provider.ARCHIVES, self.order(release), release=release)

    def releases(self) -> Iterator[RedistRelease]:
        """The releases in NVIDIA's archives that could compile the wheel."""
        machine = self.facts.machine
        if self.settings.cuda_mirror == MIRROR_OFF or machine.system != "Linux" or machine.libc != "glibc":
            return
        if is_tegra(self.facts, self.tables):  # the CUDA of a Jetson comes with its system
            return
        for release in self.tables.redist(machine.runs_on):
            same = parsed(release.release).major == self.need.major
            if (same or self.abi.is_stable) and not self._too_old(release.cuda):
                yield release

    def order(self, release: RedistRelease) -> tuple[Any, ...]:
        """The sort key: the newest release first for a stable wheel, otherwise the nearest to torch's.

        The newest release supports every g++ and every GPU that older releases of its major version support.
        """
        own = parsed(release.cuda)
        return (-own.major, -own.minor) if self.abi.is_stable else (*distance(release.cuda, self.need), own.minor)

    @property
    def fetches_nothing(self) -> bool:
        """Whether nothing may be downloaded: the setting ``offline``, or a mirror that is a folder."""
        return self.settings.offline or bool(self.mirror_folder)

    @property
    def mirror_folder(self) -> str:
        """The local folder with the archives; empty if the mirror is an address or off."""
        mirror = self.settings.cuda_mirror
        return "" if mirror is None or mirror == MIRROR_OFF or is_address(mirror) else mirror

    def missing(self, release: RedistRelease) -> bool:
        """Whether some of the release's archives are not here."""
        return bool(self.archives(release).missing)

    def archives(self, release: RedistRelease) -> Archives:
        """The release's archives, and their mirror."""
        missing = tuple(item for item in release.archives if item.name not in self.facts.fetched)
        mirror = self.settings.cuda_mirror
        return Archives(release, missing, mirror if mirror and mirror != MIRROR_OFF else self.tables.nvidia.address)

    def rejected(self, best: Offer | None) -> tuple[Rejected, ...]:
        """The toolkits of this machine that are not used, and why."""
        out = []
        for item in self.facts.toolkits:
            if best is None or item is not best.toolkit:
                out.append(Rejected(name_of(item), self.misfit(item) or self._why_not(item, best)))
        return tuple(out)

    def _why_not(self, item: Toolkit, best: Offer | None) -> str:
        major = parsed(item.version).major
        if best is not None and not self.serves(Offer(item.version, Provider.MACHINE, (), item)) and self.serves(best):
            return f"nvcc {item.version} cannot compile for the target GPUs"
        grade = self.grade(item.version)
        if grade is Grade.UNSEEN:
            driver = (
                f"this machine's driver, {self.facts.driver}, cannot run"
                if self.facts.driver
                else "no driver was found that can run"
            )
            return f"{driver} CUDA {major}"
        if best is not None and best.toolkit is None and grade is Grade.OLDER:
            return (
                f"CUDA {item.version} is older than torch's CUDA {self.target.cuda} and supports fewer GPUs than torch"
            )
        if best is not None and not self.hosted(item.version) and self.hosted(best.cuda):
            return f"no C++ compiler on this machine works with nvcc {item.version}"
        nearest = best.cuda if best is not None else "another"
        return f"CUDA {nearest} is nearer to torch's {self.target.cuda}, or was found first"

    def misfit(self, item: Toolkit) -> str:
        """Why a toolkit cannot compile the wheel; empty if it can."""
        if item.problem:
            return item.problem
        if parsed(item.version).major != self.need.major and not self.abi.is_stable:
            return f"torch was built with CUDA {self.target.cuda}: the major version must be {self.need.major}"
        if self._too_old(item.version):
            return f"{self.row.title} needs nvcc {self.row.cuda_min} or newer"
        lacks = [name for name in self.lacking(item) if name not in MATHS]
        if lacks:
            return f"incomplete: {', '.join(lacks)} {'are' if lacks[1:] else 'is'} missing"
        return self._not_asked_for(item) if self.forced else ""

    def _not_asked_for(self, item: Toolkit) -> str:
        asked = self.settings.cuda_home
        if asked == ARCHIVED_NVCC:
            return "setting cuda-home asks for NVIDIA's archives"
        if asked == INDEX_NVCC:
            return "" if item.origin is Origin.INDEX else "setting cuda-home asks for nvcc from PyPI"
        return "" if item.origin is Origin.SETTING else "setting cuda-home names another toolkit"

    def _too_old(self, cuda: str) -> bool:
        return bool(self.row.cuda_min) and parsed(cuda) < parsed(self.row.cuda_min)

    def lacking(self, item: Toolkit) -> list[str]:
        """The parts that neither the toolkit nor NVIDIA's wheels next to torch contain."""
        # A stable wheel is built without torch if there is none here.
        beside = self.torch.cuda_headers if self.torch else () if self.abi.is_stable else OF_WHEELS
        if parsed(item.version).major != self.need.major:
            beside = ()
        unneeded = () if self.abi.is_stable else (STATIC_RUNTIME,)
        return [name for name in item.missing if name not in (*beside, *unneeded)]


def is_served(settings: Settings, facts: Facts, codes: set[str]) -> bool:
    """Whether an nvcc for these GPUs (``90``) compiles for the requested ones, or otherwise for this machine's."""
    if settings.arch not in ("all", "native"):
        asked = {item.partition("+")[0].replace(".", "").rstrip("af") for item in settings.arch.split(";")}
        return asked <= codes
    if settings.is_set("arch") and settings.arch != "native":
        return True  # for other machines
    return not facts.gpus or any(covers(sorted(above_oldest(codes)), gpu.capability) for gpu in facts.gpus)


def above_oldest(codes: Iterable[str]) -> set[str]:
    """The codes that are new enough for the kernels."""
    return {code for code in codes if int(code) >= OLDEST}


def distance(cuda: str, need: version.Version) -> tuple[int, int]:
    """The distance between two releases, as major and minor."""
    found = parsed(cuda)
    return abs(found.major - need.major), abs(found.minor - need.minor)


def name_of(item: Toolkit) -> str:
    """A toolkit's display name."""
    return f"CUDA {item.version or '?'} in {item.home}"
