"""Read a matrix file. Every key and value is checked, and each error message has a fix."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core._compat import tomllib, utils
from ..core.damage import TOML, why
from ..core.errors import SettingsError
from ..core.paths import find_program, is_dir, is_file, open_plain
from ..core.projects import default_project
from ..core.pyproject import load as load_pyproject
from ..core.setting_values import as_text
from ..core.settings import PATHS, TABLE, known_keys
from ..tables import is_version
from .model import AXES, NEEDED, Cell, Matrix, Project, cells

BACKEND = "mamba_build_backend"
_TABLES = ("axes", "settings", "exclude", "include", "environments")
_TAKEN = {"upstream": "upstream", "upstream-version": "upstream", "torch": "torch"}
"""Settings that are an axis of a matrix."""

_EXAMPLES = {
    "upstream": f"{default_project()}==2.3.0",
    "python": "3.11",
    "torch": "2.11",
    "cuda": "13.0",
    "cxx11abi": "TRUE",
}


def load_matrix(path: Path, home: Path) -> Matrix:
    """Read and check a matrix file; ``home`` is the backend's checkout. Raises SettingsError."""
    data = _read(path)
    where = path.name
    _check_keys(data, _TABLES, where, lambda key: f"[{key}]   in {where}")
    base = path.absolute().parent
    axes = _axes(_table(data, "axes", where), where, base)
    if not axes and not data.get("include"):
        raise SettingsError(
            f"{where} has neither [axes] nor [[include]]",
            "a matrix file needs one of them",
            f'[axes]   with upstream = ["{default_project()}"], python = ["3.11"] and torch = ["2.11"] below it',
        )
    environments = _environments(_table(data, "environments", where), base)
    matrix = Matrix(
        path=str(path),
        axes=axes,
        settings=_settings(_table(data, "settings", where), "[settings]", base),
        exclude=tuple(_excluded(data, dict(axes), where, base)),
        include=tuple(_included(data, where, base)),
        environments=environments,
        absent=tuple(python for _, python in environments if not os.path.exists(python)),
    )
    folders = [cell.upstream for cell in cells(matrix) if os.path.isabs(cell.upstream)]
    projects = [_project(Path(folder)) for folder in dict.fromkeys(folders)]
    own = load_pyproject(home).get("tool", {}).get(TABLE, {})
    _check_twice(cells(matrix))
    return replace(matrix, projects=(Project(str(home), table=own), *projects))


def _read(path: Path) -> dict[str, Any]:
    try:
        with open_plain(path) as file:
            data: dict[str, Any] = tomllib.load(file)
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be read: {error.strerror}",
            "a matrix file is needed",
            "python -m mamba_build_backend matrix FILE",
        ) from None
    except TOML as error:
        raise SettingsError(f"{path} is not valid TOML: {why(error)}", "fix that line") from None
    return data


def _check_keys(given: Mapping[str, Any], known: Sequence[str], where: str, spell: Callable[[str], str]) -> None:
    for key in given:
        if key not in known:
            close = difflib.get_close_matches(key.replace("_", "-"), known, 1, 0.5)
            needed = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(known)}"
            raise SettingsError(f"unknown key {key!r} in {where}", needed, spell(close[0]) if close else ())


def _table(data: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    value = data.get(key, {})
    if not isinstance(value, dict):
        raise SettingsError(f"{key} in {where} is {_kind(value)}", "a table is needed", f"[{key}]   on its own line")
    return value


def _tables(data: Mapping[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    value = data.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        found = "a single table" if isinstance(value, dict) else _kind(value)
        raise SettingsError(
            f"{key} in {where} is {found}", "an array of tables is needed", f"[[{key}]]   with two brackets"
        )
    return value


def _kind(value: Any) -> str:
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "a table",
    }
    return names.get(type(value), f"a {type(value).__name__}")


def _spelt(value: Any) -> str:
    """Format a value as TOML; the JSON form of these values is valid TOML."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _axes(table: Mapping[str, Any], where: str, base: Path) -> tuple[tuple[str, tuple[str, ...]], ...]:
    _check_keys(table, AXES, f"[axes] of {where}", lambda key: f"{key} = {_spelt([_EXAMPLES[key]])}")
    out = []
    for name in AXES:
        if name not in table:
            if name in NEEDED and table:
                raise SettingsError(
                    f"[axes] of {where} has no {name}",
                    f"{', '.join(NEEDED)} are needed",
                    f"{name} = {_spelt([_EXAMPLES[name]])}",
                )
            continue
        values = table[name]
        if not isinstance(values, list):
            raise SettingsError(f"axes.{name} is {_kind(values)}", "a list is needed", f"{name} = {_spelt([values])}")
        if not values:
            raise SettingsError(
                f"axes.{name} is empty", "the matrix would have no cells", f"{name} = {_spelt([_EXAMPLES[name]])}"
            )
        read = tuple(_value(name, item, f"axes.{name}", base) for item in values)
        for item in read:
            if read.count(item) > 1:
                once = [given for index, given in enumerate(values) if read[index] not in read[:index]]
                raise SettingsError(f"axes.{name} has {item!r} twice", "once is enough", f"{name} = {_spelt(once)}")
        out.append((name, read))
    return tuple(out)


def _value(axis: str, value: Any, where: str, base: Path) -> str:
    """Check one value of an axis. Raises SettingsError."""
    example = f"{axis} = {_spelt([_EXAMPLES[axis]] if where.startswith('axes') else _EXAMPLES[axis])}"
    if isinstance(value, float):
        raise SettingsError(
            f"{where}: {value} is a number", "a version must be a string: TOML reads 3.10 as 3.1", example
        )
    if not isinstance(value, str):
        raise SettingsError(f"{where}: {_spelt(value)} is {_kind(value)}", "a string is needed", example)
    if axis == "upstream":
        return _upstream(value, where, base)
    if axis == "cxx11abi":
        if value.upper() not in ("TRUE", "FALSE"):
            raise SettingsError(f"{where}: {value!r} is neither TRUE nor FALSE", "one of the two is needed", example)
        return value.upper()
    if not re.fullmatch(r"[1-9]\d?\.\d{1,2}", value):
        near = re.match(r"(?:cu|cp)?(\d+\.\d{1,2})\.", value) or re.fullmatch(r"(?:cu(\d\d)|cp(3))(\d{1,2})", value)
        close = ".".join(part for part in near.groups() if part) if near else _EXAMPLES[axis]
        raise SettingsError(
            f"{where}: {value!r} is not a minor version of {'CUDA' if axis == 'cuda' else axis.replace('python', 'Python')}",
            f"a version such as {_EXAMPLES[axis]} is needed",
            f"{axis} = {_spelt([close] if where.startswith('axes') else close)}",
        )
    return value


def _upstream(text: str, where: str, base: Path) -> str:
    """Return ``PROJECT==VERSION``, normalised, or an absolute folder. Raises SettingsError."""
    if text.startswith((".", "~")) or os.sep in text:
        return os.path.normpath(base / os.path.expanduser(text))
    match = re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:==([^=<>!~;,\s]+))?", text)
    if match is None or (match[2] and not is_version(match[2])):
        raise SettingsError(
            f"{where}: {text!r} is not PROJECT==VERSION",
            "one exact version is needed, or the folder of a project that vendors the backend",
            f'upstream = ["{default_project()}==2.3.0", "./my-extension"]',
        )
    name = utils.canonicalize_name(match[1]).removesuffix("-portable")
    return f"{name}=={match[2]}" if match[2] else name


def _settings(table: Any, where: str, base: Path) -> tuple[tuple[str, str], ...]:
    if not isinstance(table, dict):
        raise SettingsError(f"{where} is {_kind(table)}", "a table is needed", 'settings = { arch = "8.0" }')
    keys = known_keys()
    out = []
    _check_keys(table, [*keys], where, lambda key: f"{key} = …   under {where}")
    for key, raw in table.items():
        if key in _TAKEN:
            raise SettingsError(
                f"{where} has {key!r}", f"the axis {_TAKEN[key]} sets it", f"{_TAKEN[key]} = […]   under [axes]"
            )
        try:
            keys[key].parse(key, raw)
        except SettingsError as error:
            problem = error.problems[0]
            ways = tuple(re.sub(rf"^-C {key}=(.*)$", rf'{key} = "\1"   under {where}', way) for way in problem.fix)
            raise SettingsError(f"{where}: {problem.found}", problem.needed, ways) from None
        text = as_text(key, raw)
        if key in PATHS and os.sep in text:
            text = os.path.normpath(base / os.path.expanduser(text))
        out.append((key, text))
    return tuple(out)


def _excluded(
    data: Mapping[str, Any], axes: Mapping[str, Any], where: str, base: Path
) -> Iterator[tuple[tuple[str, str], ...]]:
    for number, rule in enumerate(_tables(data, "exclude", where), 1):
        title = f"[[exclude]] {number}"
        _check_keys(rule, AXES, f"{title} of {where}", lambda key: f"{key} = {_spelt(_EXAMPLES[key])}")
        if not rule:
            raise SettingsError(f"{title} is empty", "it would exclude every cell", f'torch = "{_EXAMPLES["torch"]}"')
        for key in rule:
            if key not in axes:
                raise SettingsError(
                    f"{title} names {key}, but [axes] does not",
                    "this rule would never match",
                    f"{key} = {_spelt([rule[key]])}   under [axes]",
                )
        yield tuple((key, _value(key, value, title, base)) for key, value in rule.items())


def _included(data: Mapping[str, Any], where: str, base: Path) -> Iterator[Cell]:
    for number, item in enumerate(_tables(data, "include", where), 1):
        title = f"[[include]] {number}"
        _check_keys(
            item, (*AXES, "settings"), f"{title} of {where}", lambda key: f"{key} = {_spelt(_EXAMPLES.get(key, {}))}"
        )
        for key in NEEDED:
            if key not in item:
                raise SettingsError(
                    f"{title} has no {key}",
                    "an [[include]] must be a complete cell",
                    f"{key} = {_spelt(_EXAMPLES[key])}",
                )
        values: dict[str, Any] = {key: _value(key, item[key], title, base) for key in AXES if key in item}
        yield Cell(**values, settings=_settings(item.get("settings", {}), f"settings of {title}", base))


def _environments(table: Mapping[str, Any], base: Path) -> tuple[tuple[str, str], ...]:
    out = []
    for key, value in table.items():
        way = f'"{key}" = "/path/to/bin/python"'
        if not re.fullmatch(r"\d\.\d{1,2}-\d\.\d{1,2}(-\d{1,2}\.\d)?", key):
            raise SettingsError(
                f"[environments] has {key!r}",
                "the form is PYTHON-TORCH or PYTHON-TORCH-CUDA",
                '"3.11-2.11" = "/path/to/bin/python"',
            )
        if not isinstance(value, str) or not value:
            raise SettingsError(f"environments.{key} is {_kind(value)}", "the path of a Python is needed", way)
        path = os.path.expanduser(value)
        # Do not resolve links: the python of a virtual environment is a link, and Python finds the environment through
        # it.
        out.append((key, os.path.normpath(base / path) if os.sep in path else find_program(path, os.environ) or path))
    return tuple(out)


def _project(folder: Path) -> Project:
    """Read a project that vendors the backend. Raises SettingsError if it does not."""
    if not is_file(folder / "pyproject.toml"):
        raise SettingsError(
            f"upstream: {folder} {'has no pyproject.toml' if is_dir(folder) else 'does not exist'}",
            "the folder of a project that vendors the backend is needed, relative to the matrix file",
            'upstream = ["./my-extension"]',
        )
    data = load_pyproject(folder)
    system = data.get("build-system", {})
    if system.get("build-backend") != BACKEND and not system.get("backend-path"):
        raise SettingsError(
            f"upstream: the build-backend of {folder} is {system.get('build-backend') or 'setuptools, the default'}",
            f"the project must contain a copy of {BACKEND} and name it in pyproject.toml",
            f'build-backend = "{BACKEND}" and backend-path = ["."]   under [build-system]',
        )
    own = data.get("project", {})
    name = utils.canonicalize_name(str(own.get("name") or folder.name))
    return Project(str(folder), name, str(own.get("version", "")), data.get("tool", {}).get(TABLE, {}))


def _check_twice(every: Sequence[Cell]) -> None:
    seen: set[tuple[str, ...]] = set()
    for cell in every:
        if cell.values in seen:
            named = ", ".join(f"{key} {value}" for key, value in zip(AXES, cell.values) if value)
            raise SettingsError(
                f"the cell {named} occurs twice",
                "an [[include]] adds a cell to those of the axes",
                f'[[exclude]]   with upstream = "{cell.upstream}", python = "{cell.python}", torch = "{cell.torch}", or no [[include]]',
            )
        seen.add(cell.values)
