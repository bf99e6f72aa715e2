"""Which nvcc compiles, out of those that were found."""

from __future__ import annotations

from dataclasses import dataclass

from ..core._compat import version
from ..core.facts import Facts, Origin, Toolkit, Torch
from ..core.settings import Place, Settings
from ..tables import ProjectVersion, Tables, is_newer, minor
from .remedies import install_toolkit
from .torch_builds import (
    MATHS,
    STATIC_RUNTIME,
    Build,
    compiles,
    driver_runs,
    has_nvcc,
    is_release,
    is_tegra,
    torch_ways,
)
from .types import Abi, Choice, Install, Notebook, Rejected, Tool, TorchTarget

PYPI_NVCC = (
    "nvidia-cuda-nvcc",
    "nvidia-nvvm",
    "nvidia-cuda-crt",
    "nvidia-cuda-cccl",
    "nvidia-cuda-runtime",  # nvcc asks for any release of it, and its headers must be nvcc's own (CCCL refuses others)
)
"""The packages that make a whole nvcc, of the releases that the table says so of."""

OF_WHEELS = ("cuda_runtime.h", "cuda_fp16.h", "cuda_bf16.h", *MATHS, "libcudart")
"""What a torch from the package index brings in NVIDIA's wheels, once it is installed for the build."""


def decide_toolkit(
    settings: Settings,
    facts: Facts,
    tables: Tables,
    row: ProjectVersion,
    torch: Torch | None,
    target: TorchTarget,
    abi: Abi,
    notebook: Notebook,
) -> tuple[Choice[Toolkit | None], list[Install]]:
    """The toolkit whose major version is torch's and whose minor version is nearest, and what else is to be installed.

    A wheel with a CUDA runtime of its own can be compiled by any that the driver runs. The first choice is torch's major version all
    the same; then what is newer, be it installed or the index's; then what is older; and last what no driver here was seen to run.
    """
    cuda = target.cuda
    if not cuda:
        return Choice(None, "there is no CUDA torch to choose for"), []
    need = version.Version(cuda)
    rank = _Rank(need, _driver_runs(facts, tables, need))
    forced = settings.cuda_home != "auto" and settings.place("cuda-home") is not Place.ALIAS
    from_index = settings.cuda_home == "pypi"
    fitting, rejected = _sorted_out(settings, facts, row, torch, cuda, abi, forced=forced)
    fitting = _in_order(fitting, need, rank, facts, tables)
    release = _of_index(tables, cuda, abi) if not forced or from_index else ""
    if release and not from_index and rank(release) == _UNSEEN:
        release = ""  # a driver that nobody has seen is asked for by those who say so
    if fitting and (forced or not release or rank(fitting[0].version) <= rank(release)):
        best = fitting[0]
        rejected += [
            Rejected(_name(item), f"CUDA {best.version} was nearer to torch's {cuda}, or found first")
            for item in fitting[1:]
        ]
        _note(best, cuda, torch, abi, tables, notebook)
        _note_driver(best.version, rank, facts, tables, notebook)
        exact = _distance(best.version, need) == (0, 0)
        reason = f"exactly torch's CUDA {cuda}" if exact else f"the nearest to torch's CUDA {cuda}"
        return Choice(best, f"{best.found_in}: {reason}", tuple(rejected), forced=forced), []
    if release:
        rejected += [
            Rejected(_name(item), "the package index's nvcc is newer, and the driver runs it") for item in fitting
        ]
        _note_driver(release, rank, facts, tables, notebook)
        taken = version.Version(release)
        because = f"no toolkit of CUDA {need.major} on this machine: from the package index"
        if taken.major != need.major:
            because += f", which has a whole nvcc from CUDA {taken.major} on"
        pin = f"=={taken.major}.{taken.minor}.*"
        nvcc = Install(Tool.NVCC, tuple(name + pin for name in PYPI_NVCC), f"{taken.major}.{taken.minor}")
        return Choice(None, because, tuple(rejected)), [nvcc]
    seen = "; ".join(f"{item.what}: {item.why}" for item in rejected)
    if from_index:
        seen = "setting cuda-home: the package index has a whole nvcc from CUDA 13 on"
    _problem(facts, tables, row, torch, target, abi, seen, notebook)
    return Choice(None, "none fits", tuple(rejected)), []


def _in_order(
    fitting: list[Toolkit], need: version.Version, rank: _Rank, facts: Facts, tables: Tables
) -> list[Toolkit]:
    """The best first: what the driver runs, what compiles for the GPU, what is near torch's CUDA.

    Of two that are equally near, the older: what it compiles asks less of torch's CUDA runtime and of the driver. The sort is stable, so
    of two of the same version the one that was found first is taken.
    """

    def key(item: Toolkit) -> tuple[int, bool, tuple[int, int], version.Version]:
        found = version.Version(item.version)
        return rank(item.version), not compiles(item, facts, tables), _distance(item.version, need), found

    return sorted(fitting, key=key)


def _sorted_out(
    settings: Settings, facts: Facts, row: ProjectVersion, torch: Torch | None, cuda: str, abi: Abi, *, forced: bool
) -> tuple[list[Toolkit], list[Rejected]]:
    """Those that were found and would do, and those that would not."""
    fitting: list[Toolkit] = []
    rejected: list[Rejected] = []
    for item in facts.toolkits:
        why = _misfit(item, cuda, row, torch, abi)
        if not why and forced and settings.cuda_home != "pypi" and item.origin is not Origin.SETTING:
            why = "setting cuda-home names another"
        if why:
            rejected.append(Rejected(_name(item), why))
        else:
            fitting.append(item)
    return fitting, rejected


_UNSEEN = 3  # the rank of what no driver here was seen to run


def _driver_runs(facts: Facts, tables: Tables, need: version.Version) -> int:
    """The newest CUDA major version that the driver here runs; where it is not known, torch's, which somebody chose for a driver."""
    known = [row for row in tables.cuda if facts.driver and driver_runs(facts, tables, row.version)]
    return max((version.Version(row.version).major for row in known), default=need.major)


@dataclass(frozen=True)
class _Rank:
    """How good a CUDA release is for a wheel that any may compile, 0 the best; ``runs`` is the newest major that the driver runs."""

    need: version.Version
    runs: int

    def __call__(self, release: str) -> int:
        major = version.Version(release).major
        if major == self.need.major:
            return 0
        if major > self.runs:
            return _UNSEEN
        return 1 if major > self.need.major else 2


def _of_index(tables: Tables, cuda: str, abi: Abi) -> str:
    """The CUDA release whose nvcc the package index has for a torch of ``cuda``; empty where there is none."""
    if tables.cuda_row(cuda).index_nvcc:
        return cuda
    releases = [row.version for row in tables.cuda if row.index_nvcc] if abi.is_stable else []
    return releases[0] if releases else ""


def _distance(release: str, need: version.Version) -> tuple[int, int]:
    found = version.Version(release)
    return abs(found.major - need.major), abs(found.minor - need.minor)


def _name(item: Toolkit) -> str:
    return f"CUDA {item.version or '?'} in {item.home}"


def _misfit(item: Toolkit, cuda: str, row: ProjectVersion, torch: Torch | None, abi: Abi) -> str:
    if item.problem:
        return item.problem
    major = version.Version(cuda).major
    same = version.Version(item.version).major == major
    if not same and not abi.is_stable:
        return f"torch was built with CUDA {cuda}: the major version must be {major}"
    if row.cuda_min and version.Version(item.version) < version.Version(row.cuda_min):
        return f"{row.title} takes nvcc {row.cuda_min} or newer"
    lacks = [name for name in lacking(item, cuda, torch, abi) if name not in MATHS]
    return f"it is incomplete: it lacks {', '.join(lacks)}" if lacks else ""


def lacking(item: Toolkit, cuda: str, torch: Torch | None, abi: Abi) -> list[str]:
    """What is missing of a toolkit that NVIDIA's wheels beside torch, which is for ``cuda``, do not bring either."""
    beside = torch.cuda_headers if torch else OF_WHEELS
    if version.Version(item.version).major != version.Version(cuda).major:
        beside = ()
    unneeded = () if abi.is_stable else (STATIC_RUNTIME,)
    return [name for name in item.missing if name not in (*beside, *unneeded)]


def _note(best: Toolkit, cuda: str, torch: Torch | None, abi: Abi, tables: Tables, notebook: Notebook) -> None:
    if minor(best.version) != minor(cuda) and not abi.is_stable:
        notebook.note(
            f"torch was built with CUDA {cuda} and {best.home} is {best.version}: "
            "a mismatch of the minor version alone, which works"
        )
    if is_newer(tables.cuda, best.version):
        newest = tables.cuda[-1].version
        notebook.note(f"CUDA {best.version} is newer than the newest known here, {newest}: planned as that one")
    lacks = [name for name in lacking(best, cuda, torch, abi) if not (abi.is_stable and name in MATHS)]
    if lacks:
        notebook.note(
            f"{best.home} lacks {', '.join(lacks)}: a source that includes them fails; "
            "conda install -c conda-forge libcublas-dev libcusparse-dev libcusolver-dev"
        )


def _note_driver(release: str, rank: _Rank, facts: Facts, tables: Tables, notebook: Notebook) -> None:
    """What the wheel will ask of drivers that torch does not, where none is here to be asked."""
    if rank(release) == _UNSEEN and not facts.driver:
        notebook.note(
            f"torch is for CUDA {rank.need.major}, and the wheel will need a driver for CUDA {version.Version(release).major}, "
            f"{tables.cuda_row(release).driver} or newer: no driver could be asked here"
        )


def _problem(
    facts: Facts,
    tables: Tables,
    row: ProjectVersion,
    torch: Torch | None,
    target: TorchTarget,
    abi: Abi,
    seen: str,
    notebook: Notebook,
) -> None:
    """Both ways out: a toolkit for this torch, and a torch for a toolkit that is here; ``seen`` says what does not fit."""
    cuda = target.cuda
    major = version.Version(cuda).major
    least = row.cuda_min if row.cuda_min and version.Version(cuda) < version.Version(row.cuda_min) else ""
    if least and is_tegra(facts, tables):
        fixes = ["use JetPack 6 or newer, which has CUDA 12   (the CUDA of a Jetson comes with its system)"]
    else:
        fixes = list(install_toolkit(least or cuda, facts, tables))
    index = _of_index(tables, cuda, abi)
    if index and not facts.driver and not least:
        fixes.append(
            f"-C cuda-home=pypi   (nvcc {index} from the package index; the wheel then needs driver {tables.cuda_row(index).driver})"
        )
    if torch is None or is_release(torch.version):

        def other(build: Build) -> bool:
            present = torch is not None and (build.row.version, build.cuda) == (minor(torch.version), minor(cuda))
            return has_nvcc(build, facts, tables) and not present

        fixes += torch_ways(
            facts, tables, keep=torch, wanted=other, note="for CUDA {cuda}, whose nvcc is here or comes by itself"
        )
    needed = f"nvcc {least} or newer is needed" if least else f"nvcc {cuda} is needed, or at least another {major}.x"
    found = f"no CUDA toolkit fits torch {target.version} ({seen})" if seen else "no nvcc was found"
    if not seen:
        needed = f"torch {target.version} needs CUDA {cuda}, or at least another {major}.x"
    notebook.problem("no-toolkit", found, needed, *fixes)
