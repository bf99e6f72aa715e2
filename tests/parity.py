"""Compare a page with its translation: sections, blocks, figures and inline code."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import snippets

UNITS = {"秒": "s"}
_FIGURE = re.compile(r"(?<![\w.])v?(\d+(?:\.\d+)*)(?:\s*(GB|MB|KB|%|s\b|秒))?", re.ASCII)
_CODE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)")


def sections(text: str) -> list[str]:
    """The page up to its first heading of level 2, and then each such section. A ``##`` in a block does not count."""
    blocks = [match.span() for match in snippets.FENCE.finditer(text)]
    starts = [
        match.start()
        for match in re.finditer(r"^## ", text, re.MULTILINE)
        if not any(first <= match.start() < last for first, last in blocks)
    ]
    return [text[first:last] for first, last in zip([0, *starts], [*starts, len(text)])]


def prose(text: str) -> str:
    """Without blocks, comments and tags, and of links their text only."""
    text = re.sub(r"<!--.*?-->|</?[a-z][a-z0-9]*(?: [^>]*)?>", "", snippets.FENCE.sub("", text), flags=re.DOTALL)
    return re.sub(r"\]\([^)]*\)", "]", text)


def figures(text: str) -> Counter[str]:
    """Numbers and versions with their units, and how often the text has each."""
    return Counter(f"{number} {UNITS.get(unit, unit)}".strip() for number, unit in _FIGURE.findall(text))


def differences(english: str, chinese: str) -> list[str]:
    """The differences of two pages, section by section; empty if both say the same."""
    ours, theirs = sections(english), sections(chinese)
    if len(ours) != len(theirs):
        return [f"{len(ours)} sections in English, {len(theirs)} in Chinese"]
    out = []
    for number, (one, other) in enumerate(zip(ours, theirs)):
        where = one.splitlines()[0] if number else "before the first section"
        out += [f"{where}: {line}" for line in _of_a_section(one, other)]
    return out


def _of_a_section(one: str, other: str) -> list[str]:
    out = []
    for name, left, right in (
        ("headings", Counter(_headings(one)), Counter(_headings(other))),
        ("blocks", Counter(_blocks(one)), Counter(_blocks(other))),
        ("figures", figures(prose(one)), figures(prose(other))),
        ("code", Counter(set(_code(one))), Counter(set(_code(other)))),
    ):
        out += [f"{name}: in English only: {item}" for item in left - right]
        out += [f"{name}: in Chinese only: {item}" for item in right - left]
    if not out and _blocks(one) != _blocks(other):
        out.append("blocks: in another order")
    return out


def _headings(text: str) -> list[str]:
    return re.findall(r"^#+(?= )", snippets.FENCE.sub("", text), re.MULTILINE)


def _blocks(text: str) -> list[Any]:
    return [(block.language, block.world, block.options, block.text) for block in snippets.parsed("", text)]


def _code(text: str) -> list[str]:
    return [code for _, code in _CODE.findall(prose(text))]
