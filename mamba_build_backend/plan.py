"""Deciding: settings, facts and tables in, one plan out. No I/O, no clock, no environment.

A plan is complete even where it cannot be carried out: `doctor` prints it together with *all* its problems, and the build
raises them. Every field that was chosen among candidates is a :class:`Choice` and can be explained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ._compat import requirements, utils, version
from .errors import PlanError, Problem
from .facts import Compiler, Facts, Sysroot, Toolkit, Torch
from .settings import Settings
from .tables import Floor, FrontEnd, Tables, UpstreamRow

T = TypeVar("T")

ZIG_REQUIREMENT = "ziglang==0.13.0.post1"
COMPILE_MEMORY = 1_000_000_000
"""Bytes that one nvcc may take per architecture that it works on at once: 0.66 GB seen at the peak, plus its host half."""
ARCHITECTURES = ("x86_64", "aarch64")
CXX20_GCC = 10


@dataclass(frozen=True)
class Rejected:
    """A candidate that was passed over."""

    what: str
    why: str


@dataclass(frozen=True)
class Choice(Generic[T]):
    """A decision: what was taken, why, and what was not."""

    value: T
    because: str
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True)
class BuildPlan:
    """Everything that the build will do."""

    distribution: str
    local_version: str
    upstream: Choice[UpstreamRow]
    source: Choice[str]
    torch: Choice[Torch | None]
    torch_requirement: str
    torch_cuda: str
    toolkit: Choice[Toolkit | None]
    compiler: Choice[Compiler | None]
    sysroot: Choice[Sysroot | None]
    floor: Floor
    front_ends: Choice[tuple[FrontEnd, ...]]
    jobs: Choice[int]
    threads: int
    cxx_standard: int
    nvcc_flags: tuple[str, ...]
    requirements: tuple[str, ...]
    portable: bool
    """Whether compilers see the sysroot and the libstdc++ recipe; if not, this machine as it is."""
    repair: bool
    strip: bool
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    def check(self) -> None:
        """Raise PlanError with all problems, if there are any."""
        if self.problems:
            raise PlanError(self.problems)


class _Notebook:
    """Collects problems and notes while a plan is being made."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.problems: list[Problem] = []

    def problem(self, code: str, found: str, needed: str, *fix: str) -> None:
        self.problems.append(Problem(code, found, needed, fix))


def decide(settings: Settings, facts: Facts, tables: Tables) -> BuildPlan:
    """Make the plan for this machine. Never raises for what was found: problems are part of the plan."""
    book = _Notebook()
    _decide_platform(facts, book)
    upstream = _decide_upstream(settings, facts, tables, book)
    source = _decide_source(settings, facts, upstream.value)
    torch, torch_requirement, cuda, abi = _decide_torch(settings, facts, tables, book)
    toolkit, nvcc_requirements = _decide_toolkit(settings, facts, cuda, book)
    toolkit_version = toolkit.value.version if toolkit.value else cuda
    cxx_standard = max(17, torch.value.cxx_standard if torch.value else 17)
    compiler = _decide_compiler(settings, facts, tables, toolkit_version, cxx_standard, book)
    sysroot, sysroot_requirements = _decide_sysroot(settings, facts, compiler.value, book)
    front_ends = _decide_front_ends(settings, facts, tables, toolkit_version, toolkit.value, book)
    jobs, threads = _decide_jobs(settings, facts, front_ends.value)
    for variable in facts.polluted:
        book.notes.append(f"{variable} is set: it would put the host's folders into the build, which runs without it")
    missing = [*nvcc_requirements, *sysroot_requirements]
    if torch.value is None and torch_requirement:
        missing.append(torch_requirement)
    if settings.arch == "native" and not facts.nvml:
        missing.append("nvidia-ml-py")
    return BuildPlan(
        distribution=utils.canonicalize_name(settings.distribution_name) if settings.distribution_name else "",
        local_version=_local_version(settings, torch.value, torch_requirement, cuda),
        upstream=upstream,
        source=source,
        torch=torch,
        torch_requirement=torch_requirement,
        torch_cuda=cuda,
        toolkit=toolkit,
        compiler=compiler,
        sysroot=sysroot,
        floor=_decide_floor(settings, tables, abi),
        front_ends=front_ends,
        jobs=jobs,
        threads=threads,
        cxx_standard=cxx_standard,
        nvcc_flags=_nvcc_flags(settings, tables, toolkit_version, front_ends.value, threads),
        requirements=tuple(missing),
        portable=settings.repair and settings.sysroot != "host",
        repair=settings.repair,
        strip=settings.strip,
        notes=tuple(book.notes),
        problems=tuple(book.problems),
    )


def _decide_platform(facts: Facts, book: _Notebook) -> None:
    machine = facts.machine
    if machine.system != "Linux":
        book.problem(
            "platform",
            f"this is {machine.system}",
            "CUDA wheels are built on Linux",
            "use a Linux machine, a container, or WSL 2",
        )
    elif machine.libc != "glibc":
        book.problem(
            "libc",
            f"this Linux runs on {machine.libc}",
            "torch's wheels need glibc",
            "use a glibc image, such as debian or rockylinux",
        )
    elif machine.arch not in ARCHITECTURES:
        book.problem("arch", f"this machine is {machine.arch}", f"CUDA exists for {' and '.join(ARCHITECTURES)}")


def _decide_upstream(settings: Settings, facts: Facts, tables: Tables, book: _Notebook) -> Choice[UpstreamRow]:
    if settings.upstream == "self":
        return Choice(UpstreamRow("self", ""), "setting upstream: the project that holds the backend")
    rows = [row for row in tables.upstream if row.name == settings.upstream]
    if not rows:
        names = [*dict(tables.upstream_defaults), "self"]
        book.problem(
            "upstream",
            f"unknown upstream {settings.upstream!r}",
            f"it is one of {', '.join(names)}",
            f"-C upstream={names[0]}",
        )
        rows = [row for row in tables.upstream if row.name == names[0]]
    wanted, because = settings.upstream_version, "setting upstream-version"
    if wanted is None and facts.embedded:
        for row in rows:
            if row.index_file == facts.embedded:
                return Choice(row, "the version whose source this sdist carries")
    if wanted is None:
        wanted, because = dict(tables.upstream_defaults)[rows[0].name], "the newest version that is known to work"
    for row in rows:
        if row.version == wanted:
            return Choice(row, because)
    known = ", ".join(row.version for row in rows)
    book.problem(
        "upstream-version",
        f"{rows[0].name} {wanted} is not in the table",
        f"it knows {known}",
        f"-C upstream-version={rows[-1].version}",
    )
    return Choice(rows[-1], "the nearest known version")


def _decide_source(settings: Settings, facts: Facts, row: UpstreamRow) -> Choice[str]:
    if row.name == "self":
        return Choice("self", "setting upstream: the project's own tree")
    if settings.source not in ("auto", "index"):
        return Choice(settings.source, "setting source")
    if settings.source == "auto" and facts.embedded == row.index_file:
        return Choice("embedded", "this sdist carries it")
    return Choice("index", "the package index, or the cache if it was fetched before")


def _decide_torch(
    settings: Settings, facts: Facts, tables: Tables, book: _Notebook
) -> tuple[Choice[Torch | None], str, str, bool | None]:
    """The torch to build for, or the requirement that installs one; its CUDA, and its C++ ABI."""
    wanted = None
    if settings.torch != "auto" and not any(item.found_in == "setting torch" for item in facts.torches):
        try:
            wanted = requirements.Requirement(settings.torch)
        except requirements.InvalidRequirement:
            wanted = None
        if wanted is None or utils.canonicalize_name(wanted.name) != "torch":
            book.problem(
                "torch-setting",
                f"torch: {settings.torch!r} is neither a folder that holds torch nor a requirement of it",
                "one of the two is needed",
                "-C torch=torch==2.11.*",
                "-C torch=/path/to/lib/python3.11/site-packages",
            )
            wanted = None
    rejected: list[Rejected] = []
    blockers: list[tuple[Torch, str]] = []
    for item in facts.torches:
        name = f"torch {item.version} in {item.site}"
        if wanted is not None and not wanted.specifier.contains(item.version or "0", prereleases=True):
            rejected.append(Rejected(name, f"it is not {wanted}"))
            continue
        why = _torch_misfit(item, facts.machine.python_tag)
        if why:
            rejected.append(Rejected(name, why))
            blockers.append((item, why))
            continue
        because = item.found_in + (f", and it is {wanted}" if wanted is not None else "")
        minor = ".".join(item.version.split(".")[:2])
        return Choice(item, because, tuple(rejected)), f"torch=={minor}.*", item.cuda or "", item.cxx11_abi
    if blockers:
        item, why = blockers[0]
        code = "torch-rocm" if item.hip else "torch-cpu" if not item.cuda and not item.problem else "torch-broken"
        pin = f"torch=={item.version.split('+')[0]}" if item.version else "torch"
        book.problem(
            code,
            f"torch {item.version} in {item.site}: {why}",
            "a torch built for CUDA is needed",
            f"python -m pip install --force-reinstall '{pin}'   (a CUDA build of it)",
            "-C torch=torch==2.11.*   (build for that one instead, whatever is installed)",
        )
    if wanted is not None:
        row = _row_of_requirement(wanted, tables)
        return (
            Choice(None, f"none found is {wanted}: it is installed for the build", tuple(rejected)),
            str(wanted),
            row,
            True,
        )
    newest = tables.torch[-1]
    requirement = f"torch=={newest.version}.*"
    return (
        Choice(None, "no torch was found: the newest known one is installed for the build", tuple(rejected)),
        requirement,
        newest.cuda,
        True,
    )


def _torch_misfit(item: Torch, python_tag: str) -> str:
    if item.hip:
        return "it is a ROCm build"
    built_for = (item.tag or "").partition("-")[0]
    if built_for.startswith("cp") and built_for != python_tag:
        return f"it is for {built_for}, and this Python is {python_tag}"
    if item.problem:
        return item.problem
    return "" if item.cuda else "it has no CUDA"


def _row_of_requirement(wanted: requirements.Requirement, tables: Tables) -> str:
    fitting = [row for row in tables.torch if wanted.specifier.contains(f"{row.version}.0", prereleases=True)]
    if fitting:
        return fitting[-1].cuda
    for specifier in wanted.specifier:
        return tables.torch_row(specifier.version.replace(".*", "")).cuda
    return tables.torch[-1].cuda


def _decide_toolkit(
    settings: Settings, facts: Facts, cuda: str, book: _Notebook
) -> tuple[Choice[Toolkit | None], list[str]]:
    if not cuda:
        return Choice(None, "there is no CUDA torch to choose for"), []
    need = version.Version(cuda)
    forced = settings.cuda_home != "auto" and settings.origin("cuda-home") != "CUDA_HOME"
    rejected: list[Rejected] = []
    fitting: list[Toolkit] = []
    for item in facts.toolkits:
        name = f"CUDA {item.version or '?'} in {item.home}"
        if item.problem:
            rejected.append(Rejected(name, item.problem))
        elif version.Version(item.version).major != need.major:
            rejected.append(Rejected(name, f"torch was built with CUDA {cuda}: the major version must be {need.major}"))
        elif forced and settings.cuda_home != "pypi" and item.found_in != "setting cuda-home":
            rejected.append(Rejected(name, "setting cuda-home names another"))
        else:
            fitting.append(item)
    # The sort is stable: of two that are equally near, the one that was found first is taken.
    fitting.sort(key=lambda item: abs(version.Version(item.version).minor - need.minor))
    from_index = f"nvcc from the package index, {need.major}.{need.minor}"
    if fitting:
        best = fitting[0]
        rejected += [
            Rejected(f"CUDA {item.version} in {item.home}", f"CUDA {best.version} was nearer, or found first")
            for item in fitting[1:]
        ]
        exact = version.Version(best.version).minor == need.minor
        if not exact:
            book.notes.append(
                f"torch was built with CUDA {cuda} and {best.home} is {best.version}: the same major version, so this works; "
                f"GPU kernels are compiled by {best.version}"
            )
        reason = f"{best.found_in}: " + (
            f"exactly torch's CUDA {cuda}" if exact else f"the nearest to torch's CUDA {cuda}"
        )
        return Choice(best, reason, tuple(rejected)), []
    if need.major >= 13 and (not forced or settings.cuda_home == "pypi"):
        pin = f"=={need.major}.{need.minor}.*"
        names = ["nvidia-cuda-nvcc", "nvidia-nvvm", "nvidia-cuda-crt", "nvidia-cuda-cccl"]
        return Choice(None, f"no toolkit of CUDA {need.major} on this machine: {from_index}", tuple(rejected)), [
            name + pin for name in names
        ]
    seen = (
        "; ".join(f"{item.what}: {item.why}" for item in rejected)
        or "no nvcc on PATH, in CUDA_HOME, /usr/local/cuda* or conda"
    )
    book.problem(
        "no-toolkit",
        f"no CUDA toolkit fits ({seen})",
        f"torch was built with CUDA {cuda}: a toolkit {need.major}.x is needed, best {cuda}",
        f"conda install -c nvidia cuda-toolkit={cuda}",
        f"apt-get install cuda-toolkit-{need.major}-{need.minor}   (from NVIDIA's Debian or Ubuntu repository)",
        "-C cuda-home=/path/to/cuda   (one that is already here)",
        "a torch of CUDA 13: for that nvcc comes from the package index",
    )
    return Choice(None, "none fits", tuple(rejected)), []


def _decide_compiler(
    settings: Settings, facts: Facts, tables: Tables, cuda: str, standard: int, book: _Notebook
) -> Choice[Compiler | None]:
    row = tables.cuda_row(cuda) if cuda else tables.cuda[-1]
    least = max(row.gcc_min, CXX20_GCC if standard >= 20 else 0)
    forced = settings.host_compiler != "auto" and settings.origin("host-compiler") != "CXX"
    rejected: list[Rejected] = []
    best: Compiler | None = None
    for item in facts.compilers:
        name = f"{item.kind} {item.version or '?'} ({item.path})"
        why = _compiler_misfit(item, facts, least, row.gcc_max, cuda, standard)
        if forced and item.found_in != "setting host-compiler":
            why = why or "setting host-compiler names another"
        elif best is not None:
            why = why or f"{best.path} was found first"
        if why:
            rejected.append(Rejected(name, why))
        elif best is None:
            best = item
    if best is not None:
        return Choice(best, f"{best.found_in}: nvcc {cuda} takes g++ {least} to {row.gcc_max}", tuple(rejected))
    seen = "; ".join(f"{item.what}: {item.why}" for item in rejected) or "no g++ on PATH"
    book.problem(
        "no-compiler",
        f"no C++ compiler fits ({seen})",
        f"nvcc {cuda} takes g++ {least} to {row.gcc_max}",
        f"apt-get install g++-{row.gcc_max}   or   apt-get install g++",
        f"conda install -c conda-forge gxx_linux-64={row.gcc_max} sysroot_linux-64=2.17",
        "-C host-compiler=/path/to/g++   (one that is not on PATH)",
    )
    return Choice(None, "none fits", tuple(rejected))


def _compiler_misfit(item: Compiler, facts: Facts, least: int, most: int, cuda: str, standard: int) -> str:
    if item.problem:
        return item.problem
    major = version.Version(item.version).major
    if not item.target.startswith(facts.machine.arch):
        return f"it compiles for {item.target}"
    if major > most:
        return f"nvcc {cuda} takes g++ up to {most}"
    if major < least:
        return (
            f"torch's headers are C++{standard}, which needs g++ {least}"
            if standard >= 20
            else f"nvcc {cuda} takes g++ from {least}"
        )
    if item.libstdcxx_static is None:
        return "its libstdc++.a is not installed, and a portable link needs it"
    return ""


def _decide_sysroot(
    settings: Settings, facts: Facts, compiler: Compiler | None, book: _Notebook
) -> tuple[Choice[Sysroot | None], list[str]]:
    target = version.Version(settings.glibc)
    host = Sysroot("host", "/", "this machine", facts.machine.libc_version)
    rejected: list[Rejected] = []
    if facts.machine.libc != "glibc":
        return Choice(None, "there is no glibc here"), []
    if settings.sysroot == "host" or (settings.sysroot == "auto" and not settings.repair):
        if version.Version(host.glibc) > target:
            book.notes.append(
                f"linking against this machine's glibc {host.glibc}: the wheel may need more than {settings.glibc}"
            )
        return Choice(
            host, "setting sysroot" if settings.sysroot == "host" else "repair=false: for this machine only"
        ), []
    # conda's compilers come with a sysroot of their own, which is what their libraries were built against.
    conda = (
        compiler is not None
        and compiler.found_in == "CONDA_PREFIX"
        and any(
            item.provider == "conda" and item.glibc and version.Version(item.glibc) <= target for item in facts.sysroots
        )
    )
    if settings.sysroot == "auto" and version.Version(host.glibc) <= target and not conda:
        return Choice(host, f"this machine's glibc is {host.glibc}, which is old enough"), []
    why = "conda's compiler has its own" if conda else f"it is {host.glibc}, newer than {settings.glibc}"
    rejected.append(Rejected("this machine's glibc", why))
    provider = settings.sysroot if settings.sysroot in ("auto", "conda", "zig") else "path"
    for item in facts.sysroots:
        name = f"{item.provider} ({item.path})"
        if item.problem:
            rejected.append(Rejected(name, item.problem))
        elif provider not in ("auto", item.provider):
            rejected.append(Rejected(name, f"setting sysroot is {settings.sysroot}"))
        elif item.glibc and version.Version(item.glibc) > target:
            rejected.append(Rejected(name, f"it is glibc {item.glibc}, newer than {settings.glibc}"))
        else:
            return Choice(item, item.found_in, tuple(rejected)), []
    if provider in ("auto", "zig"):
        return Choice(None, "zig's glibc headers and stubs, from the package index", tuple(rejected)), [ZIG_REQUIREMENT]
    book.problem(
        "no-sysroot",
        "; ".join(f"{item.what}: {item.why}" for item in rejected),
        f"setting sysroot={settings.sysroot} needs a sysroot of glibc {settings.glibc} or older",
        f"conda install -c conda-forge sysroot_linux-64={settings.glibc}",
        "-C sysroot=auto   (zig's, from the package index)",
    )
    return Choice(None, "none fits", tuple(rejected)), []


def _decide_floor(settings: Settings, tables: Tables, cxx11_abi: bool | None) -> Floor:
    """The promise: the glibc of the settings, and for libstdc++ no more than the torch that the wheel is tied to needs."""
    runtime = max(settings.glibc, tables.cxx11_glibc, key=version.Version) if cxx11_abi is not False else settings.glibc
    row = tables.floor_row(runtime)
    return Floor(settings.glibc, row.glibcxx, row.cxxabi, row.gcc)


def _decide_front_ends(
    settings: Settings, facts: Facts, tables: Tables, cuda: str, toolkit: Toolkit | None, book: _Notebook
) -> Choice[tuple[FrontEnd, ...]]:
    if not cuda:
        return Choice((), "there is no CUDA to choose for")
    known = set(toolkit.archs) if toolkit else set()
    if settings.arch == "all":
        rows = tables.cuda_row(cuda).front_ends
        kept = tuple(
            FrontEnd(row.compute, codes)
            for row in rows
            if (codes := tuple(code for code in row.codes if not known or code == "PTX" or code in known))
        )
        return Choice(kept, f"the smallest set of SASS that covers the GPUs of CUDA {cuda}, and PTX for later ones")
    if settings.arch == "native":
        archs = sorted({gpu.capability for gpu in facts.gpus}, key=version.Version)
        if facts.gpus:
            return Choice(_own_front_ends(archs, known, cuda, book), f"this machine's GPU: {facts.gpus[0].name}")
        if facts.nvml:
            book.problem(
                "no-gpu",
                "arch=native: the driver knows no GPU in this machine",
                "the architectures have to be named where there is none",
                "-C arch=9.0   (an H100; 8.0 is an A100, 8.9 an RTX 4090)",
                "-C arch=all",
            )
        else:
            book.notes.append("arch=native: nvidia-ml-py is installed for the build, to ask the driver for the GPU")
        return Choice((), "setting arch: this machine's GPU")
    origin = settings.origin("arch")
    return Choice(
        _own_front_ends(settings.arch.split(";"), known, cuda, book),
        origin if origin == "TORCH_CUDA_ARCH_LIST" else "setting arch",
    )


def _own_front_ends(archs: Sequence[str], known: set[str], cuda: str, book: _Notebook) -> tuple[FrontEnd, ...]:
    out = []
    for arch in archs:
        number, _, ptx = arch.partition("+")
        code = number.replace(".", "")
        base = code.rstrip("af")
        if known and base not in known:
            listed = " ".join(f"{item[:-1]}.{item[-1]}" for item in sorted(known, key=int))
            book.problem(
                "gpu-arch",
                f"nvcc {cuda} cannot compile for {number}",
                f"it knows {listed}",
                "-C arch=all",
                "-C arch=9.0   (for instance)",
            )
        out.append(FrontEnd(code, (code, "PTX") if ptx else (code,)))
    return tuple(out)


def _decide_jobs(settings: Settings, facts: Facts, front_ends: tuple[FrontEnd, ...]) -> tuple[Choice[int], int]:
    cores = facts.machine.cores
    passes = sum(len(item.codes) for item in front_ends) or 1
    # nvcc works on several architectures at once with --threads; that pays only where cores would be idle at the end.
    threads = min(passes, 4) if cores >= 4 else 1
    budget = settings.memory or int(facts.machine.memory_available * 0.75)
    fit = max(1, budget // (COMPILE_MEMORY * threads)) if budget else cores
    if fit < cores and threads > 1:
        threads = 1
        fit = max(1, budget // COMPILE_MEMORY)
    if settings.jobs:
        return Choice(settings.jobs, settings.origin("jobs")), threads
    jobs = min(cores, fit)
    why = f"{cores} cores" if jobs == cores else f"{budget / 1e9:.1f} GB of memory at {COMPILE_MEMORY / 1e9:g} GB each"
    return Choice(jobs, why), threads


def _nvcc_flags(
    settings: Settings, tables: Tables, cuda: str, front_ends: tuple[FrontEnd, ...], threads: int
) -> tuple[str, ...]:
    flags = [item.flag() for item in front_ends]
    if threads > 1:
        flags += ["--threads", str(threads)]
    if settings.lineinfo:
        flags.append("-lineinfo")
    if settings.compress != "default" and cuda and tables.cuda_row(cuda).compress:
        flags.append(f"--compress-mode={settings.compress}")
    return tuple(flags)


def _local_version(settings: Settings, torch: Torch | None, requirement: str, cuda: str) -> str:
    if settings.local_version != "auto":
        return settings.local_version or ""
    minor = ".".join(torch.version.split(".")[:2]) if torch else requirement.partition("==")[2].replace(".*", "")
    return f"torch{minor}.cu{cuda.replace('.', '')}"
