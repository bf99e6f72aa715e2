"""The partner of a project: a project that it works with, in a separate wheel or in the same one."""

from __future__ import annotations

from typing import TypeVar

from ..core._compat import version
from ..core.facts import Torch
from ..tables import Partner, ProjectVersion, Tables, admits
from .notebook import Notebook
from .types import Choice, Rejected, TorchTarget
from .upstream import unmet

T = TypeVar("T")


def decide_partner(
    row: ProjectVersion, torch: Torch | None, target: TorchTarget, python: str, tables: Tables, notebook: Notebook
) -> Choice[str]:
    """The partner version that was newest at this version's release, or the newest that fits torch and Python here."""
    partner = row.project.partner
    if partner is None or not row.partner:
        return Choice("", "this project has no partner project")
    choice = _partner(row, partner, target, python, tables)
    for package in torch.packages if torch else ():
        if package.name == partner.name and not admits(row.partner_fits, package.version):
            way = f"install '{partner.name}=={choice.value}'" if choice.value else f"uninstall -y {partner.name}"
            notebook.note(
                f"{partner.name} {package.version} is installed, but {row.title} needs the binding of {row.partner_fits}",
                f"python -m pip {way}",
            )
    if not choice.value:
        older = newest_with_partner(row, target, python, tables)
        way = f"; -C upstream-version={older} has a matching one" if older else ""
        notebook.note(
            f"no {partner.name} works with {row.title} and torch {target.version} "
            f"({choice.because}): {partner.missing}{way}"
        )
    return choice


def newest_with_partner(row: ProjectVersion, target: TorchTarget, python: str, tables: Tables) -> str:
    """The newest version of a project that has a matching partner here; empty if none has."""
    partner = row.project.partner
    fitting = [
        item.version
        for item in tables.versions_of(row.name)
        if partner
        and item.partner
        and not unmet(item, target, python)
        and _partner(item, partner, target, python, tables).value
    ]
    return fitting[-1] if fitting else ""


def _partner(row: ProjectVersion, partner: Partner, target: TorchTarget, python: str, tables: Tables) -> Choice[str]:
    fitting = [item for item in tables.versions_of(partner.name) if admits(row.partner_fits, item.version)]
    fitting.sort(key=lambda item: (item.version == row.partner, version.Version(item.version)))
    rejected: list[Rejected] = []
    for item in reversed(fitting):
        lacks = unmet(item, target, python)
        if not lacks:
            return Choice(item.version, f"{row.title} calls the binding of {row.partner_fits}", tuple(rejected))
        kind, least, _ = lacks[0]
        rejected.append(Rejected(item.title, f"needs {kind} {least}: {item.needs_why}"))
    kind, least, _ = unmet(fitting[-1], target, python)[0]
    return Choice("", f"{partner.name} {row.partner_fits} needs {kind} {least}", tuple(rejected))


def both(one: tuple[T, ...], other: tuple[T, ...]) -> tuple[T, ...]:
    """The items of two tuples, each once."""
    return tuple(dict.fromkeys([*one, *other]))
