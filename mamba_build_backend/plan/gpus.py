"""Whether this machine's own GPU and driver will run what is compiled; ``nvcc.py`` decides for which GPUs that is."""

from __future__ import annotations

from ..core._compat import version
from ..core.facts import Facts, Gpu, Toolkit
from ..core.settings import Settings
from ..tables import FrontEnd, Tables
from .nvcc import dotted
from .remedies import install_toolkit, torch_for
from .types import Abi, Notebook, TorchTarget

OLDEST = 60
"""Pascal: the first GPUs with the float16 arithmetic and the atomics that the kernels use."""


def check_gpus(
    settings: Settings,
    facts: Facts,
    tables: Tables,
    cuda: str,
    toolkit: Toolkit | None,
    target: TorchTarget,
    front_ends: tuple[FrontEnd, ...],
    notebook: Notebook,
) -> None:
    """Say before a long build, not after, that this machine's GPU or driver cannot run what it makes.

    Where the architectures were asked for by name, the wheel may be meant for other machines: then it is a note.
    """
    if not cuda:
        return
    elsewhere = settings.is_set("arch") and settings.arch != "native"
    troubles = [
        *_gpu_trouble(facts, tables, cuda, toolkit, target),
        *_driver_trouble(facts, tables, target),
    ]
    for code, found, needed, fixes in troubles:
        if elsewhere:
            notebook.note(f"{found}: {needed}; this wheel is for other machines, as its arch was named")
        else:
            way = (
                "-C arch=all   (said so, the build goes on: for other machines, or with NVIDIA's forward compatibility)"
            )
            notebook.problem(code, found, needed, *fixes, way)
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
            f"({gpu.capability}): -C arch=native for it, or -C arch=all"
        )


def is_served(settings: Settings, facts: Facts, codes: set[str]) -> bool:
    """Whether an nvcc for these GPUs (``90``) compiles for those that are asked for by name, or else for this machine's."""
    if settings.arch not in ("all", "native"):
        asked = {item.partition("+")[0].replace(".", "").rstrip("af") for item in settings.arch.split(";")}
        return asked <= codes
    if settings.is_set("arch") and settings.arch != "native":
        return True  # for other machines
    known = {code for code in codes if int(code) >= OLDEST}
    return not facts.gpus or any(_runs(gpu, known) for gpu in facts.gpus)


def check_own_runtime(
    settings: Settings, facts: Facts, tables: Tables, cuda: str, target: TorchTarget, abi: Abi, notebook: Notebook
) -> None:
    """The same of a wheel with a CUDA runtime of its own, whose toolkit may be newer than this machine's driver and its torch."""
    known = [item for item in notebook.problems if item.code == "driver"]
    if not abi.is_stable or not facts.driver or not cuda or known:
        return
    row, driver = tables.cuda_row(cuda), version.Version(facts.driver)
    if driver >= version.Version(row.driver):
        return
    found = f"this machine's driver is {facts.driver}, and the wheel would carry the runtime of CUDA {cuda}"
    needed = f"CUDA {version.Version(cuda).major}.x needs {row.driver} or newer"
    if settings.is_set("arch") and settings.arch != "native":
        notebook.note(f"{found}: {needed}; this wheel is for other machines, as its arch was named")
        return
    notebook.problem(
        "driver",
        found,
        needed,
        *install_toolkit(target.cuda, facts.machine, tables),  # the driver serves torch's
        f"install NVIDIA's driver {row.driver} or newer",
        "-C arch=all   (said so, the build goes on: for other machines)",
    )


def _served(gpu: Gpu, front_ends: tuple[FrontEnd, ...]) -> bool:
    """Whether there is SASS for a GPU, or PTX that its driver can assemble."""
    sass = {code.rstrip("f") for item in front_ends for code in item.codes if code != "PTX"}
    exact = {code.rstrip("a") for code in sass if code.endswith("a")}  # sm_90a runs on 9.0 alone
    plain = {code for code in sass if code.isdigit()}
    ptx = [item.compute for item in front_ends if "PTX" in item.codes and item.compute.isdigit()]
    number = gpu.capability.replace(".", "")
    return _runs(gpu, plain) or number in exact or any(int(compute) <= int(number) for compute in ptx)


Trouble = list[tuple[str, str, str, list[str]]]


def _gpu_trouble(
    facts: Facts,
    tables: Tables,
    cuda: str,
    toolkit: Toolkit | None,
    target: TorchTarget,
) -> Trouble:
    known = set(toolkit.archs) if toolkit and toolkit.archs else set(tables.cuda_row(cuda).archs)
    known = {code for code in known if int(code) >= OLDEST}
    if not facts.gpus or any(_runs(gpu, known) for gpu in facts.gpus):
        return []
    gpu = facts.gpus[0]
    if version.Version(gpu.capability) < version.Version(dotted(str(OLDEST))):
        found = f"this machine's GPU, {gpu.name}, has compute capability {gpu.capability}"
        return [("gpu-target", found, f"the kernels need {dotted(str(OLDEST))} or newer (Pascal)", [])]
    serving = [row.version for row in tables.cuda if _runs(gpu, {code for code in row.archs if int(code) >= OLDEST})]
    # A GPU that is too new needs a later release; one that was dropped needs an earlier.
    newer = version.Version(gpu.capability) > max(version.Version(dotted(code)) for code in known)
    ends = sorted(known, key=int)
    reach = f"up to {dotted(ends[-1])}" if newer else f"from {dotted(ends[0])}"
    wanted = "no CUDA release that is known here does"
    if serving:
        wanted = f"CUDA {serving[0]} and later do" if newer else f"CUDA {serving[-1]} and earlier do"
    fixes = torch_for(
        lambda build: build in serving, facts.machine, tables, keep=target.version, note="for CUDA {cuda}"
    )
    found = f"this machine's GPU, {gpu.name}, has compute capability {gpu.capability}"
    found += f", and CUDA {cuda} compiles for GPUs {reach}"
    return [("gpu-target", found, f"torch {target.version} cannot run on it either; {wanted}", list(fixes))]


def _runs(gpu: Gpu, codes: set[str]) -> bool:
    """SASS runs on GPUs of its major version and of its own or a later minor (CUDA C++ Programming Guide)."""
    major, _, small = gpu.capability.partition(".")
    return any(code[:-1] == major and int(code[-1]) <= int(small) for code in codes)


def _driver_trouble(facts: Facts, tables: Tables, target: TorchTarget) -> Trouble:
    if not facts.driver or not target.cuda:
        return []
    row = tables.cuda_row(target.cuda)
    if version.Version(facts.driver) >= version.Version(row.driver):
        return []
    served = [item.version for item in tables.cuda if version.Version(facts.driver) >= version.Version(item.driver)]
    fixes = [
        f"install NVIDIA's driver {row.driver} or newer",
        *torch_for(
            lambda build: build in served,
            facts.machine,
            tables,
            keep=target.version,
            note="the driver serves CUDA {cuda}",
        ),
    ]
    return [
        (
            "driver",
            f"this machine's driver is {facts.driver}, and torch {target.version} is for CUDA {target.cuda}",
            f"CUDA {version.Version(target.cuda).major}.x needs {row.driver} or newer",
            fixes,
        )
    ]
