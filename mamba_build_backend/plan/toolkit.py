"""Choose the nvcc: one that was found, the one from PyPI, or the one in NVIDIA's archives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..core.errors import Problem, parts_of
from ..core.facts import Origin, Toolkit, ToolkitLayout
from ..core.settings import ARCHIVED_NVCC, INDEX_NVCC, MIRROR_OFF
from ..core.versions import parsed
from ..tables import Archives, RedistRelease, is_newer, minor
from .drivers import is_tegra
from .notebook import Notebook
from .offers import MATHS, STATIC_RUNTIME, Grade, Offer, Offers, distance
from .remedies import fetch_archives, install_toolkit
from .torch_builds import Build, is_release, nvcc_for, toolkit_release, torch_ways
from .types import TORCH_ABI, Abi, Choice, Install, Rejected, Tool

PYPI_NVCC = (
    "nvidia-cuda-nvcc",
    "nvidia-nvvm",
    "nvidia-cuda-crt",
    "nvidia-cuda-cccl",
    "nvidia-cuda-runtime",  # nvcc accepts any release of it, but the headers must match nvcc (CCCL rejects others)
)
"""The packages that together make a complete nvcc, for the releases marked in the table."""


@dataclass(frozen=True)
class Nvcc:
    """The decision: the toolkit, if it is here or in NVIDIA's archives, and what must be installed or downloaded."""

    toolkit: Choice[Toolkit | None]
    installs: tuple[Install, ...] = ()
    archives: Archives | None = None
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    def tell(self, notebook: Notebook) -> None:
        """Add the notes and problems of this decision."""
        notebook.notes += self.notes
        notebook.problems += self.problems


def decide_nvcc(offers: Offers, abi: Choice[Abi], *, other: bool) -> tuple[Choice[Abi], Nvcc]:
    """The nvcc and the ABI: with ``other``, the torch ABI if a toolkit here works only for that one."""
    nvcc = choose(offers)
    if other and nvcc.problems and abi.value.is_stable:
        for_torch = choose(replace(offers, abi=TORCH_ABI))
        kit = for_torch.toolkit.value
        if kit is not None and STATIC_RUNTIME in kit.missing and for_torch.archives is None:
            return Choice(TORCH_ABI, f"no toolkit on this machine has {STATIC_RUNTIME}"), for_torch
    return abi, nvcc


def choose(offers: Offers) -> Nvcc:
    """The best offer; without any, a problem that says how to get an nvcc."""
    best = next(iter(offers.best_first()), None)
    notebook = Notebook()
    rejected = offers.rejected(best)
    if best is None:
        _problem(offers, notebook)
        return Nvcc(Choice(None, "none fits", rejected), problems=tuple(notebook.problems))
    _note_driver(best.cuda, offers, notebook)
    _note_absent(best, offers, notebook)
    if best.toolkit is not None:
        _note_found(best.toolkit, offers, notebook)
        exact = distance(best.cuda, offers.need) == (0, 0)
        torchs = f"torch's CUDA {offers.target.cuda}"
        because = f"{best.toolkit.found_in}: {'the same release as' if exact else 'the nearest to'} {torchs}"
        choice: Choice[Toolkit | None] = Choice(best.toolkit, because, rejected, forced=offers.forced)
        return Nvcc(choice, notes=tuple(notebook.notes))
    if rejected and not offers.forced:
        notebook.note("not used: " + "; ".join(f"{item.what} ({item.why})" for item in rejected))
    if best.release is None:
        return _of_index(best, offers, rejected, notebook)
    return _of_archives(best.release, offers, rejected, notebook)


def _of_index(best: Offer, offers: Offers, rejected: tuple[Rejected, ...], notebook: Notebook) -> Nvcc:
    taken = parsed(best.cuda)
    because = f"no CUDA {offers.need.major} toolkit on this machine; nvcc comes from PyPI"
    if offers.settings.cuda_home == INDEX_NVCC:
        because = "setting cuda-home: nvcc from PyPI"
    if taken.major != offers.need.major:
        because += f", which has a complete nvcc from CUDA {taken.major} on"
    pin = f"=={taken.major}.{taken.minor}.*"
    install = Install(Tool.NVCC, tuple(name + pin for name in PYPI_NVCC), f"{taken.major}.{taken.minor}")
    return Nvcc(Choice(None, because, rejected), (install,), notes=tuple(notebook.notes))


def _of_archives(release: RedistRelease, offers: Offers, rejected: tuple[Rejected, ...], notebook: Notebook) -> Nvcc:
    """A toolkit that the build will make; its folder is unknown until then."""
    archives, host = offers.archives(release), offers.tables.nvidia
    row = offers.tables.cuda_row(release.cuda)
    toolkit = Toolkit(
        "", "NVIDIA's archives", ToolkitLayout.HOME, release.cuda, row.archs, missing=MATHS, origin=Origin.ARCHIVE
    )
    if offers.settings.cuda_home == ARCHIVED_NVCC and offers.forced:
        because = "setting cuda-home"
    else:
        because = f"no toolkit on this machine fits; {_driver_words(offers, release)}"
    if archives.missing:
        others = [parts_of(way)[0] for way in install_toolkit(release.cuda, offers.facts, offers.tables)]
        own = "".join([f"{way}, or " for way in others if way.startswith(("conda ", "pixi "))][:1])
        notebook.note(
            f"the build downloads nvcc {release.cuda} from NVIDIA's archives ({archives.bytes / 1e6:.0f} MB; licence: "
            f"{host.licence}, {host.licence_address}); to use another toolkit: {own}-C cuda-home=/path/to/cuda"
        )
    _note_found(toolkit, offers, notebook)
    return Nvcc(
        Choice(toolkit, because, rejected, forced=offers.forced), archives=archives, notes=tuple(notebook.notes)
    )


def _driver_words(offers: Offers, release: RedistRelease) -> str:
    major = parsed(release.release).major
    if not offers.abi.is_stable:
        return f"abi=torch, and {release.cuda} is the archives' nearest release to torch's CUDA {offers.target.cuda}"
    whose = f"the newest {major}.x {'that is here' if offers.fetches_nothing else 'of the archives'}"
    if offers.facts.driver:
        return f"driver {offers.facts.driver} runs CUDA {major}, and {release.cuda} is {whose}"
    return f"no driver was found, torch is for CUDA {offers.target.cuda}, and {release.cuda} is {whose}"


def _note_found(best: Toolkit, offers: Offers, notebook: Notebook) -> None:
    """Notes about a toolkit's surprises: another minor version, an unknown release, missing headers."""
    abi, cuda, tables = offers.abi, offers.target.cuda, offers.tables
    name = best.home or best.found_in
    if minor(best.version) != minor(cuda) and not abi.is_stable:
        notebook.note(
            f"torch was built with CUDA {cuda}, and {name} is CUDA {best.version}; a different minor version works"
        )
    if is_newer(tables.cuda, best.version):
        newest = tables.cuda[-1].version
        notebook.note(
            f"CUDA {best.version} is newer than the newest known release, {newest}: the rules for {newest} are applied"
        )
    lacks = [item for item in offers.lacking(best) if not (abi.is_stable and item in MATHS)]
    if lacks:
        notebook.note(
            f"{name} lacks {', '.join(lacks)}; sources that include them will not compile",
            "conda install -c conda-forge libcublas-dev libcusparse-dev libcusolver-dev",
        )


def _note_driver(cuda: str, offers: Offers, notebook: Notebook) -> None:
    """A note if the wheel needs a newer driver than torch does, and no driver was found here."""
    if offers.grade(cuda) is Grade.UNSEEN and not offers.facts.driver:
        notebook.note(
            f"torch is for CUDA {offers.need.major}, but the wheel will need a driver for CUDA {parsed(cuda).major}, "
            f"{offers.tables.cuda_row(cuda).driver} or newer; this machine's driver is unknown"
        )


def _problem(offers: Offers, notebook: Notebook) -> None:
    """The fixes: NVIDIA's archives, a toolkit, and for a wheel for one torch also another torch."""
    tables, facts, target, stable = offers.tables, offers.facts, offers.target, offers.abi.is_stable
    seen, ideal, absent, fixes = _seen(offers), offers.were_it_fetched(), _absent(offers), list[str]()
    too_old = offers.row.cuda_min and offers.need < parsed(offers.row.cuda_min)
    least = offers.row.cuda_min if stable or too_old else ""
    cuda = (too_old and least) or toolkit_release(target.cuda, offers) or target.cuda
    if ideal is not None and stable:
        cuda = ideal.cuda  # the driver may not be able to run torch's own CUDA
    if absent is not None:
        fixes += fetch_archives(absent.missing, tables.nvidia, offers.mirror_folder)
    elif ideal is not None and offers.settings.cuda_mirror == MIRROR_OFF:
        fixes.append(f"-C cuda-mirror={tables.nvidia.address}   (nvcc {ideal.cuda} from NVIDIA's archives)")
    if too_old and is_tegra(facts, tables):
        fixes.append("use JetPack 6 or newer, which has CUDA 12   (the CUDA of a Jetson comes with its system)")
    else:
        fixes += install_toolkit(cuda, facts, tables)
    if not stable:
        fixes += _by_another_torch(offers)
    elif not tables.cuda_row(cuda).index_nvcc:
        fixes += _by_the_index(offers)
    found = f"no CUDA toolkit fits torch {target.version} ({seen})" if seen else "no nvcc was found"
    if absent is not None:
        found += f"; {_not_here(absent, offers)}"
    needed = f"nvcc {target.cuda} is needed (any {offers.need.major}.x works)"
    if not seen:
        needed = f"torch {target.version} needs CUDA {target.cuda} (any {offers.need.major}.x works)"
    if least or stable:
        needed = f"nvcc {least} or newer is needed" if least else "an nvcc is needed"
    notebook.problem("no-toolkit", found, needed, *fixes)


def _seen(offers: Offers) -> str:
    """The toolkits that were found and do not fit, or the requested provider; empty if there is none."""
    if offers.settings.cuda_home == INDEX_NVCC:
        return "setting cuda-home: PyPI has a complete nvcc only from CUDA 13 on"
    if offers.settings.cuda_home == ARCHIVED_NVCC:
        return "setting cuda-home: NVIDIA's archives"
    return "; ".join(f"{item.what}: {item.why}" for item in offers.rejected(None))


def _by_the_index(offers: Offers) -> Iterator[str]:
    """PyPI's nvcc, if another machine may have a driver that can run its code."""
    row = next((row for row in offers.tables.cuda if row.index_nvcc), None)
    if row is not None and not offers.facts.driver:
        yield f"-C cuda-home=pypi   (nvcc {row.version} from PyPI; the wheel then needs driver {row.driver})"


def _by_another_torch(offers: Offers) -> list[str]:
    """Commands for another build of torch whose nvcc is here or can be downloaded."""
    torch, target = offers.torch, offers.target
    if torch is not None and not is_release(torch.version):
        return []

    def other(build: Build) -> bool:
        present = torch is not None and (build.row.version, build.cuda) == (minor(torch.version), minor(target.cuda))
        return not present and nvcc_for(build, offers) is not None

    return torch_ways(
        offers, keep=torch, wanted=other, note="for CUDA {cuda}, whose nvcc is installed or downloaded automatically"
    )


def _absent(offers: Offers) -> Archives | None:
    """The archives that would be the best offer but may not be downloaded; None if there are none."""
    ideal = offers.were_it_fetched() if offers.fetches_nothing else None
    if ideal is None or ideal.release is None or not offers.missing(ideal.release):
        return None
    return offers.archives(ideal.release)


def _not_here(absent: Archives, offers: Offers) -> str:
    names = ", ".join(item.name for item in absent.missing)
    why = f"cuda-mirror is {offers.mirror_folder}" if offers.mirror_folder else "offline is set"
    return f"{why}, and these NVIDIA archives of CUDA {absent.release.release} are missing: {names}"


def _note_absent(best: Offer, offers: Offers, notebook: Notebook) -> None:
    """A note if the chosen nvcc is only second to archives that are not here."""
    absent = _absent(offers) if best.release is None else None
    if absent is not None:
        where = (
            f"into {offers.mirror_folder}"
            if offers.mirror_folder
            else "into a folder, and set -C cuda-mirror=/path/to/it"
        )
        notebook.note(
            f"{_not_here(absent, offers)}; the build uses CUDA {best.cuda}; to use the archives, put them {where}"
        )
