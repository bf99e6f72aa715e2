"""Find the torch builds that fit this machine's driver, GPU, Python, glibc and processor, and how to install them.

Each shown command satisfies all of these, including the nvcc that the new torch then needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ..core.commands import guessed, pip, uv_pip
from ..core.errors import parts_of, with_comment
from ..core.facts import Facts, Gpu, Manager, Shell, Torch
from ..core.versions import parsed
from ..tables import Tables, TorchRow, covers, minor
from .abi import decide_abi
from .compiler import Limits
from .drivers import driver_runs
from .notebook import Notebook
from .offers import Grade, Offer, Offers, Provider
from .remedies import dotted_python, install_compiler, install_toolkit
from .types import TORCH_ABI, TorchTarget


@dataclass(frozen=True)
class Build:
    """A published build of torch."""

    row: TorchRow
    cuda: str


def shell_of(facts: Facts) -> Shell:
    """The user's shell; if it was not recorded, guessed from the environment's path."""
    return guessed(facts.shell, facts.machine.python_prefix)


def torch_covers(torch: Torch, gpu: Gpu, facts: Facts, tables: Tables) -> bool:
    """Whether a torch has code for a GPU; true if unknown, as for a vendor's build or conda's."""
    if torch.archs:
        return covers(torch.archs, gpu.capability)
    if not torch.cuda or is_condas(torch) or not is_release(torch.version):
        return True
    row = tables.torch_row(minor(torch.version))
    known = row.version == minor(torch.version)
    return not known or row.runs(minor(torch.cuda), facts.machine.arch, gpu.capability) is not False


def is_release(text: str) -> bool:
    """Whether a version is a PyTorch release: not a vendor's build, a nightly, or one of conda's own versions."""
    if not text:
        return False
    found = parsed(text)
    local = found.local or ""
    return not found.is_prerelease and found.post is None and (not local or local.startswith(("cu", "cpu")))


def fitting(facts: Facts, tables: Tables, *, driver: bool = True, python: bool = True) -> Iterator[Build]:
    """All builds that run here, the newest first; ``driver`` and ``python`` say whether these must fit."""
    machine = facts.machine
    for row in reversed(tables.torch):
        if python and dotted_python(machine) not in row.python:
            continue
        if machine.libc_version and parsed(machine.libc_version) < parsed(row.glibc):
            continue
        for cuda in reversed(row.builds_for(machine.arch)):
            if driver and not driver_runs(facts, tables, cuda):
                continue
            runs = [row.runs(cuda, machine.arch, gpu.capability) is not False for gpu in facts.gpus]
            if not runs or any(runs):
                yield Build(row, cuda)


def _for(build: Build, offers: Offers) -> Offers:
    """The same machine with this torch instead of its own."""
    row = build.row
    target = TorchTarget("", row.version, build.cuda, row.has_cxx11_abi(build.cuda), max(17, row.cxx_standard), "")
    abi = decide_abi(offers.settings, offers.facts, offers.tables, offers.row, target, Notebook())
    return replace(offers, torch=None, target=target, abi=abi.value)


def nvcc_for(build: Build, offers: Offers) -> Offer | None:
    """The nvcc for such a torch, installed or downloaded; None if none compiles for this GPU and driver."""
    then = _for(build, offers)
    found = then.best_first()
    if not found and offers.settings.abi == "auto":
        then = replace(then, abi=TORCH_ABI)
        found = then.best_first()
    seen = [item for item in found[:1] if not offers.facts.driver or then.grade(item.cuda) is not Grade.UNSEEN]
    return next((item for item in seen if then.serves(item)), None)


def torch_ways(
    offers: Offers,
    *,
    keep: Torch | None = None,
    wanted: Callable[[Build], bool] = lambda _: True,
    note: str,
) -> list[str]:
    """Commands that install a torch that fits: the installed version in another build, and the newest version.

    Each command is complete: it also installs the needed toolkit, unless that is here or would be downloaded. Empty if
    no build fits.
    """
    known = [build for build in fitting(offers.facts, offers.tables) if wanted(build)]
    same = minor(keep.version) if keep and is_release(keep.version) else ""
    kept = sorted(
        (build for build in known if build.row.version == same), key=lambda build: nvcc_for(build, offers) is None
    )
    others = [build for build in known if build.row.version != same]
    ready = next((build for build in others if nvcc_for(build, offers)), None)
    chosen = [*kept[:1], *([ready] if ready else others[:1])]
    return [_way(build, keep if build in kept else None, keep, offers, note) for build in chosen]


def _way(build: Build, same: Torch | None, here: Torch | None, offers: Offers, note: str) -> str:
    facts, tables = offers.facts, offers.tables
    exact = same is not None and same.version.count(".") > 1
    pin = same.version.partition("+")[0] if same is not None and exact else f"{build.row.version}.*"
    comment = note.format(cuda=build.cuda)
    if same is None and here is not None and here.version:
        comment += f"; replaces torch {here.version}: if you use torchvision or torchaudio, reinstall them, too"
    command = install_torch(pin, build, here, facts)
    taken = nvcc_for(build, offers)
    if taken is None:
        nvcc = toolkit_release(build.cuda, offers) or build.cuda
        way, about = parts_of(next(install_toolkit(nvcc, facts, tables)))
        command += f" && {way}"
        comment += f"; the toolkit: {about}" if about else ""
    if compiler := lacking_compiler(taken.cuda if taken else nvcc, _for(build, offers)):
        command += f" && {compiler}"
    return with_comment(command, comment)


def lacking_compiler(nvcc: str, offers: Offers) -> str:
    """The command that installs a g++ for another nvcc; empty if an installed g++ works with it."""
    facts, tables, target = offers.facts, offers.tables, offers.target
    if offers.abi.is_stable:
        target = replace(target, cxx_standard=17)
    limits = Limits(tables, nvcc, target, offers.abi)
    usable = [
        item
        for item in facts.compilers
        if not item.problem and item.libstdcxx_static and item.target.startswith(facts.machine.arch)
    ]
    if not usable or any(not limits.misfit(item.version) for item in usable):
        return ""
    most = limits.most if limits.most is not None else limits.likely_most
    return parts_of(next(install_compiler(limits.least, most, limits.banned(), facts, tables)))[0]


def toolkit_release(cuda: str, offers: Offers) -> str:
    """Torch's own CUDA release, or the first of its major version that compiles for the GPU; empty if none does."""
    rows = [row for row in offers.tables.cuda if row.version.partition(".")[0] == cuda.partition(".")[0]]
    fits = [row.version for row in rows if offers.serves(Offer(row.version, Provider.MACHINE, ()))]
    return cuda if cuda in fits else next(iter(fits), "")


def is_condas(torch: Torch | None) -> bool:
    """Whether conda installed this torch: pip must not install over it."""
    if torch is None or not torch.version:
        return False
    return torch.installer == "conda" or parsed(torch.version).post is not None


def install_torch(pin: str, build: Build, here: Torch | None, facts: Facts) -> str:
    """The command that installs this build in this environment."""
    shell, machine = shell_of(facts), facts.machine
    if is_condas(here):
        release = pin if here is not None and is_release(here.version) and not pin.endswith(".*") else "*"
        major = build.cuda.partition(".")[0]
        program = "pixi add" if shell.manager is Manager.PIXI else "conda install -c conda-forge"
        return f"{program} 'pytorch={release}=cuda*' 'cuda-version={major}.*'"
    # PyPI has one build of each version, mostly without CUDA for aarch64; uv knows where PyTorch publishes the other
    # builds.
    if build.row.cuda == build.cuda and machine.arch == "x86_64" and not (shell.uv and not shell.pip):
        return pip(shell, f"install --force-reinstall 'torch=={pin}'")
    backend = "cu" + build.cuda.replace(".", "")
    return uv_pip(shell, f"install --reinstall 'torch=={pin}' --torch-backend={backend}")


def no_torch_fits(facts: Facts, tables: Tables) -> str:
    """What must change if no torch fits the driver, GPU, Python and glibc together."""
    if facts.driver and any(True for _ in fitting(facts, tables, driver=False)):
        build = next(fitting(facts, tables, driver=False))
        return f"install NVIDIA's driver {tables.cuda_row(build.cuda).driver} or newer   (no torch fits the current driver, GPU and Python together; after that, doctor names a torch that does)"
    if any(True for _ in fitting(facts, tables, python=False)):
        build = next(fitting(facts, tables, python=False))
        return f"use Python {build.row.python[-1]}   (no torch that fits the GPU and driver has wheels for this Python)"
    return "use another machine: no known torch fits this one's GPU, driver, Python and glibc together"
