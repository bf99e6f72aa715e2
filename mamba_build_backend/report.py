"""A plan, or an audit, as text or JSON. Pure: the same plan gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .audit_types import Report
from .facts import Facts, to_json
from .plan import BuildPlan, Choice

SCHEMA = 1


def plan_json(facts: Facts, plan: BuildPlan) -> dict[str, Any]:
    """Facts and plan for a machine to read."""
    return {"schema": SCHEMA, "ok": not plan.problems, "facts": to_json(facts), "plan": to_json(plan)}


def plan_text(facts: Facts, plan: BuildPlan, *, verbose: bool = False) -> str:
    """Facts and plan for a person; with ``verbose``, what was rejected too."""
    lines = list(_rows(facts, plan, verbose=verbose))
    for note in plan.notes:
        lines.append(f"note: {note}")
    for problem in plan.problems:
        lines.append("")
        first, *rest = problem.lines()
        lines += [f"problem: {first}", *rest]
    if not plan.problems:
        lines += [
            "",
            "The build can start:  python -m pip install .   or   python -m mamba_build_backend build -w dist",
        ]
    return "\n".join(lines) + "\n"


def _rows(facts: Facts, plan: BuildPlan, *, verbose: bool) -> Iterator[str]:
    machine, row = facts.machine, plan.upstream.value
    libc = f"{machine.libc} {machine.libc_version}".strip()
    memory = f"{machine.memory_available / 1e9:.1f} GB free"
    yield _line(
        "machine",
        f"{machine.system} {machine.arch}, {libc}, {machine.cores} cores, {memory}",
        f"Python {machine.python_version}",
    )
    yield from _choice("upstream", row.title, plan.upstream, verbose)
    yield from _choice("source", plan.source.value, plan.source, verbose)
    torch, toolkit, compiler, sysroot = plan.torch.value, plan.toolkit.value, plan.compiler.value, plan.sysroot.value
    abi = "" if torch is None or torch.cxx11_abi is None else f", C++ ABI {'new' if torch.cxx11_abi else 'old'}"
    shown = (
        f"{torch.version}, CUDA {torch.cuda}{abi}, C++{torch.cxx_standard}"
        if torch
        else plan.torch_requirement or "none"
    )
    yield from _choice("torch", shown, plan.torch, verbose)
    nvcc = [item.partition("==")[2] for item in plan.requirements if item.startswith("nvidia-cuda-nvcc")]
    shown = (
        f"{toolkit.version} in {toolkit.home}" if toolkit else f"{nvcc[0]} from the package index" if nvcc else "none"
    )
    yield from _choice("CUDA", shown, plan.toolkit, verbose)
    yield from _choice(
        "compiler",
        f"{compiler.kind} {compiler.version} ({compiler.path})" if compiler else "none",
        plan.compiler,
        verbose,
    )
    zig = any(item.startswith("ziglang") for item in plan.requirements)
    yield from _choice(
        "sysroot",
        f"{sysroot.provider} ({sysroot.path})" if sysroot else "zig" if zig else "none",
        plan.sysroot,
        verbose,
    )
    floor = plan.floor
    yield _line(
        "floor",
        f"GLIBC {floor.glibc}, GLIBCXX {floor.glibcxx}, CXXABI {floor.cxxabi}",
        "what the wheel may need at most",
    )
    codes = " ".join(code for item in plan.front_ends.value for code in item.codes)
    yield from _choice("GPU code", codes or "none", plan.front_ends, verbose)
    yield from _choice("jobs", str(plan.jobs.value), plan.jobs, verbose)
    if verbose:
        yield _line("nvcc flags", " ".join(plan.nvcc_flags), "")
        for gpu in facts.gpus:
            yield _line("GPU", f"{gpu.name}, compute capability {gpu.capability}", f"driver {gpu.driver}")
    yield _line("to install", ", ".join(plan.requirements) or "nothing", "build requirements, beside the usual tools")


def _choice(name: str, shown: str, choice: Choice[Any], verbose: bool) -> Iterator[str]:
    yield _line(name, shown, choice.because)
    if verbose:
        for item in choice.rejected:
            yield f"{'':<11} not {item.what}: {item.why}"


def _line(name: str, shown: str, because: str) -> str:
    line = f"{name:<11} {shown}"
    if not because:
        return line
    return f"{line}  ({because})" if len(line) + len(because) < 97 else f"{line}\n{'':<11} ({because})"


def audit_json(report: Report) -> dict[str, Any]:
    """An audit for a machine to read."""
    return {"ok": not report.problems, **to_json(report)}


def audit_text(report: Report) -> str:
    """An audit for a person."""
    lines = [f"{report.wheel}  {report.size / 1e6:.1f} MB"]
    if not report.extensions:
        lines.append("  no shared library in it: a pure Python wheel")
    for item in report.extensions:
        lines.append(f"  {item.path}  {item.size / 1e6:.1f} MB")
        lines.append(
            f"    needs     GLIBC {item.floor.glibc or '-'}, GLIBCXX {item.floor.glibcxx or '-'}, CXXABI {item.floor.cxxabi or '-'}, GCC {item.floor.gcc or '-'}"
        )
        for needed, library, symbols in item.blockers:
            lines.append(f"              {needed} of {library}: {symbols}")
        lines.append(f"    libraries {' '.join(item.needed)}")
        if item.rpath:
            lines.append(f"    rpath     {':'.join(item.rpath)}")
        if item.sass or item.ptx:
            sass = "  ".join(f"sm_{arch} {size / 1e6:.1f} MB" for arch, size in item.sass)
            ptx = "  ".join(f"compute_{arch} {size / 1e6:.1f} MB" for arch, size in item.ptx)
            lines.append(f"    GPU code  {sass}" + (f"   PTX  {ptx}" if ptx else ""))
        looked = f"{item.unversioned} symbols from torch, Python and CUDA"
        lines.append(
            f"    symbols   {looked}: "
            + ("not looked up (give --torch)" if item.unresolved is None else f"{len(item.unresolved)} unresolved")
        )
    for problem in report.problems:
        first, *rest = problem.lines()
        lines += [f"problem: {first}", *rest]
    if not report.problems:
        lines.append("no problem found")
    return "\n".join(lines) + "\n"
