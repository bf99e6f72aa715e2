"""Checks the project's prose: ``python tests/prose.py`` prints ``file:line: rule: better words`` for each finding.

proselint runs the rules of ``tests/prose.toml``. ``prose_passages.py`` finds the prose of a file.
``tests/prose_left.json`` has the number of known findings for each rule and part of the project; a higher number is an
error. ``--lower`` writes the numbers anew and never raises one. ``--all`` prints known findings too. Arguments limit
the output to files or folders.
"""

from __future__ import annotations

import argparse
import functools
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tomli
from prose_passages import END, ROOT, files, passages, plain
from proselint.registry import CheckRegistry
from proselint.registry.checks import Check, CheckFlags, CheckResult
from proselint.registry.checks.engine import Fancy, Fast
from proselint.registry.checks.types import ExistenceSimple
from proselint.tools import LintFile

RULES = ROOT / "tests" / "prose.toml"
EXAMPLES = ROOT / "tests" / "words.toml"
LEFT = ROOT / "tests" / "prose_left.json"
LONGEST_LINE = 120
LONGEST_SENTENCE = 40  # words

_SENTENCE = re.compile(rf"(?:[^{END}.!?]|[.!?](?!\s|[{END}]|$))+[.!?]?(?:[\"')]*)")
_WORD = re.compile(r"[^\W\d_][\w'’-]*")


@dataclass(frozen=True)
class Rule:
    id: str
    patterns: tuple[str, ...]
    better: str
    bad: tuple[str, ...]
    good: tuple[str, ...]
    starts: bool
    """Whether a pattern is for the start of a sentence."""

    def checks(self) -> tuple[Check, ...]:
        flags, path = CheckFlags(allow_quotes=True), f"house.{self.id}"
        if self.starts:
            find = functools.partial(_at_starts, [re.compile(pattern) for pattern in self.patterns])
            return (Check(check_type=find, path=path, message=self.better, flags=flags),)
        return tuple(
            Check(
                check_type=ExistenceSimple(pattern),
                engine=Fancy() if "(?<" in pattern or "(?=" in pattern or "(?!" in pattern else Fast(),
                path=path,
                message=self.better,
                flags=flags,
            )
            for pattern in self.patterns
        )


@dataclass(frozen=True)
class Finding:
    path: str
    line: int
    rule: str
    better: str
    words: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.better} ({self.words!r})"

    @property
    def key(self) -> str:
        """The count that it belongs to: a part of the project and a rule."""
        if self.path.endswith(".txt"):
            return f"reports: {self.rule}"
        first, _, rest = self.path.partition("/")
        part = (
            f"{first}/{rest.partition('/')[0]}" if first in ("mamba_build_backend", "tests") and "/" in rest else first
        )
        return f"{part}: {self.rule}"


@functools.cache
def rules() -> tuple[Rule, ...]:
    rows = tomli.loads(RULES.read_text(encoding="utf-8"))["rule"]
    return tuple(
        Rule(
            row["id"], tuple(row["patterns"]), row["better"], tuple(row["bad"]), tuple(row["good"]),
            row.get("starts", False),
        )
        for row in rows
    )  # fmt: skip


@functools.cache
def examples() -> tuple[dict[str, str], ...]:
    """Sentences that readers had to read twice, each with a plain one."""
    return tuple(tomli.loads(EXAMPLES.read_text(encoding="utf-8"))["example"])


def pieces(sentence: str) -> list[str]:
    """An example as a file can hold it: without marks, in one line; ``…`` means that words are missing."""
    return [piece for part in sentence.split("…") if len(piece := " ".join(plain(part).split()).strip(" .;:,()")) > 12]


def _at_starts(patterns: list[re.Pattern[str]], text: str, check: Check) -> Iterator[CheckResult]:
    for start, sentence in _sentences(text):
        for pattern in patterns:
            if match := pattern.match(sentence):
                yield CheckResult(check.path, check.message, (start, start + match.end()), None)
                break


def _too_long(text: str, check: Check) -> Iterator[CheckResult]:
    for start, sentence in _sentences(text):
        if len(_WORD.findall(sentence)) > LONGEST_SENTENCE:
            yield CheckResult(check.path, check.message, (start, start + 60), None)


def _known_example(text: str, check: Check) -> Iterator[CheckResult]:
    folded = " ".join(text.split())
    for piece in _all_pieces():
        # Where it begins: its words, with any blanks between them.
        if piece in folded and (match := re.search(r"\s+".join(map(re.escape, piece.split())), text)):
            yield CheckResult(check.path, check.message, match.span(), None)


@functools.cache
def _all_pieces() -> tuple[str, ...]:
    return tuple(piece for example in examples() for piece in pieces(example["text"]))


@functools.lru_cache(maxsize=2)
def _sentences(text: str) -> tuple[tuple[int, str], ...]:
    found = []
    for match in _SENTENCE.finditer(text):
        sentence = match[0]
        blanks = len(sentence) - len(sentence.lstrip())
        if sentence.strip():
            found.append((match.start() + blanks, sentence.strip()))
    return tuple(found)


@functools.cache
def _registry() -> CheckRegistry:
    registry = CheckRegistry()
    allow = CheckFlags(allow_quotes=True)
    registry.register_many(tuple(check for rule in rules() for check in rule.checks()))
    long = f"at most {LONGEST_SENTENCE} words: make two sentences"
    registry.register(Check(check_type=_too_long, path="house.long-sentence", message=long, flags=allow))
    known = "an example of tests/words.toml, which has a plain sentence for it"
    registry.register(Check(check_type=_known_example, path="house.example", message=known, flags=allow))
    return registry


def findings_in(text: str, path: str) -> list[Finding]:
    """The findings of all rules in prose; ``text`` is what ``passages`` gives, a line for each line of the file."""
    if not text.strip():
        return []
    _registry()
    linted = LintFile(path, text).lint({"max_errors": 100_000, "checks": {"house": True}})
    found = []
    for result in linted:
        begin, end = result.check_result.span
        whole = f"\n{text}\n"
        while begin < end - 1 and whole[begin] in f" \n:;,(.{END}":
            begin += 1
        begin = max(whole.rfind(" ", 0, begin), whole.rfind("\n", 0, begin)) + 1 if whole[begin] == "'" else begin
        words = " ".join(whole[begin : max(end, begin + 60)].partition(END)[0].split())[:70]
        rule = result.check_result.check_path.removeprefix("house.")
        found.append(
            Finding(path, text.count("\n", 0, max(begin - 1, 0)) + 1, rule, result.check_result.message, words)
        )
    return found


def all_findings() -> Iterator[Finding]:
    seen: set[tuple[str, str]] = set()
    for path, kind in files():
        name = path.relative_to(ROOT).as_posix()
        source = path.read_text(encoding="utf-8")
        prose = passages(source, kind)
        found = findings_in("\n".join(prose), name)
        if kind == "report":
            # Reports share their sentences: each is counted once, and a report has lines and no sentences.
            found = [one for one in found if one.rule != "long-sentence" and (one.rule, one.words) not in seen]
            seen.update((one.rule, one.words) for one in found)
        yield from found
        if kind in ("python", "backend"):
            for number, (line, words) in enumerate(zip(source.splitlines(), prose), 1):
                if len(line) > LONGEST_LINE and words.strip():
                    yield Finding(name, number, "long-line", f"at most {LONGEST_LINE} columns", line.strip()[:40])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="print known findings too")
    parser.add_argument("--lower", action="store_true", help=f"write {LEFT.name} anew; counts fall and never rise")
    parser.add_argument("names", nargs="*", help="print all findings of these files or folders")
    options = parser.parse_args()
    found = list(all_findings())
    counts = Counter(one.key for one in found)
    first = options.lower and not LEFT.exists()
    left = counts if first else Counter(json.loads(LEFT.read_text(encoding="utf-8")) if LEFT.exists() else {})
    more = {key for key, number in counts.items() if number > left[key]}
    for one in found:
        named = any(Path(one.path).is_relative_to(name) for name in options.names)
        if named or (not options.names and (options.all or one.key in more)):
            print(one)
    for key in sorted(more):
        print(f"{key}: {counts[key]} findings, {LEFT.name} allows {left[key]}")
    if options.lower:
        LEFT.write_text(json.dumps(dict(sorted((left & counts).items())), indent=1) + "\n", encoding="utf-8")
    elif fewer := (left - counts).total():
        print(f"{fewer} fewer findings than {LEFT.name} allows; write it anew: python tests/prose.py --lower")
    return 1 if more else 0


if __name__ == "__main__":
    sys.exit(main())
