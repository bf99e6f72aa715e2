"""The report on a terminal, with rich; where there is none, or where output is piped, the plain text."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from ..core.facts import Facts
from ..plan import BuildPlan
from ..plan.report import METADATA_READY, READY, WIDTH, plan_lines, plan_text


def show_plan(facts: Facts, plan: BuildPlan, *, verbose: bool) -> None:
    """Print the report to stdout."""
    rich = _rich() if sys.stdout.isatty() else None
    if rich is None:
        print(plan_text(facts, plan, verbose=verbose), end="")
        return
    console_module, table_module, text_module = rich
    console = console_module.Console(highlight=False)
    console.width = min(console.width, WIDTH)
    # What was found is data: it goes in as Text, never as markup, which paths with brackets would be taken for.
    text = text_module.Text
    table = table_module.Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for line in plan_lines(facts, plan, verbose=verbose):
        cell = text(line.value, style="red" if line.value == "none" else "")
        if line.because:
            cell.append(f"  ({line.because})", style="dim")
        for item in line.rejected if verbose else ():
            cell.append(f"\nnot {item.what}: {item.why}", style="yellow")
        table.add_row(line.name, cell)
    console.print(table)
    for note in plan.notes:
        console.print(text("note: ", style="yellow").append(note, style="default"))
    for problem in plan.problems:
        first, *commands = problem.lines()
        console.print()
        console.print(text("problem: ", style="bold red").append(first, style="default"))
        for command in commands:
            # Soft wrapping leaves a command in one piece, to be copied.
            console.print(text(command, style="green"), soft_wrap=True)
    if not plan.problems:
        console.print()
        console.print(text(METADATA_READY if plan.only_metadata else READY, style="green"), soft_wrap=True)


def _rich() -> tuple[Any, Any, Any] | None:
    """rich, or pip's own copy of it: doctor runs where nothing was installed for it."""
    for package in ("rich", "pip._vendor.rich"):
        try:
            return (
                import_module(f"{package}.console"),
                import_module(f"{package}.table"),
                import_module(f"{package}.text"),
            )
        except ImportError:
            continue
    return None
