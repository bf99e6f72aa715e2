"""Which GPUs are compiled for, and whether this machine's own will run the result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..core._compat import version
from ..core.facts import Facts, Gpu, Toolkit
from ..core.settings import Place, Settings
from ..tables import Cuda, FrontEnd, ProjectVersion, Tables, admits, is_newer
from .remedies import torch_for
from .types import Choice, Notebook, OnePass, TorchTarget

TURING, AMPERE, HOPPER = 75, 80, 90
OLDEST = 60
"""Pascal: the first GPUs with the float16 arithmetic and the atomics that the kernels use."""


def decide_front_ends(
    settings: Settings,
    facts: Facts,
    tables: Tables,
    upstream: ProjectVersion,
    cuda: str,
    toolkit: Toolkit | None,
    book: Notebook,
) -> Choice[tuple[FrontEnd, ...]]:
    """The passes of nvcc's front end, and what is assembled from each; what nvcc gets wrong of this upstream is left out."""
    choice = _front_ends(settings, facts, tables, cuda, toolkit, book)
    kept: list[FrontEnd] = []
    for item in choice.value:
        for bad in upstream.project.avoid:
            codes = [code for code in item.codes if code.rstrip("af") == bad.arch]
            if codes and admits(bad.cuda, cuda):
                book.note(f"{upstream.name}: {_dotted(bad.arch)} is compiled as {_dotted(bad.use)}: {bad.why}")
                compute = bad.use if item.compute.rstrip("af") == bad.arch else item.compute
                replaced = (bad.use if code in codes else code for code in item.codes)
                item = FrontEnd(compute, tuple(dict.fromkeys(replaced)))  # noqa: PLW2901 - one after the other
        kept.append(item)
    return replace(choice, value=_merged(kept))


def _merged(passes: list[FrontEnd]) -> tuple[FrontEnd, ...]:
    """Each code once, and one pass for each front end."""
    computes: dict[str, dict[str, None]] = {}
    seen: set[str] = set()
    for item in passes:
        codes = [code for code in item.codes if code not in seen]
        seen.update(code for code in codes if code != "PTX")
        if codes:
            computes.setdefault(item.compute, {}).update(dict.fromkeys(codes))
    return tuple(FrontEnd(compute, tuple(codes)) for compute, codes in computes.items())


def _front_ends(
    settings: Settings, facts: Facts, tables: Tables, cuda: str, toolkit: Toolkit | None, book: Notebook
) -> Choice[tuple[FrontEnd, ...]]:
    if not cuda:
        return Choice((), "there is no CUDA to choose for")
    row = tables.cuda_row(cuda)
    known = set(toolkit.archs) if toolkit and toolkit.archs else set(row.archs)
    if settings.arch == "all":
        because = f"the smallest set of SASS that covers the GPUs of CUDA {cuda}, and PTX for later ones"
        return Choice(_all(row, known, facts.machine.arch, newer=is_newer(tables.cuda, cuda)), because)
    if settings.arch == "native":
        archs = sorted({gpu.capability for gpu in facts.gpus}, key=version.Version)
        if facts.gpus:
            return Choice(_own(archs, known, cuda, book), f"this machine's GPU: {facts.gpus[0].name}")
        if facts.gpus_asked:
            book.problem(
                "no-gpu",
                "arch=native: the driver knows no GPU in this machine",
                "the architectures have to be named where there is none",
                "-C arch=9.0   (an H100; 8.0 is an A100, 8.9 an RTX 4090)",
                "-C arch=all",
            )
        else:
            book.note("arch=native: nvidia-ml-py is installed for the build, to ask the driver for the GPU")
        return Choice((), "setting arch: this machine's GPU")
    because = settings.origin("arch") if settings.place("arch") is Place.ALIAS else "setting arch"
    return Choice(_own(settings.arch.split(";"), known, cuda, book), because)


def _all(row: Cuda, known: set[str], machine: str, *, newer: bool) -> tuple[FrontEnd, ...]:
    """The row's passes, less what this nvcc does not know; of a newer release also what the row cannot know."""
    passes = [
        (item.compute, [code for code in item.codes if code == "PTX" or code in known]) for item in row.front_ends
    ]
    if newer:
        # SASS runs on later minors of its major version: the first of each major that nothing covers yet.
        covered = {code[:-1] for _, codes in passes for code in codes} | {code[:-1] for code in row.archs}
        for code in sorted(known, key=int):
            if code[:-1] not in covered:
                covered.add(code[:-1])
                passes[-1][1].insert(-1, code)
    if machine == "aarch64":
        passes += [(code, [code]) for code in row.jetson if code in known]
    return tuple(FrontEnd(compute, tuple(codes)) for compute, codes in passes if codes)


def _own(archs: Sequence[str], known: set[str], cuda: str, book: Notebook) -> tuple[FrontEnd, ...]:
    out = []
    for arch in archs:
        number, _, ptx = arch.partition("+")
        code = number.replace(".", "")
        if code.rstrip("af") not in known:
            book.problem(
                "gpu-arch",
                f"nvcc {cuda} cannot compile for {number}",
                f"it knows {_listed(known)}",
                "-C arch=all",
                "-C arch=9.0   (for instance)",
            )
        out.append(FrontEnd(code, (code, "PTX") if ptx else (code,)))
    return tuple(out)


def one_pass(files: tuple[str, ...], front_ends: tuple[FrontEnd, ...], *, compact: bool) -> OnePass:
    """For files that have nothing of GPUs after Ampere: the oldest front end from compute_80 on serves all later ones.

    With ``compact``, the backend rewrites that front end's PTX for Turing rather than run a second one. Older ones stay apart: with
    those of CUDA 12 and before it was not tried, and compute_60 on a later GPU selects Pascal's scheduling of threads (Volta tuning
    guide).
    """
    numbers = {item: int(item.compute) for item in front_ends if item.compute.isdigit()}
    merged = sorted((item for item in numbers if numbers[item] >= AMPERE), key=lambda item: numbers[item])
    turing = [item for item in numbers if TURING <= numbers[item] < AMPERE]
    first, later = (merged[0], merged[1:]) if merged else (None, [])
    lowered = tuple(item.compute for item in turing) if compact and first and numbers[first] < HOPPER else ()
    if not files or not first or not (later or lowered):
        return OnePass()
    codes = dict.fromkeys(code for item in merged for code in item.codes)
    # PTX last, as in the table.
    ordered = (*(code for code in codes if code != "PTX"), *(code for code in codes if code == "PTX"))
    # nvcc runs them in the order in which it is told of them: what others are written from comes first.
    others = [item for item in front_ends if item not in merged]
    return OnePass(files, (FrontEnd(first.compute, ordered), *others), lowered)


def _listed(codes: Iterable[str]) -> str:
    return " ".join(_dotted(code) for code in sorted(codes, key=int))


def _dotted(code: str) -> str:
    return f"{code[:-1]}.{code[-1]}"


def check_gpus(
    settings: Settings,
    facts: Facts,
    tables: Tables,
    cuda: str,
    toolkit: Toolkit | None,
    target: TorchTarget,
    front_ends: tuple[FrontEnd, ...],
    book: Notebook,
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
            book.note(f"{found}: {needed}; this wheel is for other machines, as its arch was named")
        else:
            way = (
                "-C arch=all   (said so, the build goes on: for other machines, or with NVIDIA's forward compatibility)"
            )
            book.problem(code, found, needed, *fixes, way)
    if (
        elsewhere
        and not troubles
        and front_ends
        and facts.gpus
        and not any(_served(gpu, front_ends) for gpu in facts.gpus)
    ):
        gpu = facts.gpus[0]
        book.note(
            f"arch={settings.arch} ({settings.origin('arch')}) does not run on this machine's GPU, {gpu.name} "
            f"({gpu.capability}): -C arch=native for it, or -C arch=all"
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
    if version.Version(gpu.capability) < version.Version(_dotted(str(OLDEST))):
        found = f"this machine's GPU, {gpu.name}, has compute capability {gpu.capability}"
        return [("gpu-target", found, f"the kernels need {_dotted(str(OLDEST))} or newer (Pascal)", [])]
    serving = [row.version for row in tables.cuda if _runs(gpu, {code for code in row.archs if int(code) >= OLDEST})]
    # A GPU that is too new needs a later release; one that was dropped needs an earlier.
    newer = version.Version(gpu.capability) > max(version.Version(_dotted(code)) for code in known)
    ends = sorted(known, key=int)
    reach = f"up to {_dotted(ends[-1])}" if newer else f"from {_dotted(ends[0])}"
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
