"""The largest size of a file and of a function of the backend. ``lint-imports`` checks imports (pyproject.toml)."""

import ast
from pathlib import Path

from support import ROOT

BACKEND = ROOT / "mamba_build_backend"
MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 60
TOO_LONG: set[str] = set()
"""Longer functions, with the reason; none today."""


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


_RAISING = {"is_file", "is_dir", "exists", "is_symlink", "expanduser", "resolve", "read_text", "read_bytes", "iterdir", "glob"}  # fmt: skip
_OPENS_ITSELF = (
    "core/paths.py",
    "core/_session_reaper.py",
    "compile/_setup_py_child.py",
    "toolchain/shims/",
    "payload/",
    "stable/python/",
)
"""The one module for paths, and files that Python starts or that travel: they import no module of the backend."""


def _asks_itself(node):
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Name):
        return node.func.id == "open"
    if not isinstance(node.func, ast.Attribute) or any(word.arg == "follow_symlinks" for word in node.keywords):
        return False
    owner = ast.unparse(node.func.value)
    if owner in ("os.path", "shutil", "tarfile", "distribution") or owner.startswith("metadata."):
        return False
    reads = node.func.attr == "open" and [ast.unparse(item) for item in node.args] in ([], ["'rb'"], ["'r'"])
    return reads or node.func.attr in _RAISING


def test_only_one_module_opens_and_tests_paths():
    found = []
    for path in sorted(BACKEND.rglob("*.py")):
        name = path.relative_to(BACKEND).as_posix()
        if not name.startswith(_OPENS_ITSELF):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found += [f"{name}: {ast.unparse(node)}" for node in ast.walk(tree) if _asks_itself(node)]
    assert found == []


def test_no_code_cuts_parts_of_parents():
    """Only Python 3.9 raises a TypeError for slices of parents."""
    found = []
    for path in sorted(BACKEND.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Subscript) and isinstance(node.slice, (ast.Slice, ast.UnaryOp)):
                found += [f"{path.name}: {ast.unparse(node)}"] if ast.unparse(node.value).endswith(".parents") else []
    assert found == []
