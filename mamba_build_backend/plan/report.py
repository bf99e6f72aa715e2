"""A plan as text, and its patches as JSON. Pure: the same plan gives the same bytes."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..core.facts import CompilerCache, Facts
from ..core.outside_text import without_secrets
from ..core.settings import companion_key
from ..tables import Archives, PatchRow, minor
from .platform import NO_PLACE
from .types import BuildPlan, Choice, GivenPath, Rejected, SourceOrigin, Tool

PATCHES_SCHEMA = 1
"""Of what ``patches --json`` prints."""

WIDTH = 100
"""Columns. A command to type is never broken, however long."""

_INDENT = 11


@dataclass(frozen=True)
class Line:
    """One row of the report."""

    name: str
    value: str
    because: str = ""
    rejected: tuple[Rejected, ...] = ()


def plan_text(facts: Facts, plan: BuildPlan, *, verbose: bool = False) -> str:
    """Facts and plan as plain text; with ``verbose``, what was rejected too."""
    out: list[str] = []
    for line in plan_lines(facts, plan, verbose=verbose):
        out += _wrapped(f"{line.name:<{_INDENT}}", line.value, line.because)
        for item in line.rejected if verbose else ():
            out += _wrapped(f"{'':<{_INDENT}}not ", f"{item.what}: {item.why}", "")
    for note in plan.notes:
        out += _wrapped("note: ", note, "")
    for problem in plan.problems:
        first, *commands = problem.lines()
        out += ["", *_wrapped("problem: ", first, ""), *commands]
    if not plan.problems:
        out += ["", METADATA_READY if plan.only_metadata else READY]
    return "\n".join(out) + "\n"


METADATA_READY = "The metadata can be had, and no wheel is built:  python -m pip download .   (or pip lock, uv lock)"
READY = "The build can start:  python -m pip install .   or   python -m mamba_build_backend build -w dist"


def _wrapped(head: str, value: str, because: str) -> list[str]:
    margin = " " * len(head) if head.strip() and head.startswith(("note", "problem")) else " " * _INDENT
    text = f"{value}  ({because})" if because else value
    if because and len(head) + len(text) > WIDTH:
        return [
            *textwrap.wrap(value, WIDTH, initial_indent=head, subsequent_indent=margin, **_WRAP),
            *textwrap.wrap(f"({because})", WIDTH, initial_indent=margin, subsequent_indent=margin + " ", **_WRAP),
        ]
    return textwrap.wrap(text, WIDTH, initial_indent=head, subsequent_indent=margin, **_WRAP) or [head.rstrip()]


_WRAP: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False, "drop_whitespace": True}


def plan_lines(facts: Facts, plan: BuildPlan, *, verbose: bool = False) -> Iterator[Line]:
    """The rows, for any way of showing them."""
    yield from _machine_lines(facts)
    row = plan.upstream.value
    if any(problem.code in NO_PLACE for problem in plan.problems):
        return  # what would be built where nothing can be is of no use
    yield _line("upstream", row.title, plan.upstream)
    for part in plan.parts:
        if part is not plan:
            why = (
                f"{row.title} cannot be imported without"
                if row.partner_required
                else f"setting {companion_key(part.upstream.value.name)}"
            )
            yield Line("with", part.upstream.value.title, f"{why}: in the same wheel")
        yield _line("source", source_text(part.source.value), part.source)
        yield from _patch_lines(part, verbose=verbose)
    torch, compiler, sysroot = plan.torch.value, plan.compiler.value, plan.sysroot.value
    abi = "" if torch is None or torch.cxx11_abi is None else f", C++ ABI {'new' if torch.cxx11_abi else 'old'}"
    installed = f"{torch.version}, CUDA {torch.cuda}{abi}, C++{torch.cxx_standard}" if torch else ""
    yield _line("torch", installed or plan.target.requirement or "none", plan.torch)
    if plan.abi.value.is_stable or verbose or not plan.upstream.value.is_own:
        yield _line("ABI", _ties(plan), plan.abi)
    nvcc, zig = plan.installs_tool(Tool.NVCC), plan.installs_tool(Tool.SYSROOT)
    yield _line(
        "CUDA", _toolkit(plan) or (f"{nvcc.release}.* from the package index" if nvcc else "none"), plan.toolkit
    )
    name = f"g++ {compiler.version} ({compiler.path})" if compiler else "none"
    yield _line("compiler", name, plan.compiler)
    shown = f"{sysroot.provider} ({sysroot.path})" if sysroot else "zig" if zig else "none"
    yield _line("sysroot", shown, plan.sysroot)
    floor = plan.floor
    needs = f"GLIBC {floor.glibc}, GLIBCXX {floor.glibcxx}, CXXABI {floor.cxxabi}"
    yield Line("floor", f"{needs}; with torch: glibc {plan.effective_floor.value}", plan.effective_floor.because)
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
            yield Line("goes with", shown, plan.partner.because)
        for package in torch.packages if torch else ():
            yield Line(
                "installed",
                f"{package.name} {package.version}",
                f"beside torch {minor(torch.version)}" if torch else "",
            )
    to_install = ", ".join(plan.requirements)
    yield Line("to install", to_install or "nothing", "build requirements, beside the usual tools")
    if plan.archives and plan.archives.missing:
        yield _to_fetch(plan.archives)


def _toolkit(plan: BuildPlan) -> str:
    """The toolkit that is here, or that will be."""
    if plan.archives:
        return f"{plan.archives.release.release} from NVIDIA's archives"
    toolkit = plan.toolkit.value
    return f"{toolkit.version} in {toolkit.home}" if toolkit else ""


def _to_fetch(archives: Archives) -> Line:
    files = ", ".join(f"{item.component} {item.version} ({item.bytes / 1e6:.1f} MB)" for item in archives.missing)
    return Line("to fetch", files, f"{archives.bytes / 1e6:.0f} MB, once, from {without_secrets(archives.mirror)}")


def _ties(plan: BuildPlan) -> str:
    """To what the wheel will be tied."""
    if not plan.abi.value.is_stable:
        return "this torch minor version and this Python"
    python, driver = plan.abi.value.python_min, plan.driver
    return f"stable: torch {plan.torch_least} and newer, for any CUDA; Python {python} and newer; a driver that runs CUDA {driver}"


def _patch_lines(plan: BuildPlan, *, verbose: bool) -> Iterator[Line]:
    """Those that are applied; those for other versions are the ``patches`` command's to list."""
    drift = [item.file for item in plan.patches.value if not item.is_fix]
    if drift or verbose:
        yield Line("patches", ", ".join(drift) or "none", plan.patches.because)
    if plan.fixes:
        because = "upstream computes these wrongly; the command patches says for whom; -C fixes=false leaves them so"
        yield Line("fixes", ", ".join(item.subject for item in plan.fixes), because)


def _machine_lines(facts: Facts) -> Iterator[Line]:
    machine = facts.machine
    system = f"{machine.system} {machine.arch}" + (f" ({machine.distribution})" if machine.distribution else "")
    libc = "" if machine.libc == "unknown" else f" {machine.libc} {machine.libc_version}".rstrip() + ","
    memory = f"{machine.memory_available / 1e9:.1f} GB of memory free"
    yield Line("machine", f"{system},{libc} Python {machine.python_version}, {machine.cores} cores, {memory}")
    if facts.gpus or facts.driver:
        names = ", ".join(f"{gpu.name} ({gpu.capability})" for gpu in facts.gpus) or "none that could be asked"
        yield Line("GPU", f"{names}, driver {facts.driver or 'unknown'}")


def source_text(origin: SourceOrigin) -> str:
    """Where a source comes from, in a word, or its path."""
    return origin.path if isinstance(origin, GivenPath) else origin.kind


def _program(cache: CompilerCache | None) -> str:
    return f"{cache.name} {cache.version} ({cache.path})" if cache else "none"


def patches_json(plan: BuildPlan) -> dict[str, Any]:
    """The plan's patches for a machine to read."""
    applied = {item.file: item for part in plan.parts for item in part.patches.value}
    rejected = {item.what: item.why for item in plan.patches.rejected if item.what not in applied}
    return {
        "schema": PATCHES_SCHEMA,
        "upstream": {"name": plan.upstream.value.name, "version": plan.upstream.value.version},
        "applied": [{"file": item.file, "kind": item.kind, "why": item.why} for item in applied.values()],
        "not-applied": [{"file": file, "why": why} for file, why in rejected.items()],
    }


def patches_text(plan: BuildPlan) -> str:
    """The plan's patches for a person."""
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
