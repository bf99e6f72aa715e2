"""The Python of the page "Explain a log": the backend's own answer, as lines that the page shows. It runs in Pyodide.

``explain`` answers a log, and ``doctor --facts`` the file that ``doctor --save`` wrote. The text is that of the command
line, for a user without root, in a virtual environment without uv, with the tool installed. Facts of the log or the
file replace these assumptions.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable
from contextlib import chdir
from io import BytesIO
from pathlib import Path
from typing import Any

from mamba_build_backend.cli.main import make_parser
from mamba_build_backend.cli.options import plan_for
from mamba_build_backend.compile import diagnosis_text, known_failures
from mamba_build_backend.compile.long_log import read_log
from mamba_build_backend.core.commands import Here
from mamba_build_backend.core.damage import JSON
from mamba_build_backend.core.errors import BackendError, SettingsError, command_of
from mamba_build_backend.core.facts import Manager, Shell
from mamba_build_backend.core.outside_text import visible, without_secrets
from mamba_build_backend.core.projects import default_project
from mamba_build_backend.plan import report

LOG, MACHINE = "log", "machine"

_SHELL = Shell(manager=Manager.VENV, uv=False, root=False)


_DEEPEST = 100
"""Levels; no machine file has 10. At 100,000 levels Pyodide's JSON parser ends all of Python; CPython's raises."""
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]', re.DOTALL)


def kind_of(name: str, data: bytes) -> str:
    """Whether a file, or a text without a name, is a machine file or a log."""
    text = data.lstrip()
    if name.endswith(".json"):
        return MACHINE
    if not text.startswith(b"{") or _is_deep(text):
        return LOG
    try:
        json.loads(text)
    except JSON:  # a log may begin with a brace; a machine file that was cut off still has its first keys
        return MACHINE if b'"schema"' in text[:100] else LOG
    return MACHINE


def _is_deep(text: bytes) -> bool:
    depth = 0
    for found in _BRACKETS.finditer(text):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(found[0], 0)
        if depth > _DEEPEST:
            return True
    return False


def answer(name: str, data: bytes, width: int) -> dict[str, Any]:
    """The answer: its kind, whether all is fine, and lines, each with its style and the command in it."""
    kind = kind_of(name, data)
    try:
        fine, told = _machine(name, data, width) if kind == MACHINE else _log(data, width)
    except BackendError as error:
        ways = [command_of(way) for problem in error.problems for way in problem.fix]
        lines = _lines([("error", line) for line in error.lines()], ways)
        return {"kind": kind, "fine": False, "mistake": True, "lines": lines}
    return {"kind": kind, "fine": fine, "mistake": False, "lines": told}


def answer_json(name: str, data: Any, width: int) -> str:
    """The same for JavaScript, whose bytes are a proxy here."""
    return json.dumps(answer(name, data.to_bytes(), width))


def _log(data: bytes, width: int) -> tuple[bool, list[list[str]]]:
    diagnosis = known_failures.explain(read_log(BytesIO(data)), _here(_SHELL))
    commands = [fix.text for item in diagnosis.explanations for fix in item.fixes if fix.is_command]
    lines = diagnosis_text.diagnosis_lines(diagnosis, width=width)
    return bool(diagnosis.explanations), _lines(lines, commands or _UNKNOWN)


_UNKNOWN = ("python -m mamba_build_backend doctor --save machine.json", "python -m mamba_build_backend doctor -v")


def _machine(name: str, data: bytes, width: int) -> tuple[bool, list[list[str]]]:
    name = re.sub(r"[^\w.-]", "_", name)[-80:] or "machine.json"
    if _is_deep(data):
        found = f"{name} is not a machine file: it is nested deeper than {_DEEPEST} levels"
        raise SettingsError(
            found, "make one on that machine", "python -m mamba_build_backend doctor --save machine.json"
        )
    with tempfile.TemporaryDirectory() as folder, chdir(folder):  # by its name alone, which an error shows
        path = Path(name)
        path.write_bytes(data)
        _, facts, plan = plan_for(make_parser().parse_args(["doctor", f"--facts={path}"]))
    here = _here(facts.shell)
    shown = here.inside(report.guessed(here.shell, facts.machine.python_prefix))
    fixes = [command_of(shown.way(way)) for problem in plan.problems for way in problem.fix]
    noted = [command_of(shown.way(note.partition("\n")[2])) for note in plan.notes]
    commands = [*fixes, *noted, shown.install(), shown.doctor()]
    return not plan.problems, _lines(report.shown_lines(facts, plan, here, width=width), commands)


def _here(shell: Shell) -> Here:
    return Here(shell, f"{default_project()}-portable", installed=True)


def _lines(told: Iterable[tuple[str, str]], commands: Iterable[str]) -> list[list[str]]:
    """Each line with its style and its command, if the command is whole; masked as on the command line."""
    known = sorted({command for command in commands if command}, key=len, reverse=True)
    out = []
    for style, line in told:
        command = next((item for item in known if f"  {item}  # " in line or line.endswith(f"  {item}")), "")
        out.append([style, _shown(line), _shown(command)])
    return out


def _shown(text: str) -> str:
    return visible(without_secrets(text))
