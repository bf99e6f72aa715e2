"""Read a project's setup.py without running it: name, version, packages, compiled modules and imports.

Only literal values count. Computed values stay empty, and the build learns them when it runs the file.
"""

from __future__ import annotations

import ast
import configparser
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ..core._compat import tomllib
from ..core.damage import TOML
from ..core.paths import entries, is_dir, is_file, read_bytes
from ..core.tree_facts import Fault

_PARSED_BYTES = 4 << 20
"""The largest Python file to parse; a setup.py has a few kB."""
_NO_PACKAGES = (
    "tests",
    "test",
    "benchmarks",
    "benchmark",
    "build",
    "csrc",
    "dist",
    "docs",
    "examples",
    "include",
    "mamba_build_backend",
)
_EXTENSIONS = ("CUDAExtension", "CppExtension", "Extension")
_MAYBE_MODULE = re.compile(r"[a-z]\w*_cuda\w*|\w+_cuda")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.\w+)*")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
"""A distribution's name (PEP 508)."""
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]{0,98}")
_DEEPEST = 8
"""Levels of names that refer to names; setup.py files use one or two."""


@dataclass(frozen=True)
class SetupPy:
    """The literal content of a setup.py; computed values are empty."""

    name: str = ""
    version: str = ""
    packages: tuple[str, ...] = ()
    root: str = ""
    """The folder that contains the packages, such as ``src/``."""
    extensions: tuple[str, ...] = ()
    perhaps: tuple[str, ...] = ()
    """Strings that may name more extensions: some setup.py files read them from a table."""
    sources: tuple[str, ...] = ()
    """The source files that its calls name literally."""
    imports: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()


def read_setup_py(tree: Path) -> SetupPy:
    """Read the setup.py of ``tree``, and the name and version in setup.cfg and pyproject.toml."""
    try:
        module = parsed(read_bytes(tree / "setup.py"))
    except OSError as error:
        module = f"cannot be read: {error.strerror}"
    if isinstance(module, str):
        return SetupPy(faults=(Fault("setup.py", module),))
    values = _constants(module)
    calls = [node for node in ast.walk(module) if isinstance(node, ast.Call)]
    arguments = next((_keywords(call) for call in calls if _called(call) == "setup"), {})
    root = _root(arguments, values)
    packages = _packages(tree / root, arguments.get("packages"), values)
    declared = _declared(tree)
    made = [_keywords(call, "name", "sources") for call in calls if _called(call) in _EXTENSIONS]
    sources = [item for call in made for item in _texts(call.get("sources"), values)]
    name = _text(arguments.get("name"), values) or declared.get("name", "")
    version = (
        _text(arguments.get("version"), values)
        or declared.get("version", "")
        or _package_version(tree / root, packages)
    )
    extensions = filter(_MODULE.fullmatch, (_text(call.get("name"), values) for call in made))
    return SetupPy(
        name=name if _NAME.fullmatch(name) else "",
        version=version if _VERSION.fullmatch(version) else "",
        packages=packages,
        root=root,
        extensions=tuple(dict.fromkeys(extensions)),
        perhaps=tuple(
            dict.fromkeys(text for text in map(_constant, ast.walk(module)) if _MAYBE_MODULE.fullmatch(text))
        ),
        sources=tuple(dict.fromkeys(sources)),
        imports=tuple(sorted(set(imported(module)))),
    )


def parsed(data: bytes) -> ast.Module | str:
    """The syntax tree of Python code, or the reason why there is none."""
    if len(data) > _PARSED_BYTES:
        return f"larger than {_PARSED_BYTES >> 20} MB"
    try:
        with warnings.catch_warnings():  # about escapes in strings, which concern only the file's author
            warnings.simplefilter("ignore")
            return ast.parse(data)
    except SyntaxError as error:
        return f"line {error.lineno or 1} is not valid Python: {error.msg}"
    except (ValueError, RecursionError, MemoryError, OverflowError):
        return "not valid Python"


def imported(module: ast.Module) -> Iterator[str]:
    """The top-level names of unconditional imports: not in a function, and not guarded by ``try`` or ``if``."""
    for node in module.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def own_imports(module: ast.Module, packages: Sequence[str]) -> Iterator[str]:
    """The modules of the project's own ``packages`` that a module imports unconditionally."""
    for node in module.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in packages)
        elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").partition(".")[0] in packages:
            yield node.module or ""


def _constant(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _keywords(call: ast.Call, *positional: str) -> dict[str, ast.expr]:
    found = dict(zip(positional, call.args))
    return {**found, **{item.arg: item.value for item in call.keywords if item.arg}}


def _constants(module: ast.Module) -> dict[str, ast.expr]:
    """The values of the module's names; the first one for a name that is assigned twice."""
    values: dict[str, ast.expr] = {}
    for node in module.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            values.setdefault(node.targets[0].id, node.value)
    return values


def _text(node: Optional[ast.expr], values: Mapping[str, ast.expr], depth: int = 0) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.Name) and depth < _DEEPEST:
        return _text(values.get(node.id), values, depth + 1)
    return ""


def _texts(node: Optional[ast.expr], values: Mapping[str, ast.expr], depth: int = 0) -> tuple[str, ...]:
    if isinstance(node, (ast.List, ast.Tuple)):
        return tuple(filter(None, (_text(item, values, depth) for item in node.elts)))
    if isinstance(node, ast.Name) and depth < _DEEPEST:
        return _texts(values.get(node.id), values, depth + 1)
    return ()


def _root(arguments: Mapping[str, ast.expr], values: Mapping[str, ast.expr]) -> str:
    """The folder of the packages, with a slash; empty for the tree itself."""
    found, folders = arguments.get("packages"), arguments.get("package_dir")
    root = _text(_keywords(found, "where").get("where"), values) if isinstance(found, ast.Call) else ""
    if isinstance(folders, ast.Dict) and not root:
        pairs = zip(folders.keys, folders.values)
        root = next(
            (_text(value, values) for key, value in pairs if isinstance(key, ast.Constant) and key.value == ""), ""
        )
    root = root.strip("./")
    return f"{root}/" if root and ".." not in root.split("/") else ""


def _packages(tree: Path, given: Optional[ast.expr], values: Mapping[str, ast.expr]) -> tuple[str, ...]:
    """The top packages: the listed ones, or those that ``find_packages`` would find."""
    if isinstance(given, (ast.List, ast.Tuple)):
        tops = (item.partition(".")[0] for item in _texts(given, values))
        return tuple(dict.fromkeys(filter(str.isidentifier, tops)))
    excluded = _texts(_keywords(given).get("exclude"), values) if isinstance(given, ast.Call) else ()
    skipped = {*_NO_PACKAGES, *excluded}
    return tuple(
        item.name
        for item in entries(tree)
        if item.name.isidentifier() and item.name not in skipped and is_dir(item) and is_file(item / "__init__.py")
    )


def _package_version(tree: Path, packages: tuple[str, ...]) -> str:
    for package in packages:
        try:
            text = read_bytes(tree / package / "__init__.py").decode("utf-8", "replace")
        except OSError:
            continue
        if match := re.search(r"^__version__\s*=\s*['\"]([^'\"\n]+)", text, re.MULTILINE):
            return match[1]
    return ""


def _declared(tree: Path) -> dict[str, str]:
    """Name and version of pyproject.toml's ``[project]``, or of setup.cfg's ``[metadata]``."""
    found: dict[str, str] = {}
    try:
        table = tomllib.loads(read_bytes(tree / "pyproject.toml").decode("utf-8")).get("project", {})
        found = {key: table[key] for key in ("name", "version") if isinstance(table.get(key), str)}
    except (OSError, AttributeError, *TOML):
        pass
    config = configparser.ConfigParser(interpolation=None)
    try:
        config.read_string(read_bytes(tree / "setup.cfg").decode("utf-8", "replace"))
        section = dict(config["metadata"]) if config.has_section("metadata") else {}
    except (OSError, configparser.Error):
        section = {}
    plain = {key: section[key] for key in ("name", "version") if section.get(key) and ":" not in section[key]}
    return {**plain, **found}
