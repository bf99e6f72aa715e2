"""Which headers and names of torch C++ and CUDA sources use. The sources are read, not compiled."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ..tables.forks import CUDA, CXX

NO_CODE = re.compile(rb"""//[^\n]*|/\*.*?\*/|R"\((?:.*?)\)"|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])'""", re.DOTALL)
"""Comments and string literals."""
_HEADER = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*[<"]((?:ATen|c10|torch|pybind11)/[^>"\n]+)[>"]', re.MULTILINE)
_DEFINED = re.compile(rb"^[ \t]*#[ \t]*define[ \t]+(\w+)", re.MULTILINE)
_EVERYWHERE = (
    re.compile(rb"\b(?:at|torch|c10|pybind11|py)::[A-Za-z_][\w:]*"),
    re.compile(rb"\b(?:AT|TORCH|C10|PYBIND11)_[A-Z0-9_]+\b"),
    re.compile(rb"\busing[ \t]+namespace[ \t]+(?:at|torch|c10|pybind11)\b"),
)
_METHOD = re.compile(rb"(?:\.|->)\s*(?:template\s+)?([A-Za-z_]\w*)\s*(?:<[^<>;()]*>)?\s*\(")
_CONVERTED = re.compile(
    rb"\bstd::(?:array|complex|function|map|pair|set|string|string_view|tuple|unordered_map|variant)\b"
)
"""Types that pybind11 converts from and to Python objects."""
_OTHER_VECTOR = re.compile(rb"\bstd::vector<\s*(?!(?:at|torch)::Tensor\s*>)[^<>]*>\s*&?\s*\w+\s*[,)]")
"""A parameter that is a list of anything but tensors."""
_LAMBDA = re.compile(rb"\bdef\s*\(\s*,\s*\[")


def torch_headers(read: Mapping[str, bytes]) -> tuple[str, ...]:
    """The headers of torch and pybind11 that the C++ and CUDA files in ``read`` (contents by path) include."""
    found = {match for _, data in _compiled(read) for match in _HEADER.findall(data)}
    return tuple(sorted(match.decode("utf-8", "replace") for match in found))


def torch_names(read: Mapping[str, bytes]) -> tuple[str, ...]:
    """The torch names in them; for C++ files also every called method (``.view``), and types that pybind11 converts."""
    code = {name: NO_CODE.sub(b" ", data) for name, data in _compiled(read)}
    own = {match for data in code.values() for match in _DEFINED.findall(data)}
    found = {match for data in code.values() for pattern in _EVERYWHERE for match in pattern.findall(data)}
    for name, data in code.items():
        if name.endswith(".cpp"):
            found |= {b"." + match for match in _METHOD.findall(data)} | set(_CONVERTED.findall(data))
            found |= {b"std::vector of other things than tensors"} if _OTHER_VECTOR.search(data) else set()
            found |= {b"m.def of a lambda"} if _LAMBDA.search(data) else set()
    return tuple(sorted(match.decode("utf-8", "replace") for match in found - own))


def _compiled(read: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    return ((name, data) for name, data in read.items() if name.endswith((*CUDA, *CXX)))
