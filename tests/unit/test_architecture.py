"""How large a file and a function of the backend may be. What imports what is checked by ``lint-imports`` (pyproject.toml)."""

import ast
from pathlib import Path

from support import ROOT

BACKEND = ROOT / "mamba_build_backend"
MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 60
TOO_LONG: set[str] = set()
"""What is longer, and why; nothing is today."""


def too_long(path: Path) -> set[str]:
    """The file's path in the backend if the file is too long, and the name of each function in it that is."""
    name, text = path.relative_to(BACKEND).as_posix(), path.read_text(encoding="utf-8")
    functions = {
        f"{name}: {node.name}"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.end_lineno - node.lineno + 1 > MOST_LINES_OF_A_FUNCTION
    }
    return functions | ({name} if len(text.splitlines()) > MOST_LINES_OF_A_FILE else set())


def test_no_file_and_no_function_is_too_long():
    assert set().union(*map(too_long, sorted(BACKEND.rglob("*.py")))) <= TOO_LONG
