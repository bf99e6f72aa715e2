"""The fenced blocks of the README and of docs/, each with a note above it for the test that runs it.

``<!-- run: here -->``  commands that compile nothing, run unchanged in this checkout (``exit=3``: with that exit code)

``<!-- run: tiny -->``  commands that build: run in a copy of a project of two files, in an environment with torch

``<!-- run: mamba -->`` commands that build or use mamba-ssm, as the end-to-end tests do; here each must parse

``<!-- run: project -->`` commands of docs/add-a-project.md, for tests/e2e/test_third_project.py in a copy

``<!-- run: toml -->``  data: toml, yaml, python must be valid; runs ``python``, too (``python mamba``: compiles it)

``<!-- run: told -->``  commands of tables/failure_words.toml, for the shells of test_told_everywhere.py

``<!-- run: text -->``  output of a program, and other untyped text (``quoted``: lines that the block above prints)

A block of ``console`` has prompts and may show output. A block of ``bash`` has only commands, to be pasted.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from support import ROOT

PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("manylinux/*.md"), *ROOT.glob("distributions/*/*.md")]
)
FENCE = re.compile(r"^( *)(```+)([\w-]*)[^\n]*\n(.*?)^\1\2 *$", re.MULTILINE | re.DOTALL)
_NOTE = re.compile(r"<!-- run: ([^>]*?) *-->\s*\Z")


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    world: str
    """The first word of its note; empty where it has none."""
    options: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The commands without their comments: each line of ``bash``, otherwise the lines after a prompt."""
        lines = re.sub(r"\\\n\s*(?:> )?", "", self.text).splitlines()
        if self.language == "bash":
            typed = [line for line in lines if line and not line.startswith("#")]
        else:
            typed = [line[2:] for line in lines if line.startswith("$ ")]
        return [re.split(r"\s{2,}#|\s#\s", line)[0].strip() for line in typed]


@functools.cache
def blocks(page: Path | str) -> list[Block]:
    path = ROOT / page
    return parsed(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))


def parsed(name: str, text: str) -> list[Block]:
    """The blocks of a page of that name."""
    found = []
    for match in FENCE.finditer(text):
        before = text[: match.start()]
        note = _NOTE.search(before)
        world, *options = note[1].split() if note else [""]
        body = "\n".join(line[len(match[1]) :] for line in match[4].splitlines()) + "\n"
        found.append(Block(name, before.count("\n") + 1, match[3], world, tuple(options), body))
    return found


def all_blocks(*worlds: str) -> list[Block]:
    found = [block for page in PAGES for block in blocks(page)]
    return [block for block in found if not worlds or block.world in worlds]


def distinct(found: list[Block]) -> list[Block]:
    """Without the blocks that another page has word for word, as a translation does."""
    seen: dict[tuple[str, tuple[str, ...], str], Block] = {}
    for block in found:
        seen.setdefault((block.world, block.options, block.text), block)
    return list(seen.values())
