"""Check whether this machine's GPU and driver can run the wheel; ``nvcc.py`` decides which GPUs it is compiled for."""

from __future__ import annotations

from collections.abc import Iterator

from ..core._compat import version
from ..core.errors import parts_of, with_comment
from ..core.facts import Facts, Gpu, Toolkit, Torch
from ..core.versions import parsed
from ..tables import FrontEnd, ProjectVersion, Tables, covers, minor
from .drivers import driver_runs
from .notebook import Notebook
from .nvcc import OLDEST, dotted
from .offers import Offers, above_oldest
from .remedies import install_toolkit
from .torch_builds import lacking_compiler, no_torch_fits, toolkit_release, torch_covers, torch_ways
from .types import TorchTarget


def check_gpus(
    offers: Offers, cuda: str, toolkit: Toolkit | None, front_ends: tuple[FrontEnd, ...], notebook: Notebook
) -> None:
    """Report before a long build, not after it, that this machine's GPU or driver cannot run the wheel.

    If the setting ``arch`` names architectures, the wheel may be for other machines, so this is only a note.
    """
    settings, facts = offers.settings, offers.facts
    elsewhere = settings.is_set("arch") and settings.arch != "native"
    troubles = list(_troubles(offers, cuda, toolkit, front_ends))
    for code, found, needed, fixes in troubles:
        if elsewhere:
            notebook.note(f"{found}: {needed}; the build goes on for other machines, because arch is set")
        else:
            notebook.problem(code, found, needed, *fixes, _FOR_OTHERS)
    _note_old(facts, offers.row, notebook)
    for gpu in facts.gpus:
        if _runs_by_ptx(gpu, offers.tables, front_ends):
            notebook.note(
                f"{gpu.name} ({gpu.capability}) is newer than every GPU that the tables know: the driver compiles the wheel's PTX "
                "when a kernel first runs"
            )
    if (
        elsewhere
        and not troubles
        and front_ends
        and facts.gpus
        and not any(_served(gpu, front_ends) for gpu in facts.gpus)
    ):
        gpu = facts.gpus[0]
        notebook.note(
            f"arch={settings.arch} ({settings.origin('arch')}) does not run on this machine's GPU, {gpu.name} "
            f"({gpu.capability}); use -C arch=native for this GPU, or -C arch=all"
        )


def check_own_runtime(offers: Offers, cuda: str, notebook: Notebook) -> None:
    """The check for a wheel with its own CUDA runtime, which may be newer than this machine's driver and torch."""
    settings, facts, tables = offers.settings, offers.facts, offers.tables
    known = [item for item in notebook.problems if item.code in ("driver", "torch-gpu", "no-toolkit")]
    if not offers.abi.is_stable or not facts.driver or known:
        return
    row = tables.cuda_row(cuda)
    if driver_runs(facts, tables, cuda):
        return
    found = f"this machine's driver is {facts.driver}, and the wheel would contain the runtime of CUDA {cuda}"
    needed = f"CUDA {parsed(cuda).major}.x needs driver {row.driver} or newer"
    if settings.is_set("arch") and settings.arch != "native":
        notebook.note(f"{found}: {needed}; the build goes on for other machines, because arch is set")
        return
    # The driver supports torch's own CUDA, if torch is here; the nvcc of that CUDA may be too old or too new for the
    # GPU.
    ideal, own = offers.were_it_fetched(), offers.target.cuda
    meant = own if driver_runs(facts, tables, own) or ideal is None else ideal.cuda
    release = toolkit_release(meant, offers) if driver_runs(facts, tables, meant) else ""
    ways = list(_with_compiler(release, offers)) if release else torch_ways(offers, note=_NOTE)
    serves = not facts.gpus or any(covers(row.archs, gpu.capability) for gpu in facts.gpus)
    upgrade = [f"install NVIDIA's driver {row.driver} or newer"] if serves else []
    notebook.problem(
        "driver",
        found,
        needed,
        *ways,
        *upgrade,
        "-C arch=all   (builds anyway, for other machines)",
    )


def _with_compiler(release: str, offers: Offers) -> Iterator[str]:
    """Commands that install a toolkit, plus a g++ if the installed one does not work with it."""
    compiler = lacking_compiler(release, offers)
    for way in install_toolkit(release, offers.facts, offers.tables):
        command, comment = parts_of(way)
        whole = command if not compiler or command.startswith(("-C ", "module ")) else f"{command} && {compiler}"
        yield with_comment(whole, comment)


def _served(gpu: Gpu, front_ends: tuple[FrontEnd, ...]) -> bool:
    """Whether the passes give SASS for a GPU, or PTX that its driver can compile."""
    sass = {code.rstrip("f") for item in front_ends for code in item.codes if code != "PTX"}
    exact = {code.rstrip("a") for code in sass if code.endswith("a")}  # sm_90a runs only on 9.0
    plain = {code for code in sass if code.isdigit()}
    ptx = [item.compute for item in front_ends if "PTX" in item.codes and item.compute.isdigit()]
    number = gpu.capability.replace(".", "")
    return (
        covers(sorted(plain), gpu.capability) or number in exact or any(int(compute) <= int(number) for compute in ptx)
    )


Trouble = tuple[str, str, str, list[str]]

_FOR_OTHERS = "-C arch=all   (builds anyway, for other machines or with NVIDIA's forward-compatibility package)"
_TRITON = 70
"""The oldest GPU that Triton supports."""


def _troubles(
    offers: Offers, cuda: str, toolkit: Toolkit | None, front_ends: tuple[FrontEnd, ...]
) -> Iterator[Trouble]:
    """Why the wheel would not run here: torch first, since another torch may need another toolkit."""
    facts = offers.facts
    gpu = facts.gpus[0] if facts.gpus else None
    if gpu is not None and not any(_is_new_enough(item) for item in facts.gpus):
        found = f"this machine's GPU, {gpu.name}, has compute capability {gpu.capability}"
        newer = f"use a GPU of compute capability {dotted(str(OLDEST))} or newer, here or on another machine"
        yield "gpu-target", found, f"the kernels need {dotted(str(OLDEST))} or newer (Pascal)", [newer]
        return
    nvcc = None
    if gpu is not None and not _runs_by_ptx(gpu, offers.tables, front_ends):
        nvcc = _nvcc_trouble(offers, cuda, toolkit, gpu)
    torches = [] if _torch_runs(offers) == (True, True) else torch_ways(offers, keep=offers.torch, note=_NOTE)
    torch = _other_torch(offers, cuda, torches, upgrade=nvcc is None)
    if torch is not None:
        yield torch
    if nvcc is not None and (torch is None or not torches):  # the command for another torch includes its nvcc
        yield nvcc


def _runs_by_ptx(gpu: Gpu, tables: Tables, front_ends: tuple[FrontEnd, ...]) -> bool:
    """Whether only PTX serves the GPU, because no known CUDA release compiles for a GPU that is this new."""
    newest = max(parsed(dotted(code)) for row in tables.cuda for code in above_oldest(row.archs))
    return bool(parsed(gpu.capability) > newest) and _served(gpu, front_ends)


def _is_new_enough(gpu: Gpu) -> bool:
    return bool(parsed(gpu.capability) >= parsed(dotted(str(OLDEST))))


def _torch_runs(offers: Offers) -> tuple[bool, bool]:
    """Whether the driver can run the target torch, and whether that torch has code for a GPU here."""
    facts, tables, torch, target = offers.facts, offers.tables, offers.torch, offers.target
    # A torch that is only installed to build a stable wheel is not the one that the wheel will run with.
    if not target.cuda or (torch is None and offers.abi.is_stable):
        return True, True
    covered = not facts.gpus or any(_covered(torch, target, gpu, facts, tables) for gpu in facts.gpus)
    return driver_runs(facts, tables, target.cuda), covered


def _other_torch(offers: Offers, cuda: str, torches: list[str], *, upgrade: bool) -> Trouble | None:
    """The problem that the target torch does not run on this GPU or with this driver: one fix for both."""
    facts, tables, target = offers.facts, offers.tables, offers.target
    runs, covered = _torch_runs(offers)
    if runs and covered:
        return None
    gpu = facts.gpus[0] if facts.gpus else None
    needs_driver = f"CUDA {parsed(target.cuda).major}.x needs driver {tables.cuda_row(target.cuda).driver} or newer"
    ways = torches or [no_torch_fits(facts, tables)]
    if covered:
        found = f"this machine's driver is {facts.driver}, and torch {target.version} is for CUDA {target.cuda}"
        least = tables.cuda_row(max(target.cuda, cuda, key=version.Version)).driver
        driver = [f"install NVIDIA's driver {least} or newer"] if upgrade else []
        return "driver", found, needs_driver, list(dict.fromkeys((*ways, *driver)))
    assert gpu is not None
    found = f"torch {target.version} has no code for this machine's GPU, {gpu.name} ({gpu.capability})"
    if not runs:
        found += f", and is for CUDA {target.cuda}, which driver {facts.driver} cannot run"
    return "torch-gpu", found, "another build of torch is needed", ways


_NOTE = "for CUDA {cuda}, which this driver, GPU and Python support"


def _covered(torch: Torch | None, target: TorchTarget, gpu: Gpu, facts: Facts, tables: Tables) -> bool:
    if torch is not None:
        return torch_covers(torch, gpu, facts, tables)
    row = tables.torch_row(minor(target.version)) if target.version else None
    return row is None or row.runs(target.cuda, facts.machine.arch, gpu.capability) is not False


def _nvcc_trouble(offers: Offers, cuda: str, toolkit: Toolkit | None, gpu: Gpu) -> Trouble | None:
    facts, tables = offers.facts, offers.tables
    known = above_oldest(toolkit.archs if toolkit and toolkit.archs else tables.cuda_row(cuda).archs)
    if any(_runs(item, known) for item in facts.gpus):
        return None
    serving = [row.version for row in tables.cuda if _runs(gpu, above_oldest(row.archs))]
    # A GPU that is too new needs a later CUDA release; a GPU whose support was dropped needs an earlier one.
    newer = parsed(gpu.capability) > max(parsed(dotted(code)) for code in known)
    ends = sorted(known, key=int)
    reach = f"up to {dotted(ends[-1])}" if newer else f"from {dotted(ends[0])}"
    wanted = "no known CUDA release supports it"
    if serving:
        wanted = f"CUDA {serving[0]} and later support it" if newer else f"CUDA {serving[-1]} and earlier support it"
    major = offers.target.cuda.partition(".")[0]
    same = [
        release for release in serving if release.partition(".")[0] == major and driver_runs(facts, tables, release)
    ]
    fixes = torch_ways(offers, note=_NOTE)
    if same:
        fixes = list(_with_compiler(same[0] if newer else same[-1], offers))
    found = f"this machine's GPU, {gpu.name}, has compute capability {gpu.capability}"
    found += f", and nvcc {cuda} supports GPUs {reach}"
    return "gpu-target", found, wanted, fixes


def _runs(gpu: Gpu, codes: set[str]) -> bool:
    return covers(sorted(codes), gpu.capability)


def _note_old(facts: Facts, row: ProjectVersion, notebook: Notebook) -> None:
    """A note for GPUs that nvcc supports and Triton does not."""
    old = [gpu for gpu in facts.gpus if OLDEST <= int(gpu.capability.replace(".", "")) < _TRITON]
    if row.project.triton and old and len(old) == len(facts.gpus):
        notebook.note(
            f"{old[0].name} ({old[0].capability}) cannot run {row.project.triton}: "
            f"Triton, which compiles them, needs {dotted(str(_TRITON))} or newer"
        )
