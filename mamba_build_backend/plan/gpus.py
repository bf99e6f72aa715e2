"""Whether this machine's own GPU and driver will run what is compiled; ``nvcc.py`` decides for which GPUs that is."""

from __future__ import annotations

from ..core._compat import version
from ..core.facts import Gpu, Toolkit
from ..tables import FrontEnd
from .nvcc import OLDEST, dotted
from .offers import Offers, runs_on
from .remedies import install_toolkit, torch_for
from .types import Notebook


def check_gpus(
    offers: Offers, cuda: str, toolkit: Toolkit | None, front_ends: tuple[FrontEnd, ...], notebook: Notebook
) -> None:
    """Say before a long build, not after, that this machine's GPU or driver cannot run what it makes.

    Where the architectures were asked for by name, the wheel may be meant for other machines: then it is a note.
    """
    if not cuda:
        return
    settings, facts = offers.settings, offers.facts
    elsewhere = settings.is_set("arch") and settings.arch != "native"
    troubles = [*_gpu_trouble(offers, cuda, toolkit), *_driver_trouble(offers)]
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


def check_own_runtime(offers: Offers, cuda: str, notebook: Notebook) -> None:
    """The same of a wheel with a CUDA runtime of its own, whose toolkit may be newer than this machine's driver and its torch."""
    settings, facts = offers.settings, offers.facts
    known = [item for item in notebook.problems if item.code in ("driver", "no-toolkit")]
    if not offers.abi.is_stable or not facts.driver or not cuda or known:
        return
    row, driver = offers.tables.cuda_row(cuda), version.Version(facts.driver)
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
        *install_toolkit(offers.target.cuda, facts.machine, offers.tables),  # the driver serves torch's
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
    return runs_on(gpu, plain) or number in exact or any(int(compute) <= int(number) for compute in ptx)


Trouble = list[tuple[str, str, str, list[str]]]


def _gpu_trouble(offers: Offers, cuda: str, toolkit: Toolkit | None) -> Trouble:
    """That the nvcc does not compile for this machine's GPU, or that torch, whose CUDA is another, cannot run there either."""
    facts, tables, target = offers.facts, offers.tables, offers.target
    known = _compiled_for(toolkit.archs if toolkit and toolkit.archs else tables.cuda_row(cuda).archs)
    if any(runs_on(gpu, known) for gpu in facts.gpus) and offers.torch is not None:
        cuda, known = target.cuda, _compiled_for(tables.cuda_row(target.cuda).archs)
    if not facts.gpus or any(runs_on(gpu, known) for gpu in facts.gpus):
        return []
    gpu = facts.gpus[0]
    if version.Version(gpu.capability) < version.Version(dotted(str(OLDEST))):
        found = f"this machine's GPU, {gpu.name}, has compute capability {gpu.capability}"
        return [("gpu-target", found, f"the kernels need {dotted(str(OLDEST))} or newer (Pascal)", [])]
    serving = [row.version for row in tables.cuda if runs_on(gpu, _compiled_for(row.archs))]
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


def _compiled_for(archs: tuple[str, ...]) -> set[str]:
    return {code for code in archs if int(code) >= OLDEST}


def _driver_trouble(offers: Offers) -> Trouble:
    facts, tables, target = offers.facts, offers.tables, offers.target
    # A torch that is installed for the build of a wheel for everyone is not what the wheel will run with.
    if not facts.driver or not target.cuda or (offers.torch is None and offers.abi.is_stable):
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
