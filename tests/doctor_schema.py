"""The JSON Schema of what ``doctor --json`` prints, made from the types themselves (needs Python 3.10).

``mamba_build_backend/schemas/doctor-2.json`` is its output; a test keeps the two equal.
"""

from __future__ import annotations

import types
import typing
from dataclasses import fields
from enum import Enum
from typing import Any

from mamba_build_backend.plan.doctor_json import SCHEMA, DoctorReport


def doctor_schema() -> dict[str, Any]:
    """The whole schema."""
    definitions: dict[str, Any] = {}
    whole = _object(DoctorReport, definitions, {})
    whole["properties"]["schema"] = {"const": SCHEMA}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mamba_build_backend doctor --json",
        **whole,
        "$defs": dict(sorted(definitions.items())),
    }


_PLAIN = {str: "string", int: "integer", bool: "boolean", type(None): "null"}


def _schema(kind: Any, definitions: dict[str, Any], variables: dict[Any, Any]) -> dict[str, Any]:
    kind = variables.get(kind, kind)
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [item.value for item in kind]}
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema(item, definitions, variables) for item in arguments]}
    if origin is tuple and arguments[-1] is Ellipsis:
        return {"type": "array", "items": _schema(arguments[0], definitions, variables)}
    if origin is tuple:
        items = [_schema(item, definitions, variables) for item in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    generic: Any = origin if origin is not None else kind
    if origin is not None:  # Decision[…]: one definition for each thing chosen
        return _object(generic, definitions, dict(zip(generic.__parameters__, arguments, strict=True)))
    if generic.__name__ not in definitions:
        definitions[generic.__name__] = {}  # taken, should it hold itself
        definitions[generic.__name__] = _object(generic, definitions, {})
    return {"$ref": f"#/$defs/{generic.__name__}"}


def _object(kind: Any, definitions: dict[str, Any], variables: dict[Any, Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    properties = {item.name: _schema(hints[item.name], definitions, variables) for item in fields(kind)}
    return {
        "type": "object",
        "description": (kind.__doc__ or "").strip().splitlines()[0],
        "required": list(properties),
        "additionalProperties": False,
        "properties": properties,
    }
