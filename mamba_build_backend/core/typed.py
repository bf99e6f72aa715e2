"""Load plain data (JSON or TOML) into frozen dataclasses: one loader for all files that the backend reads."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, field, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any


class Word(str, Enum):
    """One of a few words; in JSON and in text, the word itself."""

    __str__ = str.__str__


def sourced(default: Any, key: str = "") -> Any:
    """A field of a table row that needs a source under ``key``: for ``numpy``, by default ``numpy-source``."""
    return field(default=default, metadata={"sourced": key or True})


def load(kind: Any, data: Any, where: str) -> Any:
    """``data`` as ``kind``: a dataclass, ``tuple[X, ...]``, ``tuple[X, Y]``, ``Optional[X]``, enum, str, int or bool.

    ``where`` names the place in errors. Raises ValueError for a missing field, an unknown one or a value of another
    type.
    """
    return _Loader(toml=False).load(kind, data, where)


def load_row(kind: Any, data: Any, where: str) -> Any:
    """:func:`load` for a TOML table, whose keys have ``-`` where fields have ``_``.

    A table of strings is loaded as pairs, a list as a dataclass's fields in order. Keys that end in ``source`` tell a
    reader where a value comes from: they are not loaded, and a class lists the required ones in ``SOURCES``. Raises
    ValueError.
    """
    return _Loader(toml=True).load(kind, data, where)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    """A class's types, computed once: the 200 table rows have 15 classes."""
    return typing.get_type_hints(kind)


class _Loader:
    def __init__(self, *, toml: bool) -> None:
        self._toml = toml

    def load(self, kind: Any, data: Any, where: str) -> Any:
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if is_dataclass(kind) and isinstance(kind, type):
            return data if isinstance(data, kind) else self._record(kind, data, where)
        if origin is tuple:
            return self._tuple(arguments, data, where)
        if origin is typing.Union:  # Optional[…], the only union here
            inner = next(item for item in arguments if item is not type(None))
            return None if data is None else self.load(inner, data, where)
        if issubclass(kind, Enum):
            words = [item.value for item in kind]
            if data not in words:
                raise ValueError(f"{where}: {data!r} is not one of {', '.join(map(repr, words))}")
            return kind(data)
        if not isinstance(data, kind) or (kind is int and isinstance(data, bool)):
            raise ValueError(f"{where}: {data!r} is not of type {kind.__name__}")
        return data

    def _tuple(self, arguments: tuple[Any, ...], data: Any, where: str) -> tuple[Any, ...]:
        if self._toml and isinstance(data, Mapping):
            data = list(data.items())
        if not isinstance(data, (list, tuple)):
            raise ValueError(f"{where}: a list is needed")  # noqa: TRY004 - the file is wrong, not the code
        kinds = [arguments[0]] * len(data) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(data):
            raise ValueError(f"{where}: {len(kinds)} items are needed")
        return tuple(self.load(kind, value, f"{where}[{n}]") for n, (kind, value) in enumerate(zip(kinds, data)))

    def _record(self, kind: Any, data: Any, where: str) -> Any:
        items = {self._spelt(item.name): item for item in fields(kind)}
        if self._toml and isinstance(data, list):
            data = dict(zip(items, data))
        if not isinstance(data, Mapping):
            raise ValueError(f"{where}: an object is needed")  # noqa: TRY004 - as above
        sources = getattr(kind, "SOURCES", ())
        values = {key: value for key, value in data.items() if key in items or not self._is_source(key, sources)}
        wrong = [f"has no {key!r}" for key in self._lacking(kind, items, data)]
        wrong += [f"unknown field {key!r}" for key in sorted(set(values) - set(items))]
        if wrong:
            raise ValueError(f"{where}: {', '.join(wrong)}")
        hints = _hints(kind)
        loaded = {
            items[key].name: self.load(hints[items[key].name], value, f"{where}.{key}") for key, value in values.items()
        }
        return kind(**loaded)

    def _lacking(self, kind: Any, items: Mapping[str, Field[Any]], data: Mapping[str, Any]) -> list[str]:
        needed = [key for key, item in items.items() if item.default is MISSING and item.default_factory is MISSING]
        if not self._toml:
            return [key for key in needed if key not in data]
        needed += getattr(kind, "SOURCES", ())
        for key, item in items.items():
            if (source := item.metadata.get("sourced")) and data.get(key):
                needed.append(f"{key}-source" if source is True else source)
        return [key for key in needed if data.get(key) in (None, "", [])]

    def _spelt(self, name: str) -> str:
        return name.replace("_", "-") if self._toml else name

    def _is_source(self, key: str, named: Sequence[str]) -> bool:
        return self._toml and (key == "source" or key.endswith("-source") or key in named)
