"""An audit as text or JSON. Pure."""

from __future__ import annotations

from typing import Any

from .audit_types import ABI_TABLE, AbiUse, Report, TorchFit
from .facts import to_json


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
        if item.abi:
            lines.append(f"    ABI       {_abi(item.abi)}")
    lines += [f"  torch       {_fit(fit, report.requires_torch)}" for fit in report.torches]
    for problem in report.problems:
        first, *rest = problem.lines()
        lines += [f"problem: {first}", *rest]
    if not report.problems:
        lines.append("no problem found")
    return "\n".join(lines) + "\n"


def _abi(use: AbiUse) -> str:
    python = (
        f"Python {use.python} and newer"
        if use.python
        else f"Python's symbols not looked up (pip install '{ABI_TABLE}')"
    )
    count = len(use.torch_outside)
    shims = f"{len(use.torch_shims)} functions of torch's stable C interface" if use.torch_shims else ""
    torch = f"{count} other symbols of torch's libraries" if count else ""
    return f"{python}; {' and '.join(filter(None, (shims, torch))) or 'no symbol of torch'}"


def _fit(fit: TorchFit, asked: str) -> str:
    name = fit.version or f"in {fit.site}"
    found = f"lacks {len(fit.missing)}: {fit.shown}" if fit.missing else "has every symbol"
    return f"{name} {found}" + ("" if fit.asked else f"; the wheel asks for {asked}")
