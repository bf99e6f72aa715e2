"""Which GPUs nvcc compiles for, in which passes of its front end, and with which options.

**Why is sm_75 compiled so?** nvcc makes GPU code in two steps: its front end (cicc) writes PTX for a virtual
architecture, ``compute_75``, and ptxas assembles SASS for real ones, ``sm_75``, from it; a wheel contains SASS, and PTX
for future GPUs. A ``FrontEnd`` is one pass of the first step with everything that is assembled from it. For any
architecture:

1. The setting ``arch`` selects the architectures. ``all`` is the row of the CUDA release in tables/cuda.toml, with the
   fewest passes that cover its GPUs: CUDA 13 has compute_75 for sm_75, and compute_80 for sm_80, 90, 100, 120 and PTX.
   A list, or ``native``, has one pass per architecture (:func:`decide_passes`).
2. If a project's table says that nvcc miscompiles for an architecture (``avoid``), code for an older one replaces it.
3. These are the passes of every file: ``GpuCode.passes``. The child process replaces upstream's flags with theirs.
4. A project's table may name files (``one-pass``) that use nothing newer than Ampere. For these, the oldest pass from
   compute_80 on serves all later SASS: ``GpuCode.shared``. The nvcc shim replaces the former flags with its flags
   (:func:`share_passes`). Turing and older GPUs keep their own pass: code from a later front end does not assemble for
   them, and code from compute_60 on a later GPU selects Pascal's scheduling of threads (Volta tuning guide).
5. Only with ``gpu-code=compact``, the pass for compute_75 does not run for these files: toolchain/shims/nvcc_steps.py
   rewrites the PTX for compute_80 instead (``SharedPasses.derived``).
6. sccache needs one pass per SASS (compiler_cache.apart), and shares none.

There is one representation: ``GpuCode`` has the passes, and flags are derived from it where they are used.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..core._compat import version
from ..core.errors import SettingsError
from ..core.facts import Facts, Toolkit
from ..core.settings import COMPACT, Place, Settings
from ..tables import Cuda, FrontEnd, ProjectVersion, Tables, admits, is_newer
from .notebook import Notebook
from .types import Choice, GpuCode, NvccOptions, SharedPasses

OLDEST, TURING, AMPERE, HOPPER = 60, 75, 80, 90
"""The oldest is Pascal, the first with the float16 arithmetic and the atomics that the kernels use."""
SMALLEST = "size"
"""The mode of nvcc's fatbin compression that compresses best."""


def decide_passes(
    settings: Settings,
    facts: Facts,
    tables: Tables,
    upstream: ProjectVersion,
    cuda: str,
    toolkit: Toolkit | None,
    notebook: Notebook,
) -> Choice[tuple[FrontEnd, ...]]:
    """The passes of nvcc's front end with the codes of each, without those that nvcc miscompiles for this upstream."""
    choice = _passes(settings, facts, tables, cuda, toolkit, notebook)
    kept: list[FrontEnd] = []
    for item in choice.value:
        for bad in upstream.project.avoid:
            codes = [code for code in item.codes if code.rstrip("af") == bad.arch]
            if codes and admits(bad.cuda, cuda):
                notebook.note(f"{upstream.name}: {dotted(bad.arch)} is compiled as {dotted(bad.use)}: {bad.why}")
                compute = bad.use if item.compute.rstrip("af") == bad.arch else item.compute
                replaced = (bad.use if code in codes else code for code in item.codes)
                item = FrontEnd(compute, tuple(dict.fromkeys(replaced)))  # noqa: PLW2901 - one after the other
        kept.append(item)
    return replace(choice, value=_merged(kept))


def _merged(passes: list[FrontEnd]) -> tuple[FrontEnd, ...]:
    """The passes with each code only once, and one pass per virtual architecture."""
    computes: dict[str, dict[str, None]] = {}
    seen: set[str] = set()
    for item in passes:
        codes = [code for code in item.codes if code not in seen]
        seen.update(code for code in codes if code != "PTX")
        if codes:
            computes.setdefault(item.compute, {}).update(dict.fromkeys(codes))
    return tuple(FrontEnd(compute, tuple(codes)) for compute, codes in computes.items())


def _passes(
    settings: Settings, facts: Facts, tables: Tables, cuda: str, toolkit: Toolkit | None, notebook: Notebook
) -> Choice[tuple[FrontEnd, ...]]:
    row = tables.cuda_row(cuda)
    known = set(toolkit.archs) if toolkit and toolkit.archs else set(row.archs)
    if settings.arch == "all":
        because = f"the smallest set of SASS that covers the GPUs of CUDA {cuda}, and PTX for later ones"
        return Choice(_all(row, known, facts.machine.arch, newer=is_newer(tables.cuda, cuda)), because)
    if settings.arch == "native":
        archs = sorted({gpu.capability for gpu in facts.gpus}, key=version.Version)
        if facts.gpus:
            return Choice(_own(archs, known, cuda, notebook), f"this machine's GPU: {facts.gpus[0].name}")
        if facts.gpus_asked:
            notebook.problem(
                "no-gpu",
                "arch=native: the driver reports no GPU in this machine",
                "without a GPU, the architectures must be named",
                "-C arch=9.0   (an H100; 8.0 is an A100, 8.9 an RTX 4090)",
                "-C arch=all",
            )
        else:
            notebook.note("arch=native: the build installs nvidia-ml-py to ask the driver for the GPU")
        return Choice((), "setting arch: this machine's GPU")
    because = settings.origin("arch") if settings.place("arch") is Place.ALIAS else "setting arch"
    return Choice(_own(settings.arch.split(";"), known, cuda, notebook), because)


def _all(row: Cuda, known: set[str], machine: str, *, newer: bool) -> tuple[FrontEnd, ...]:
    """The row's passes without codes unknown to this nvcc; for a newer release, plus codes that the row cannot know."""
    passes = [
        (item.compute, [code for code in item.codes if code == "PTX" or code in known]) for item in row.front_ends
    ]
    if newer:
        # SASS also runs on later minor versions of its major: add the first code of each major that nothing covers yet.
        covered = {code[:-1] for _, codes in passes for code in codes} | {code[:-1] for code in row.archs}
        for code in sorted(known, key=int):
            if code[:-1] not in covered:
                covered.add(code[:-1])
                passes[-1][1].insert(-1, code)
    if machine == "aarch64":
        passes += [(code, [code]) for code in row.jetson if code in known]
    return tuple(FrontEnd(compute, tuple(codes)) for compute, codes in passes if codes)


def _own(archs: Sequence[str], known: set[str], cuda: str, notebook: Notebook) -> tuple[FrontEnd, ...]:
    out = []
    for arch in archs:
        number, _, ptx = arch.partition("+")
        code = number.replace(".", "")
        if code.rstrip("af") not in known:
            notebook.problem(
                "gpu-arch",
                f"nvcc {cuda} cannot compile for {number}",
                f"it supports {_listed(known)}",
                "-C arch=all",
                "-C arch=9.0   (for instance)",
            )
        out.append(FrontEnd(code, (code, "PTX") if ptx else (code,)))
    return tuple(out)


def decide_gpu_code(
    settings: Settings, upstream: ProjectVersion, passes: Choice[tuple[FrontEnd, ...]], *, share: bool
) -> Choice[GpuCode]:
    """The passes of all files, and the shared passes of some; without ``share``, there are no shared passes."""
    compact = settings.gpu_code == COMPACT
    shared = share_passes(upstream.project.one_pass, passes.value, compact=compact) if share else SharedPasses()
    return Choice(GpuCode(passes.value, shared, compact), passes.because, passes.rejected)


def share_passes(files: tuple[str, ...], passes: tuple[FrontEnd, ...], *, compact: bool) -> SharedPasses:
    """For files that use nothing newer than Ampere: the oldest pass from compute_80 on serves all later architectures.

    With ``compact``, its PTX is rewritten for Turing instead of running a second pass; PTX for Hopper and later has
    instructions that Turing lacks.
    """
    numbers = {item: int(item.compute) for item in passes if item.compute.isdigit()}
    merged = sorted((item for item in numbers if numbers[item] >= AMPERE), key=lambda item: numbers[item])
    turing = [item for item in numbers if TURING <= numbers[item] < AMPERE]
    first, later = (merged[0], merged[1:]) if merged else (None, [])
    derived = tuple(item.compute for item in turing) if compact and first and numbers[first] < HOPPER else ()
    if not files or not first or not (later or derived):
        return SharedPasses()
    codes = dict.fromkeys(code for item in merged for code in item.codes)
    # PTX last, as in the table.
    ordered = (*(code for code in codes if code != "PTX"), *(code for code in codes if code == "PTX"))
    # nvcc runs the passes in the order of its options: the pass that others are derived from comes first.
    others = [item for item in passes if item not in merged]
    return SharedPasses(files, (FrontEnd(first.compute, ordered), *others), derived)


def decide_options(
    settings: Settings, tables: Tables, cuda: str, threads: int, split: int, notebook: Notebook
) -> NvccOptions:
    """Nvcc's options besides the architectures; ``threads`` and ``split`` come from jobs.py."""
    support = tables.cuda_row(cuda).compress
    asked = settings.is_set("compress")
    if asked and settings.compress != "default" and support == "no":
        first = next(row.version for row in tables.cuda if row.compress != "no")
        notebook.note(
            f"nvcc {cuda} has no option for compress={settings.compress} ({settings.origin('compress')}) and compresses "
            f"the kernels in its only mode; CUDA {first} and later have the option"
        )
    used = settings.compress != "default" and (support == "yes" or (support == "asked" and asked))
    return NvccOptions(threads, split, settings.lineinfo, settings.compress if used else "")


def _listed(codes: Iterable[str]) -> str:
    return " ".join(dotted(code) for code in sorted(codes, key=int))


def dotted(code: str) -> str:
    """``9.0`` of ``90``."""
    return f"{code[:-1]}.{code[-1]}"


PREPEND, APPEND = "NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS"
"""Variables whose words nvcc adds before and after its arguments (nvcc's documentation, "NVCC Environment
Variables")."""


@dataclass(frozen=True)
class EnvironmentFlags:
    """Options that reach nvcc from the environment."""

    prepend: tuple[str, ...] = ()
    append: tuple[str, ...] = ()

    def notes(self) -> list[str]:
        """A sentence for each variable that is not empty."""
        named = ((PREPEND, self.prepend), (APPEND, self.append))
        return [f"{name}={shlex.join(words)} reaches nvcc" for name, words in named if words]


def environment_flags(environ: Mapping[str, str], changed: Iterable[tuple[str, str | None]] = ()) -> EnvironmentFlags:
    """The options that reach nvcc from ``environ``, after the plan's changes (``BuildPlan.environment``).

    Raises SettingsError for an unclosed quote.
    """
    variables = {**environ, **dict(changed)}
    return EnvironmentFlags(_words(PREPEND, variables.get(PREPEND)), _words(APPEND, variables.get(APPEND)))


def _words(name: str, text: str | None) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text or ""))
    except ValueError as error:
        needed = "nvcc's options are needed, separated by spaces, with every quote closed"
        raise SettingsError(f"{name}={text}: {error}", needed, f"unset {name}") from None
