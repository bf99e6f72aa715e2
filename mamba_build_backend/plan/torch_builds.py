"""Which builds of torch fit this machine: driver, GPU, Python, glibc and processor together, and how one is installed.

What is told to be installed is one answer that satisfies everything, with the nvcc that it then takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..core._compat import version
from ..core.commands import guessed, pip, uv_pip
from ..core.errors import parts_of, with_comment
from ..core.facts import Facts, Gpu, Manager, Shell, Toolkit, Torch
from ..tables import Tables, TorchRow, covers, minor
from .compiler import Limits
from .remedies import dotted_python, install_compiler, install_toolkit
from .types import TORCH_ABI, TorchTarget


@dataclass(frozen=True)
class Build:
    """A build of torch that was published."""

    row: TorchRow
    cuda: str


def shell_of(facts: Facts) -> Shell:
    """The shell of the user, told by the environment's path where nobody recorded it."""
    return guessed(facts.shell, facts.machine.python_prefix)


def is_tegra(facts: Facts, tables: Tables) -> bool:
    """Whether the GPU is a Jetson's: its driver comes with the system, and is numbered in another way."""
    boards = {code for row in tables.cuda for code in row.jetson}
    return facts.machine.arch == "aarch64" and any(gpu.capability.replace(".", "") in boards for gpu in facts.gpus)


def driver_runs(facts: Facts, tables: Tables, cuda: str) -> bool:
    """Whether the driver runs programs of this CUDA; true where nobody knows the driver."""
    if not facts.driver:
        return True
    least, found = tables.cuda_row(cuda).driver, facts.driver
    if is_tegra(facts, tables):  # Thor's 580.00 is a driver of CUDA 13
        least, found = least.partition(".")[0], found.partition(".")[0]
    return bool(version.Version(found) >= version.Version(least))


def torch_covers(torch: Torch, gpu: Gpu, facts: Facts, tables: Tables) -> bool:
    """Whether a torch has code for a GPU; true where that is not known, as of a vendor's own build."""
    if torch.archs:
        return covers(torch.archs, gpu.capability)
    if not torch.cuda or not is_release(torch.version):
        return True
    row = tables.torch_row(minor(torch.version))
    known = row.version == minor(torch.version)
    return not known or row.runs(minor(torch.cuda), facts.machine.arch, gpu.capability) is not False


def is_release(text: str) -> bool:
    """Whether a version is one that PyTorch publishes: no vendor's, no nightly, none of conda's own numbers."""
    if not text:
        return False
    found = version.Version(text)
    local = found.local or ""
    return not found.is_prerelease and found.post is None and (not local or local.startswith(("cu", "cpu")))


def fitting(facts: Facts, tables: Tables, *, driver: bool = True, python: bool = True) -> Iterator[Build]:
    """All builds that run here, the newest first; without ``driver`` or ``python``, those that would with another one."""
    machine = facts.machine
    for row in reversed(tables.torch):
        if python and dotted_python(machine) not in row.python:
            continue
        if machine.libc_version and version.Version(machine.libc_version) < version.Version(row.glibc):
            continue
        for cuda in reversed(row.builds_for(machine.arch)):
            if driver and not driver_runs(facts, tables, cuda):
                continue
            runs = [row.runs(cuda, machine.arch, gpu.capability) is not False for gpu in facts.gpus]
            if not runs or any(runs):
                yield Build(row, cuda)


def compiles(toolkit: Toolkit, facts: Facts, tables: Tables) -> bool:
    """Whether a toolkit's nvcc makes code for a GPU that is here."""
    known = toolkit.archs or tables.cuda_row(toolkit.version).archs
    return not facts.gpus or any(
        covers([code for code in known if int(code) >= OLDEST], gpu.capability) for gpu in facts.gpus
    )


OLDEST = 60
"""Pascal: the first GPUs with the float16 arithmetic and the atomics that the kernels use."""


MATHS = ("cublas_v2.h", "cusparse.h", "cusolverDn.h")
"""Headers that only some sources include."""
STATIC_RUNTIME = "libcudart_static"
"""What a wheel holds that is tied to no torch's CUDA; no other needs it."""
_OLDEST_NVCC = "11.6"
"""The oldest that any version of the projects takes."""


def is_whole(toolkit: Toolkit) -> bool:
    """Whether a toolkit can compile the projects, for some torch."""
    if toolkit.problem or version.Version(toolkit.version) < version.Version(_OLDEST_NVCC):
        return False
    return not set(toolkit.missing) - {*MATHS, STATIC_RUNTIME}


def has_nvcc(build: Build, facts: Facts, tables: Tables) -> bool:
    """Whether the nvcc for such a torch is here, or comes from the package index by itself."""
    major = build.cuda.partition(".")[0]
    here = [item for item in facts.toolkits if is_whole(item) and item.version.partition(".")[0] == major]
    return any(compiles(item, facts, tables) for item in here) or (tables.cuda_row(build.cuda).index_nvcc and not here)


def torch_ways(
    facts: Facts,
    tables: Tables,
    *,
    keep: Torch | None = None,
    wanted: Callable[[Build], bool] = lambda _: True,
    note: str = "torch for CUDA {cuda}",
) -> list[str]:
    """Commands that install a torch which fits: the version that is here in another build, and the newest one.

    Each is complete: with the toolkit that the build then takes, where there is none. Empty where no build fits.
    """
    known = [build for build in fitting(facts, tables) if wanted(build)]
    same = minor(keep.version) if keep and is_release(keep.version) else ""
    kept = sorted(
        (build for build in known if build.row.version == same), key=lambda build: not has_nvcc(build, facts, tables)
    )
    others = [build for build in known if build.row.version != same]
    ready = [build for build in others if has_nvcc(build, facts, tables)]
    chosen = [*kept[:1], *(ready or others)[:1]]
    if keep is not None and not chosen and not kept:
        return []
    return [_way(build, keep if build in kept else None, keep, facts, tables, note) for build in chosen]


def _way(build: Build, same: Torch | None, here: Torch | None, facts: Facts, tables: Tables, note: str) -> str:
    exact = same is not None and same.version.count(".") > 1
    pin = same.version.partition("+")[0] if same is not None and exact else f"{build.row.version}.*"
    comment = note.format(cuda=build.cuda)
    if same is None and here is not None and here.version:
        comment += f"; replaces torch {here.version}, so install torchvision and torchaudio anew, too, if you use them"
    command = install_torch(pin, build, here, facts)
    nvcc = _nearest_nvcc(build, facts)
    if not has_nvcc(build, facts, tables):
        nvcc = toolkit_release(build.cuda, facts, tables) or build.cuda
        way, about = parts_of(next(install_toolkit(nvcc, facts, tables)))
        command += f" && {way}"
        comment += f"; the toolkit: {about}" if about else ""
    if compiler := lacking_compiler(nvcc, build.row, facts, tables):
        command += f" && {compiler}"
    return with_comment(command, comment)


def _nearest_nvcc(build: Build, facts: Facts) -> str:
    """The release of the nvcc that would be taken for this torch."""
    need = version.Version(build.cuda)
    here = [
        item.version for item in facts.toolkits if is_whole(item) and version.Version(item.version).major == need.major
    ]
    return min(here, key=lambda item: abs(version.Version(item).minor - need.minor), default=build.cuda)


def lacking_compiler(nvcc: str, row: TorchRow, facts: Facts, tables: Tables) -> str:
    """The command that installs a g++ for another nvcc, where the one that is here does not go with it; empty where one does."""
    limits = Limits(tables, nvcc, TorchTarget("", row.version, nvcc, None, row.cxx_standard, ""), TORCH_ABI)
    usable = [
        item
        for item in facts.compilers
        if not item.problem and item.libstdcxx_static and item.target.startswith(facts.machine.arch)
    ]
    if not usable or any(not limits.misfit(item.version) for item in usable):
        return ""
    most = limits.most if limits.most is not None else limits.likely_most
    return parts_of(next(install_compiler(limits.least, most, limits.banned(), facts, tables)))[0]


def toolkit_release(cuda: str, facts: Facts, tables: Tables) -> str:
    """Torch's own release, or the first one of its major version that compiles for the GPU; empty where none does."""
    rows = [row for row in tables.cuda if row.version.partition(".")[0] == cuda.partition(".")[0]]
    fits = [row.version for row in rows if compiles(Toolkit("", "", version=row.version), facts, tables)]
    return cuda if cuda in fits else next(iter(fits), "")


def is_condas(torch: Torch | None) -> bool:
    """Whether conda installed it: pip must not put another one over it."""
    if torch is None or not torch.version:
        return False
    return torch.installer == "conda" or version.Version(torch.version).post is not None


def install_torch(pin: str, build: Build, here: Torch | None, facts: Facts) -> str:
    """The command that installs this build in this environment."""
    shell, machine = shell_of(facts), facts.machine
    if is_condas(here):
        release = pin if here is not None and is_release(here.version) and not pin.endswith(".*") else "*"
        major = build.cuda.partition(".")[0]
        program = "pixi add" if shell.manager is Manager.PIXI else "conda install -c conda-forge"
        return f"{program} 'pytorch={release}=cuda*' 'cuda-version={major}.*'"
    # The package index has one build of each version, and of aarch64 that has no CUDA for most; uv knows where PyTorch publishes the others.
    if build.row.cuda == build.cuda and machine.arch == "x86_64" and not (shell.uv and not shell.pip):
        return pip(shell, f"install --force-reinstall 'torch=={pin}'")
    backend = "cu" + build.cuda.replace(".", "")
    return uv_pip(shell, f"install --reinstall 'torch=={pin}' --torch-backend={backend}")


def no_torch_fits(facts: Facts, tables: Tables) -> str:
    """What else would have to change, where no torch fits driver, GPU, Python and glibc together."""
    if facts.driver and any(True for _ in fitting(facts, tables, driver=False)):
        build = next(fitting(facts, tables, driver=False))
        return f"install NVIDIA's driver {tables.cuda_row(build.cuda).driver} or newer   (no torch fits this one, the GPU and this Python together; then doctor names the torch)"
    if any(True for _ in fitting(facts, tables, python=False)):
        build = next(fitting(facts, tables, python=False))
        return f"use Python {build.row.python[-1]}   (no torch that fits GPU and driver has wheels for this one)"
    return "use another machine: no torch that is known here fits its GPU, driver, Python and glibc together"
