"""A plan as text, and its patches as JSON. The same plan gives the same bytes."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..core.commands import Here, guessed, pip
from ..core.errors import UNBROKEN, parts_of, way_lines, ways
from ..core.facts import CompilerCache, Facts
from ..core.outside_text import without_secrets
from ..core.settings import companion_key
from ..tables import Archives, PatchRow, minor
from .notebook import counted
from .platform import NO_PLACE
from .types import BuildPlan, Choice, GivenPath, Rejected, SourceOrigin, Tool

PATCHES_SCHEMA = 1
"""The schema of ``patches --json``."""

WIDTH = 80
"""Default columns. A command is never wrapped, however long."""
MOST = 12
"""Most lines of a report without problems; ``-v`` shows the rest."""
TITLE, ERROR, WARNING, COMMAND, READY, NAME, DIM, PLAIN = (
    "title",
    "error",
    "warning",
    "command",
    "ready",
    "name",
    "dim",
    "",
)
"""Kinds of lines, for their colours."""

_INDENT = 11
Shown = Iterator[tuple[str, str]]
"""Lines, each with its kind."""


@dataclass(frozen=True)
class Line:
    """One row of the report."""

    name: str
    value: str
    because: str = ""
    rejected: tuple[Rejected, ...] = ()


def plan_text(
    facts: Facts, plan: BuildPlan, *, verbose: bool = False, here: Here | None = None, width: int = WIDTH
) -> str:
    """The lines of :func:`shown_lines` as plain text."""
    return "".join(f"{line}\n" for _, line in shown_lines(facts, plan, here or Here(), verbose=verbose, width=width))


def shown_lines(facts: Facts, plan: BuildPlan, here: Here, *, verbose: bool = False, width: int = WIDTH) -> Shown:
    """The report: first the problems with their fixes, then the facts and choices, in full with ``verbose``."""
    here = here.inside(guessed(here.shell, facts.machine.python_prefix))
    head = [(TITLE, line) for line in textwrap.wrap(_title(facts, plan), width, subsequent_indent="  ", **UNBROKEN)]
    for text in plan.warnings:
        head += _told(WARNING, "warning: ", text, width)
    yield from head
    for problem in plan.problems:
        yield PLAIN, ""
        yield from _told(ERROR, "error: ", problem.sentence, width)
        for line in ways(tuple(here.way(way) for way in problem.fix), width):
            yield (DIM if line.lstrip().startswith("#") else COMMAND), line
    if plan.problems:
        yield PLAIN, ""
    if verbose:
        yield from _rows(plan_lines(facts, plan, verbose=True), width, verbose=True)
        for note in plan.notes:
            yield from _noted(note, here, width)
    if plan.problems:
        count = len(plan.problems)
        more = "" if verbose else f" More: {here.doctor()}"
        yield PLAIN, f"{counted(count, 'problem')}.{more}"
        return
    if not verbose:
        yield from _briefly(facts, plan, here, width, MOST - 2 - len(head))
    yield PLAIN, ""
    yield READY, _ready(plan, here)


def _ready(plan: BuildPlan, here: Here) -> str:
    if plan.only_metadata:
        return f"Metadata only, no wheel:  {pip(here.shell, f'download {here.checkout}')}"
    return f"The build can start:  {here.install()}"


def _title(facts: Facts, plan: BuildPlan) -> str:
    machine = facts.machine
    system = machine.distribution or machine.system
    torch = plan.torch.value
    for_torch = f" for torch {torch.version} ({_environment(torch.site)})" if torch else ""
    other = f", for {machine.arch}" if machine.host else ""
    return f"{plan.title}{for_torch}, Python {machine.python_version}, {system} {machine.runs_on}{other}"


def _environment(site: str) -> str:
    """The environment's folder, from its site-packages."""
    return re.sub(r"/lib/python[\d.]+/(?:site|dist)-packages$", "", site)


def _briefly(facts: Facts, plan: BuildPlan, here: Here, width: int, most: int) -> Shown:
    """The main facts and choices, and as many notes as fit."""
    lines = list(_rows(_brief_lines(facts, plan), width, verbose=False))
    left = 0
    for note in plan.notes:
        told = list(_noted(note, here, width))
        if left or len(lines) + len(told) > most - 1:
            left += 1
        else:
            lines += told
    yield from lines
    if left:
        yield (
            DIM,
            f"{left} {'more ' if left < len(plan.notes) else ''}note{'s' if left > 1 else ''}: {here.doctor()}",
        )


def _brief_lines(facts: Facts, plan: BuildPlan) -> Iterator[Line]:
    yield from list(_machine_lines(facts))[1:]
    yield from (Line("source", part.upstream.value.described) for part in plan.parts if part.upstream.value.fork)
    toolkit, compiler = plan.toolkit.value, plan.compiler.value
    comes = "downloaded"
    if plan.archives:
        absent = plan.archives.missing
        comes = "from NVIDIA's archives" + (f" ({plan.archives.bytes / 1e6:.0f} MB, once)" if absent else "")
    here = toolkit is not None and toolkit.home  # a toolkit from the archives has no folder yet
    tools = [f"nvcc {toolkit.version} ({toolkit.home})" if toolkit and here else f"nvcc {plan.cuda}, {comes}"]
    tools += [f"g++ {compiler.version} ({compiler.path})"] if compiler else []
    yield Line("builds with", f"{', '.join(tools)}, {plan.jobs.value} at once")
    yield Line("runs on", _runs_on(plan))


def _runs_on(plan: BuildPlan) -> str:
    codes = sorted({int(code.rstrip("af")) for code in plan.gpu_code.value.codes if code != "PTX"})
    gpus = " ".join(f"{code // 10}.{code % 10}" for code in codes)
    later = " and later" if "PTX" in plan.gpu_code.value.codes else ""
    ties = "only the torch and Python of this environment"
    if plan.abi.value.is_stable:
        ties = f"torch {plan.torch_least} and newer, Python {plan.abi.value.python_min} and newer"
    return f"GPUs {gpus}{later}; {ties}; glibc {plan.effective_floor.value} and newer"


def _rows(lines: Iterable[Line], width: int, *, verbose: bool) -> Shown:
    for line in lines:
        yield from ((PLAIN, text) for text in _wrapped(f"{line.name:<{_INDENT}} ", line.value, line.because, width))
        for item in line.rejected if verbose else ():
            yield from (
                (DIM, text) for text in _wrapped(f"{'':<{_INDENT}} not ", f"{item.what}: {item.why}", "", width)
            )


def _told(kind: str, head: str, text: str, width: int) -> Shown:
    wrapped = textwrap.wrap(text, width, initial_indent=head, subsequent_indent=" " * len(head), **UNBROKEN)
    yield from ((kind if number == 0 else PLAIN, line) for number, line in enumerate(wrapped))


def _noted(note: str, here: Here, width: int) -> Shown:
    """A note, and below it the command that goes with it."""
    text, _, command = note.partition("\n")
    yield from _told(WARNING, "note: ", text, width)
    if command:
        for line in way_lines("fix: ", *parts_of(here.way(command)), width):
            yield (DIM if line.lstrip().startswith("#") else COMMAND), line


def _wrapped(head: str, value: str, because: str, width: int) -> list[str]:
    margin = " " * (_INDENT + 1)
    text = f"{value}  ({because})" if because else value
    if because and len(head) + len(text) > width:
        return [
            *textwrap.wrap(value, width, initial_indent=head, subsequent_indent=margin, **UNBROKEN),
            *textwrap.wrap(f"({because})", width, initial_indent=margin, subsequent_indent=margin + " ", **UNBROKEN),
        ]
    return textwrap.wrap(text, width, initial_indent=head, subsequent_indent=margin, **UNBROKEN) or [head.rstrip()]


def plan_lines(facts: Facts, plan: BuildPlan, *, verbose: bool = False) -> Iterator[Line]:
    """The rows of the report, independent of their layout."""
    yield from _machine_lines(facts)
    row = plan.upstream.value
    if any(problem.code in NO_PLACE for problem in plan.problems):
        return  # nothing can be built here, so the choices do not matter
    yield _line("upstream", row.described, plan.upstream)
    for part in plan.parts:
        if part is not plan:
            why = (
                f"{row.title} cannot be imported without it"
                if row.partner_required
                else f"setting {companion_key(part.upstream.value.name)}"
            )
            yield Line("with", part.upstream.value.described, f"in the same wheel: {why}")
        yield _line("source", source_text(part.source.value), part.source)
        yield from _patch_lines(part, verbose=verbose)
    torch, compiler, sysroot = plan.torch.value, plan.compiler.value, plan.sysroot.value
    abi = "" if torch is None or torch.cxx11_abi is None else f", C++ ABI {'new' if torch.cxx11_abi else 'old'}"
    installed = f"{torch.version}, CUDA {torch.cuda}{abi}, C++{torch.cxx_standard}" if torch else ""
    yield _line("torch", installed or _torch_to_come(plan) or "none", plan.torch)
    if plan.abi.value.is_stable or verbose or not plan.upstream.value.is_own:
        yield _line("ABI", _ties(plan), plan.abi)
    nvcc, zig = plan.installs_tool(Tool.NVCC), plan.installs_tool(Tool.SYSROOT) or plan.installs_tool(Tool.COMPILER)
    yield _line("CUDA", _toolkit(plan) or (f"{nvcc.release}.* from PyPI" if nvcc else "none"), plan.toolkit)
    host = plan.installs_tool(Tool.COMPILER)
    to_come = "zig, from PyPI" if host else "none"
    name = f"{compiler.title} ({compiler.path})" if compiler else to_come
    yield _line("compiler", name, plan.compiler)
    shown = f"{sysroot.provider} ({sysroot.path})" if sysroot else "zig" if zig else "none"
    yield _line("sysroot", shown, plan.sysroot)
    floor = plan.floor
    needs = f"GLIBC {floor.glibc}, GLIBCXX {floor.glibcxx}, CXXABI {floor.cxxabi}"
    yield Line("needs", f"{needs}; with torch: glibc {plan.effective_floor.value}", plan.effective_floor.because)
    yield _line("GPU code", " ".join(plan.gpu_code.value.codes) or "none", plan.gpu_code)
    yield _line("jobs", str(plan.jobs.value), plan.jobs)
    if plan.compiler_cache.value or verbose:
        yield _line("cache", _program(plan.compiler_cache.value), plan.compiler_cache)
    if plan.pins.value:
        yield _line("pins", ", ".join(plan.pins.value), plan.pins)
    if verbose:
        yield Line("nvcc flags", " ".join(plan.nvcc_flags))
        if row.partner and row.project.partner:
            partner = row.project.partner.name
            shown = f"{partner} {plan.partner.value}" if plan.partner.value else f"no {partner}"
            yield Line("works with", shown, plan.partner.because)
        for package in torch.packages if torch else ():
            yield Line(
                "installed",
                f"{package.name} {package.version}",
                f"next to torch {minor(torch.version)}" if torch else "",
            )
    to_install = ", ".join(plan.requirements)
    yield Line("to install", to_install or "nothing", "build requirements, in addition to the usual tools")
    if plan.archives and plan.archives.missing:
        yield _to_fetch(plan.archives)


def _torch_to_come(plan: BuildPlan) -> str:
    """The torch that the build installs, or that would fit; empty if none is needed."""
    refused = any(item.code.startswith("torch-") for item in plan.problems)
    return "" if plan.needs_no_torch and not refused else plan.target.requirement


def _toolkit(plan: BuildPlan) -> str:
    """The toolkit that is here, or that the build will make."""
    if plan.archives:
        return f"{plan.archives.release.release} from NVIDIA's archives"
    toolkit = plan.toolkit.value
    return f"{toolkit.version} in {toolkit.home}" if toolkit else ""


def _to_fetch(archives: Archives) -> Line:
    files = ", ".join(f"{item.component} {item.version} ({item.bytes / 1e6:.1f} MB)" for item in archives.missing)
    return Line("to fetch", files, f"{archives.bytes / 1e6:.0f} MB, once, from {without_secrets(archives.mirror)}")


def _ties(plan: BuildPlan) -> str:
    """What the wheel is built for, in words."""
    if not plan.abi.value.is_stable:
        return "only this torch minor version and this Python"
    python, driver = plan.abi.value.python_min, plan.driver
    return f"stable: torch {plan.torch_least} and newer, for any CUDA; Python {python} and newer; a driver that runs CUDA {driver}"


def _patch_lines(plan: BuildPlan, *, verbose: bool) -> Iterator[Line]:
    """The applied patches; the ``patches`` command also lists the others."""
    drift = [item.file for item in plan.patches.value if not item.is_fix]
    if drift or verbose:
        yield Line("patches", ", ".join(drift) or "not needed", plan.patches.because)
    if plan.fixes:
        because = (
            "upstream computes these wrongly; the command patches lists who is affected; -C fixes=false skips them"
        )
        yield Line("fixes", ", ".join(item.subject for item in plan.fixes), because)


def _machine_lines(facts: Facts) -> Iterator[Line]:
    machine = facts.machine
    system = f"{machine.system} {machine.runs_on}" + (f" ({machine.distribution})" if machine.distribution else "")
    libc = "" if machine.libc == "unknown" else f" {machine.libc} {machine.libc_version}".rstrip() + ","
    memory = f"{machine.memory_available / 1e9:.1f} GB of memory free"
    yield Line(
        "machine", f"{system},{libc} Python {machine.python_version}, {counted(machine.cores, 'core')}, {memory}"
    )
    if facts.gpus or facts.driver:
        names = ", ".join(f"{gpu.name} ({gpu.capability})" for gpu in facts.gpus) or "not detected"
        yield Line("GPU", f"{names}, driver {facts.driver or 'unknown'}")


def source_text(origin: SourceOrigin) -> str:
    """The kind of a source, or its path."""
    return origin.path if isinstance(origin, GivenPath) else origin.kind


def _program(cache: CompilerCache | None) -> str:
    return f"{cache.name} {cache.version} ({cache.path})" if cache else "off"


def patches_json(plan: BuildPlan) -> dict[str, Any]:
    """The plan's patches in machine-readable form."""
    applied = {item.file: item for part in plan.parts for item in part.patches.value}
    rejected = {item.what: item.why for item in plan.patches.rejected if item.what not in applied}
    return {
        "schema": PATCHES_SCHEMA,
        "upstream": {"name": plan.upstream.value.name, "version": plan.upstream.value.version},
        "applied": [{"file": item.file, "kind": item.kind, "why": item.why} for item in applied.values()],
        "not-applied": [{"file": file, "why": why} for file, why in rejected.items()],
    }


def patches_text(plan: BuildPlan) -> str:
    """The plan's patches as text."""
    out = []
    for part in plan.parts:
        out.append(f"{part.title}, torch {plan.target.version}, CUDA {plan.target.cuda}")
        patches = [f"  {_applied(item)}  {item.file}: {item.why}" for item in part.patches.value]
        patches += [f"  not applied  {item.what}: {item.why}" for item in part.patches.rejected]
        out += patches or ["  there are no patches"]
    return "\n".join(out) + "\n"


def _applied(patch: PatchRow) -> str:
    return "fix        " if patch.is_fix else "applied    "


def _line(name: str, value: str, choice: Choice[Any]) -> Line:
    return Line(name, value, choice.because, choice.rejected)
