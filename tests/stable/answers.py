"""What upstream's own bindings answer to each call, as a text that a person can read and compare: ``answers.txt``.

A block for each function, its answers sorted, and below each answer the calls that get it, one a line. An answer that changes is a
line that changes; a call that gets another one leaves one list and appears in another. Standard library only.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Optional

ANSWERS = Path(__file__).with_name("answers.txt")

Answer = Optional[tuple[str, str]]
"""The exception's type and text; None where the call passed every check."""

ACCEPTED = "accepted"


def render(torch: str, answers: dict[str, Answer], script: str = "calls.py") -> str:
    """The text of these answers, whose keys are a function and its case, with a blank between; recorded with this torch by ``script``."""
    lines = [
        f"# torch {torch}: {len(answers)} calls. Written by tests/stable/{script} record.",
        "# A function, how many answers of each kind it gives; each answer, how often; the calls that get it.",
    ]
    for function in sorted({call.partition(" ")[0] for call in answers}):
        groups: dict[str, list[str]] = {}
        kinds: Counter[str] = Counter()
        for call, answer in answers.items():
            name, _, case = call.partition(" ")
            if name == function:
                head = ACCEPTED if answer is None else f"{answer[0]} {json.dumps(answer[1])}"
                groups.setdefault(head, []).append(case)
                kinds[ACCEPTED if answer is None else answer[0]] += 1
        counts = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
        lines += ["", f"{function}: {counts}"]
        for head, cases in sorted(groups.items()):
            lines += [f"  {len(cases)} {head}", *(f"    {case}" for case in sorted(cases))]
    return "\n".join(lines) + "\n"


def parse(text: str) -> dict[str, Answer]:
    """The answers in a text of ``render``. Raises ValueError where its counts are not those of its lines."""
    answers: dict[str, Answer] = {}
    function, answer = "", None
    for line in text.splitlines():
        if line.startswith("    "):
            answers[f"{function} {line[4:]}"] = answer
        elif line.startswith("  "):
            kind, _, said = line.strip().partition(" ")[2].partition(" ")
            answer = None if kind == ACCEPTED else (kind, json.loads(said))
        elif line and not line.startswith("#"):
            function = line.partition(":")[0]
    torch = text.partition("# torch ")[2].partition(":")[0]
    script = text.partition(" by tests/stable/")[2].partition(" ")[0]
    if render(torch, answers, script) != text:
        raise ValueError(f"the counts or the order of the answers were changed by hand: {script} record writes them")
    return answers
