"""Format an audit as text or JSON. No I/O."""

from __future__ import annotations

from typing import Any

from ..core.facts import to_json
from ..symbols.floors import Effective, EffectiveFloor
from .chart import chart, in_units
from .types import ABI_TABLE, AbiUse, Report, TorchFit

WIDTH = 100
"""Columns of the bars if the output's width is unknown."""
_MARGIN = " " * 14
_EACH = 4
"""With more libraries than this, one chart shows the sum of all."""


def audit_json(report: Report) -> dict[str, Any]:
    """Return an audit as JSON data."""
    return {"ok": not report.problems, **to_json(report)}


def audit_text(report: Report, width: int = WIDTH, *, ascii_only: bool = False) -> str:
    """Return an audit as text; its bars take at most ``width`` columns, other lines as many as they need."""
    lines = [f"{report.wheel}  {report.size / 1e6:.1f} MB"]
    if not report.extensions:
        lines.append("  no shared libraries: a pure Python wheel")
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
        if len(report.extensions) > _EACH and (item.sass or item.ptx):
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
        if len(report.extensions) <= _EACH:
            lines.append(f"    sizes     as stored, {in_units(item.size)} in all")
            lines += [f"      {line}" for line in chart([item], width - 6, ascii_only=ascii_only)]
    if len(report.extensions) > _EACH:
        whole = in_units(sum(item.size for item in report.extensions))
        lines.append(f"  sizes       of all {len(report.extensions)} libraries, as stored, {whole}")
        lines += [f"    {line}" for line in chart(report.extensions, width - 4, ascii_only=ascii_only)]
    if report.effective_floor is not None:
        lines += _runs_with(report.effective_floor)
        tied = report.requires_torch or any(item.uses_torch for item in report.extensions)
        if tied and not report.effective_floor.torch:
            lines.append(f"{_MARGIN}torch itself may need more (add --torch with a torch that the wheel requires)")
    lines += [f"  torch       {_fit(fit, report.requires_torch)}" for fit in report.torches]
    for problem in report.problems:
        first, *rest = problem.lines()
        lines += [f"problem: {first}", *rest]
    if not report.problems:
        lines.append("no problem found")
    return "\n".join(lines) + "\n"


def _runs_with(floor: EffectiveFloor) -> list[str]:
    rows = [
        (f"{name} {item.version}", _who(item, floor))
        for name, item in (("glibc", floor.glibc), ("GLIBCXX", floor.glibcxx), ("CXXABI", floor.cxxabi))
        if item.version
    ]
    if not rows:
        return ["  runs with   any glibc and libstdc++"]
    head = f"{'  runs with':<{len(_MARGIN)}}"
    lines = [f"{_MARGIN if i else head}{what} and newer ({who})" for i, (what, who) in enumerate(rows)]
    if floor.systems:
        lines.append(f"{_MARGIN}from {', '.join(floor.systems)} on")
    return lines


def _who(item: Effective, floor: EffectiveFloor) -> str:
    """Say whether wheel or torch sets a floor, by which symbol or library, and what the other needs."""
    by = item.by if len(item.by) <= _LONG else f"{item.by[: _LONG - 1]}…"
    if item.set_by == "wheel":
        torch = f"; torch {floor.torch} needs {item.torch}" if item.torch else ""
        return f"set by the wheel itself{f', for {by}' if by else ''}{torch}"
    of = "" if floor.torch_source == "libraries" else ", the torch of the build"
    wheel = f"needs {item.wheel}" if item.wheel else "needs none"
    return f"set by torch {floor.torch}{of}{f', in {by}' if by else ''}; the wheel itself {wheel}"


_LONG = 48
"""Characters of a mangled name in the text; the JSON has the whole name."""


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
    return f"{name} {found}" + ("" if fit.asked else f"; the wheel requires {asked}")
