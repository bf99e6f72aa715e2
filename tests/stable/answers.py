"""The answers of upstream's own bindings to each call, as a text that people can compare: ``answers.txt``.

Each function has a block with its answers, sorted, and below each answer its calls, one a line. A changed answer is a
changed line; a call with another answer moves to another list. Standard library only.
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
    """The text of these answers.

    The keys are a function and its case, with a space between. ``script`` recorded the answers with this torch.
    """
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
    """Read the answers from a text of ``render``. Raises ValueError if its counts differ from its lines."""
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
