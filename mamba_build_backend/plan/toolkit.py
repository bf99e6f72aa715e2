"""Which nvcc compiles: one that was found, the package index's, or that of NVIDIA's archives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..core._compat import version
from ..core.errors import Problem
from ..core.facts import Facts, Origin, Toolkit, ToolkitLayout
from ..core.settings import ARCHIVED_NVCC, INDEX_NVCC, MIRROR_OFF
from ..tables import Archives, RedistRelease, Tables, is_newer, minor
from .offers import MATHS, STATIC_RUNTIME, Grade, Offer, Offers, distance
from .remedies import fetch_archives, install_toolkit, other_torch, torch_for
from .types import TORCH_ABI, Abi, Choice, Install, Notebook, Rejected, Tool, TorchTarget

PYPI_NVCC = (
    "nvidia-cuda-nvcc",
    "nvidia-nvvm",
    "nvidia-cuda-crt",
    "nvidia-cuda-cccl",
    "nvidia-cuda-runtime",  # nvcc asks for any release of it, and its headers must be nvcc's own (CCCL refuses others)
)
"""The packages that make a whole nvcc, of the releases that the table says so of."""


@dataclass(frozen=True)
class Nvcc:
    """What was decided: the toolkit, if it is here or NVIDIA's archives make it, and what else is to be installed or fetched."""

    toolkit: Choice[Toolkit | None]
    installs: tuple[Install, ...] = ()
    archives: Archives | None = None
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    def tell(self, notebook: Notebook) -> None:
        """Write down what a person has to know of it."""
        notebook.notes += self.notes
        notebook.problems += self.problems


def decide_nvcc(offers: Offers, abi: Choice[Abi], *, other: bool) -> tuple[Choice[Abi], Nvcc]:
    """The nvcc, and the ABI: with ``other``, one for torch alone where what is here serves that and no stable one."""
    nvcc = choose(offers)
    if other and nvcc.problems and abi.value.is_stable:
        for_torch = choose(replace(offers, abi=TORCH_ABI))
        if not for_torch.problems:
            return Choice(TORCH_ABI, f"no toolkit here has {STATIC_RUNTIME}"), for_torch
    return abi, nvcc


def choose(offers: Offers) -> Nvcc:
    """The best of what there is; a problem that says how to come to one, where there is nothing."""
    if not offers.target.cuda:
        return Nvcc(Choice(None, "there is no CUDA torch to choose for"))
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
        because = f"{best.toolkit.found_in}: {'exactly' if exact else 'the nearest to'} {torchs}"
        choice: Choice[Toolkit | None] = Choice(best.toolkit, because, rejected, forced=offers.forced)
        return Nvcc(choice, notes=tuple(notebook.notes))
    if rejected and not offers.forced:
        notebook.note("passed over: " + "; ".join(f"{item.what} ({item.why})" for item in rejected))
    if best.release is None:
        return _of_index(best, offers, rejected, notebook)
    return _of_archives(best.release, offers, rejected, notebook)


def _of_index(best: Offer, offers: Offers, rejected: tuple[Rejected, ...], notebook: Notebook) -> Nvcc:
    taken = version.Version(best.cuda)
    because = f"no toolkit of CUDA {offers.need.major} on this machine: from the package index"
    if taken.major != offers.need.major:
        because += f", which has a whole nvcc from CUDA {taken.major} on"
    pin = f"=={taken.major}.{taken.minor}.*"
    install = Install(Tool.NVCC, tuple(name + pin for name in PYPI_NVCC), f"{taken.major}.{taken.minor}")
    return Nvcc(Choice(None, because, rejected), (install,), notes=tuple(notebook.notes))


def _of_archives(release: RedistRelease, offers: Offers, rejected: tuple[Rejected, ...], notebook: Notebook) -> Nvcc:
    """A toolkit that will be, whose folder nobody needs to know before it is there."""
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
        own = f"{row.conda}, or " if row.conda else ""
        notebook.note(
            f"nvcc {release.cuda} is fetched from NVIDIA's archives ({archives.bytes / 1e6:.0f} MB, under {host.licence}, "
            f"{host.licence_address}); for a toolkit of your own: {own}-C cuda-home=/path/to/cuda"
        )
    _note_found(toolkit, offers, notebook)
    return Nvcc(
        Choice(toolkit, because, rejected, forced=offers.forced), archives=archives, notes=tuple(notebook.notes)
    )


def _driver_words(offers: Offers, release: RedistRelease) -> str:
    major = version.Version(release.release).major
    if not offers.abi.is_stable:
        return f"abi=torch: it is the nearest to torch's CUDA {offers.target.cuda}"
    if offers.facts.driver:
        return f"the newest CUDA {major} that there is of them, as the driver is {offers.facts.driver}"
    return f"the newest CUDA {major} that there is of them, as torch is for CUDA {offers.target.cuda}"


def _note_found(best: Toolkit, offers: Offers, notebook: Notebook) -> None:
    """What a toolkit has that somebody may stumble over."""
    abi, cuda, tables = offers.abi, offers.target.cuda, offers.tables
    name = best.home or best.found_in
    if minor(best.version) != minor(cuda) and not abi.is_stable:
        notebook.note(
            f"torch was built with CUDA {cuda} and {name} is {best.version}: "
            "a mismatch of the minor version alone, which works"
        )
    if is_newer(tables.cuda, best.version):
        newest = tables.cuda[-1].version
        notebook.note(f"CUDA {best.version} is newer than the newest known here, {newest}: planned as that one")
    lacks = [item for item in offers.lacking(best) if not (abi.is_stable and item in MATHS)]
    if lacks:
        notebook.note(
            f"{name} lacks {', '.join(lacks)}: a source that includes them fails; "
            "conda install -c conda-forge libcublas-dev libcusparse-dev libcusolver-dev"
        )


def _note_driver(cuda: str, offers: Offers, notebook: Notebook) -> None:
    """What the wheel will ask of drivers that torch does not, where none is here to be asked."""
    if offers.grade(cuda) is Grade.UNSEEN and not offers.facts.driver:
        notebook.note(
            f"torch is for CUDA {offers.need.major}, and the wheel will need a driver for CUDA {version.Version(cuda).major}, "
            f"{offers.tables.cuda_row(cuda).driver} or newer: no driver could be asked here"
        )


def _problem(offers: Offers, notebook: Notebook) -> None:
    """The ways out: NVIDIA's archives, a toolkit for this torch, and a torch for a toolkit that is here."""
    settings, facts, tables, target = offers.settings, offers.facts, offers.tables, offers.target
    cuda, machine = target.cuda, facts.machine
    major = version.Version(cuda).major
    rejected = offers.rejected(None)
    seen = "; ".join(f"{item.what}: {item.why}" for item in rejected) or (
        "no nvcc on PATH, in CUDA_HOME, /usr/local, conda, Debian's package or the HPC SDK"
    )
    if settings.cuda_home == INDEX_NVCC:
        seen = "setting cuda-home: the package index has a whole nvcc from CUDA 13 on"
    if settings.cuda_home == ARCHIVED_NVCC:
        seen = "setting cuda-home: NVIDIA's archives"
    absent, fixes = _absent(offers), list[str]()
    if absent is not None:
        seen += f"; {_not_here(absent, offers)}"
        fixes += fetch_archives(absent.missing, tables.nvidia, offers.mirror_folder)
    elif settings.cuda_mirror == MIRROR_OFF:
        fixes += _with_a_mirror(offers)
    fixes += install_toolkit(cuda, machine, tables)
    index = _index_release(offers)
    if index and not facts.driver:
        fixes.append(
            f"-C cuda-home=pypi   (nvcc {index} from the package index; the wheel then needs driver {tables.cuda_row(index).driver})"
        )
    if not offers.abi.is_stable:  # a wheel for everyone does not ask what torch is for
        fixes += _torch_for_what_is_here(facts, tables, target)
    if not offers.abi.is_stable and not tables.cuda_row(cuda).index_nvcc:
        note = "for CUDA {cuda}, nvcc comes from the package index by itself"
        fixes += list(torch_for(lambda build: tables.cuda_row(build).index_nvcc, machine, tables, note=note))
    notebook.problem(
        "no-toolkit",
        f"no CUDA toolkit fits torch {target.version} ({seen})",
        f"nvcc {cuda} is needed, or at least another {major}.x",
        *fixes,
    )


def _absent(offers: Offers) -> Archives | None:
    """What would be the best, were it allowed to fetch it; None where something else would be, or it is allowed."""
    if not offers.fetches_nothing:
        return None
    there = replace(offers, settings=replace(offers.settings, offline=False, cuda_mirror=None))
    release = next((item.release for item in there.best_first()), None)
    return offers.archives(release) if release is not None and offers.missing(release) else None


def _not_here(absent: Archives, offers: Offers) -> str:
    names = ", ".join(item.name for item in absent.missing)
    why = f"cuda-mirror names {offers.mirror_folder}" if offers.mirror_folder else "offline is set"
    return f"{why}, and of NVIDIA's archives of CUDA {absent.release.release} these are not here: {names}"


def _note_absent(best: Offer, offers: Offers, notebook: Notebook) -> None:
    """That what is taken is second to what is not here."""
    absent = _absent(offers) if best.release is None else None
    if absent is not None:
        where = offers.mirror_folder or "a folder that -C cuda-mirror=/path/to/it names"
        notebook.note(f"{_not_here(absent, offers)}; in {where}, they would be taken before CUDA {best.cuda}")


def _with_a_mirror(offers: Offers) -> Iterator[str]:
    host = offers.tables.nvidia
    there = replace(offers, settings=replace(offers.settings, cuda_mirror=None))
    for item in [item for item in there.best_first() if item.release is not None][:1]:
        yield f"-C cuda-mirror={host.address}   (nvcc {item.cuda} from NVIDIA's archives)"


def _index_release(offers: Offers) -> str:
    """The CUDA release whose nvcc the package index has, were the driver new enough; empty where there is none."""
    if offers.tables.cuda_row(offers.target.cuda).index_nvcc:
        return offers.target.cuda
    releases = [row.version for row in offers.tables.cuda if row.index_nvcc] if offers.abi.is_stable else []
    return releases[0] if releases else ""


def _torch_for_what_is_here(facts: Facts, tables: Tables, target: TorchTarget) -> list[str]:
    """The same torch for a CUDA whose toolkit is here, where such a build was published."""
    builds = tables.torch_row(minor(target.version)).builds
    for item in facts.toolkits:
        if item.problem:
            continue
        here = version.Version(item.version)
        same = [build for build in builds if version.Version(build).major == here.major]
        if same:
            nearest = min(same, key=lambda build: abs(version.Version(build).minor - here.minor))
            note = f"the torch that the CUDA {item.version} here fits"
            return [other_torch(target.version, nearest, tables, same=target.version.count(".") > 1, note=note)]
    return []
