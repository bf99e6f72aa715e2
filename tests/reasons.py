"""Every reason in the plans of recorded machines, each once: each choice and each rejected candidate.

Only ``-v`` shows most of them in a report. ``tests/reasons.txt`` holds all of them, so that a diff shows a changed
sentence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from support import RECORDED, planned_for

from mamba_build_backend.plan.types import Choice


def of_all_machines() -> str:
    """A line for each reason, by the decision that it belongs to."""
    found = {line for machine in RECORDED for line in _reasons(planned_for(machine)[1], "")}
    return "".join(f"{line}\n" for line in sorted(found))


def _reasons(value: Any, name: str) -> Iterator[str]:
    if isinstance(value, Choice):
        yield f"{name}: {value.because}{' (asked for)' if value.forced else ''}"
        for item in value.rejected:
            yield f"{name}, not {item.what}: {item.why}"
    if is_dataclass(value):
        for field in fields(value):
            if field.name not in ("rejected", "because", "row"):
                yield from _reasons(getattr(value, field.name), field.name)
    elif isinstance(value, tuple) and name == "notes":
        yield from (f"note: {text}" for text in value)
