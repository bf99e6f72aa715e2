"""The project that goes with another one, beside it or in the same wheel."""

from __future__ import annotations

from typing import TypeVar

from ..core._compat import version
from ..core.facts import Torch
from ..tables import ProjectVersion, Tables, admits
from .types import Choice, Notebook, Rejected, TorchTarget
from .upstream import unmet

T = TypeVar("T")


def decide_partner(
    row: ProjectVersion, torch: Torch | None, target: TorchTarget, python: str, tables: Tables, book: Notebook
) -> Choice[str]:
    """The causal-conv1d that was the newest when this mamba-ssm was released, or the newest fitting one that goes here."""
    if not row.partner:
        return Choice("", "no other project goes with it")
    choice = _partner(row, target, python, tables)
    for package in torch.packages if torch else ():
        if package.name == "causal-conv1d" and not admits(row.partner_fits, package.version):
            way = f"install 'causal-conv1d=={choice.value}'" if choice.value else "uninstall causal-conv1d"
            book.note(
                f"causal-conv1d {package.version} is installed, and {row.title} calls the binding of "
                f"{row.partner_fits}: python -m pip {way}"
            )
    if not choice.value:
        older = newest_with_partner(row, target, python, tables)
        way = f"; -C upstream-version={older} has one" if older else ""
        book.note(
            f"{row.title} finds no causal-conv1d for torch {target.version} ({choice.because}): "
            f"Mamba-1 runs without its fast path{way}"
        )
    return choice


def newest_with_partner(row: ProjectVersion, target: TorchTarget, python: str, tables: Tables) -> str:
    """The newest version of a project that a causal-conv1d goes with here; empty where none does."""
    fitting = [
        item.version
        for item in tables.versions
        if item.name == row.name
        and item.partner
        and not unmet(item, target, python)
        and _partner(item, target, python, tables).value
    ]
    return fitting[-1] if fitting else ""


def _partner(row: ProjectVersion, target: TorchTarget, python: str, tables: Tables) -> Choice[str]:
    known = [item for item in tables.versions if item.name == "causal-conv1d"]
    fitting = [item for item in known if admits(row.partner_fits, item.version)]
    fitting.sort(key=lambda item: (item.version == row.partner, version.Version(item.version)))
    rejected: list[Rejected] = []
    for item in reversed(fitting):
        lacks = unmet(item, target, python)
        if not lacks:
            return Choice(item.version, f"any {row.partner_fits} has the binding that it calls", tuple(rejected))
        kind, least, _ = lacks[0]
        rejected.append(Rejected(item.title, f"it needs {kind} {least}: {item.needs_why}"))
    kind, least, _ = unmet(fitting[-1], target, python)[0]
    return Choice("", f"causal-conv1d {row.partner_fits} needs {kind} {least}", tuple(rejected))


def both(one: tuple[T, ...], other: tuple[T, ...]) -> tuple[T, ...]:
    """The items of two tuples, each once."""
    return tuple(dict.fromkeys([*one, *other]))
