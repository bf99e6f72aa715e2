"""Every sentence that a user sees may be reworded: no decision depends on a sentence.

The test loads the packages that decide a second time, with each of their sentences replaced, and plans for every
recorded machine, whose own sentences are replaced too. The decisions have to be the same.
"""

import ast
import importlib.util
import json
import re
import sys
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

import mamba_build_backend
from mamba_build_backend import plan, tables
from mamba_build_backend.compile import known_failures
from mamba_build_backend.core import settings as core_settings
from mamba_build_backend.core.facts import Facts
from mamba_build_backend.core.settings import load_settings
from mamba_build_backend.probe import recording

RECORDED = sorted((ROOT / "tests/facts").glob("*.json"))
WORDS = (
    "because",
    "why",
    "what",
    "found",
    "needed",
    "fix",
    "found_in",
    "words",
    "warnings",
    "notes",
    "because",
    "problem",
    "cause",
)
"""Names of the fields that are for a person."""


class Reworded(ast.NodeTransformer):
    """Replace every sentence (two words and more) in plain and formatted strings, but no docstring."""

    def visit_Constant(self, node):
        if isinstance(node.value, str) and re.search(r"[a-z]{2,}[ ,:]+[a-z(]", node.value):
            words = re.sub(r"[A-Za-z]", "x", node.value)
            # Braces and formats of str.format stay what they are.
            return ast.copy_location(ast.Constant(_with_braces(node.value, words)), node)
        return node

    def visit_JoinedStr(self, node):
        parts = [part for part in node.values if isinstance(part, ast.Constant)]
        sentence = any(re.search(r"[A-Za-z].* | .*[A-Za-z]", part.value) for part in parts)
        for part in parts if sentence else ():
            part.value = re.sub(r"[A-Za-z]", "x", part.value)
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self.visit(part.value)
        return node

    def visit_Expr(self, node):
        return node if isinstance(node.value, ast.Constant) else self.generic_visit(node)


def _with_braces(text, reworded):
    kept = [match.span() for match in re.finditer(r"\{[^{}]*\}", text)]
    return "".join(
        text[index] if any(start <= index < end for start, end in kept) else letter
        for index, letter in enumerate(reworded)
    )


class Loader(SourceFileLoader):
    def get_code(self, _fullname):
        """From the source each time: bytecode that is kept is of the module as it is, and must stay so."""
        return self.source_to_code(self.get_data(self.path), self.path)

    def source_to_code(self, data, path, *, _optimize=-1):  # type: ignore[override]
        tree = Reworded().visit(ast.parse(data))
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True, optimize=_optimize)


@pytest.fixture(scope="module")
def reworded_plan():
    """The package ``plan``, with other sentences."""
    before = {name: module for name, module in sys.modules.items() if name.startswith("mamba_build_backend.plan")}
    for name in before:
        del sys.modules[name]
    folder = ROOT / "mamba_build_backend" / "plan"

    class Finder:
        def find_spec(self, name, _path=None, _target=None):
            if not name.startswith("mamba_build_backend.plan"):
                return None
            inside = name.split(".")[2:]
            file = folder.joinpath(*inside[:-1], f"{inside[-1]}.py") if inside else folder / "__init__.py"
            locations = None if inside else [str(folder)]
            return importlib.util.spec_from_file_location(
                name, file, loader=Loader(name, str(file)), submodule_search_locations=locations
            )

    finder = Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield importlib.import_module("mamba_build_backend.plan")
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.startswith("mamba_build_backend.plan")]:
            del sys.modules[name]
        sys.modules.update(before)
        mamba_build_backend.plan = plan  # The import of the second copy has set it.


def decided(value):
    """The decisions of a plan, without its sentences."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: decided(getattr(value, item.name)) for item in fields(value) if item.name not in WORDS}
    if isinstance(value, tuple):
        return tuple(decided(item) for item in value)
    return value.value if isinstance(value, Enum) else value


def in_other_words(value, name=""):
    """Facts whose own words are others; a problem stays one."""
    if isinstance(value, dict):
        return {key: in_other_words(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [in_other_words(item, name) for item in value]
    return f"xx {value[::-1]}" if name in ("found_in", "problem", "cores_limit") and value else value


def facts_of(path):
    chosen, facts = recording.load(path, {})
    data = json.loads(json.dumps(recording.to_json(facts)))
    return chosen, facts, recording.from_json(in_other_words(data))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_changed_sentences_change_no_plan(path, reworded_plan):
    chosen, facts, others = facts_of(path)
    one = plan.decide(chosen, facts, tables.load_tables())
    other = reworded_plan.decide(chosen, others, tables.load_tables())
    assert type(one) is not type(other), "the plan of the second package"
    assert decided(one) == decided(other)


def test_sentences_are_really_changed(reworded_plan):
    chosen, facts, others = facts_of(ROOT / "tests/facts/no-gxx-abi-torch.json")
    (one,) = plan.decide(chosen, facts, tables.load_tables()).problems
    (other,) = reworded_plan.decide(chosen, others, tables.load_tables()).problems
    assert one.code == other.code
    assert not set(re.findall(r"[a-wyz]{4,}", one.found)) & set(re.findall(r"[a-wyz]{4,}", other.found))
    assert one.fix != other.fix


def test_origin_of_a_setting_is_not_a_sentence(monkeypatch):
    """The place decides: a variable of torch is weaker than a setting, under any names in a report."""
    given = load_settings({}, {"CUDA_HOME": "/usr/local/cuda"}, None)
    assert given.place("cuda-home") is core_settings.Place.ALIAS
    assert load_settings({"cuda-home": "/x"}, {}, None).place("cuda-home") is core_settings.Place.OPTION


def test_answer_for_our_build_depends_on_a_key_not_on_sentences():
    for failure in known_failures.load_failures():
        for fix in failure.fixes:
            if not fix.elsewhere:
                assert "upstream's own build" not in fix.text, failure.id


def test_facts_name_the_origin_of_each_candidate():
    for path in RECORDED:
        facts = recording.load(path, {})[1]
        assert isinstance(facts, Facts)
        items: list[Any] = [*facts.torches, *facts.toolkits, *facts.compilers, *facts.sysroots]
        for item in items:
            assert item.origin.value != "unknown", (path.name, item.found_in)


def test_plan_code_compares_no_sentences():
    """`==`, `!=`, `in` and startswith with a text of several words."""
    for path in sorted(Path(plan.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                parts = [node.left, *node.comparators]
                texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
                assert not [text for text in texts if " " in text.strip()], f"{path.name}:{node.lineno}"
