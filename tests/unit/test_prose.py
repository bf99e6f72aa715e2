"""The style of the project's prose: each rule finds its kind, and the reader of a file finds the prose in it."""

from __future__ import annotations

import pytest
from support import ROOT

pytest.importorskip("proselint", reason="lacks proselint, which needs Python 3.10 (python tests/run.py installs it)")
pytest.importorskip("markdown_it")

import prose
import prose_passages


def found(text: str, kind: str = "markdown") -> set[str]:
    return {one.rule for one in prose.findings_in("\n".join(prose_passages.passages(text, kind)), "x")}


RULES = {rule.id: rule for rule in prose.rules()}


@pytest.mark.parametrize(("rule", "sentence"), [(rule.id, bad) for rule in RULES.values() for bad in rule.bad])
def test_rule_finds_its_bad_sentence(rule, sentence):
    assert rule in found(sentence)


@pytest.mark.parametrize(("rule", "sentence"), [(rule.id, good) for rule in RULES.values() for good in rule.good])
def test_rule_passes_its_good_sentence(rule, sentence):
    assert rule not in found(sentence)


def test_rules_are_whole():
    assert len(RULES) == len(prose.rules())
    for rule in RULES.values():
        assert rule.bad and rule.good and rule.better, rule.id


def test_examples_are_whole():
    assert len(prose.examples()) == 48
    assert all(example["text"] and example["plain"] for example in prose.examples())


@pytest.mark.parametrize("example", prose.examples(), ids=lambda example: example["text"][:40])
def test_example_is_found_by_its_words_and_by_a_rule_of_its_kind(example):
    rules = found(example["text"])
    assert "example" in rules
    assert rules - {"example"} or example.get("no-rule"), "no rule finds this kind"


@pytest.mark.parametrize("example", prose.examples(), ids=lambda example: example["text"][:40])
def test_plain_sentence_passes(example):
    assert not found(example["plain"])


SENTENCE = "The build needs packaging alone."


@pytest.mark.parametrize(
    ("kind", "text", "line"),
    [
        ("markdown", f"# Title\n\n{SENTENCE}\n", 3),
        ("markdown", f"| a | b |\n|---|---|\n| c | d |\n| e | {SENTENCE} |\n", 4),
        ("markdown", f"- one\n- two\n  {SENTENCE}\n", 3),
        ("markdown", "The build needs\npackaging\nalone.\n", 3),
        ("python", f'def f():\n    """Do it.\n\n    {SENTENCE}\n    """\n', 4),
        ("python", f"x = 1\n\n# {SENTENCE}\n", 3),
        ("python", f"x = 1\ny = 2  # {SENTENCE}\n", 2),
        ("python", f'class A:\n    x: int\n    """{SENTENCE}"""\n', 3),
        ("backend", f"raise Wrong('{SENTENCE}')\n", 1),
        ("backend", 'raise Wrong(\n    "the build of this project needs "\n    f"{name} alone"\n)\n', 3),
        ("toml", f'[[words]]\ncause = "{SENTENCE}"\n', 2),
        ("toml", f'fix = [\n  {{ run = "pip", why = "{SENTENCE}" }},\n]\n', 2),
        ("toml", f"# one\n# {SENTENCE}\n", 2),
        ("report", f"torch 2.8\n\nnote: {SENTENCE}\n", 3),
    ],
)
def test_finding_has_the_line_of_its_file(kind, text, line):
    findings = prose.findings_in("\n".join(prose_passages.passages(text, kind)), "x")
    assert [(one.rule, one.line) for one in findings] == [("alone", line)]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("markdown", "```console\n$ run alone\n```\n"),
        ("markdown", "It prints `this line alone` then ends.\n"),
        ("markdown", 'pip prints "this line alone" then ends.\n'),
        ("markdown", "<!-- run: alone -->\n"),
        ("python", "x = 'the build needs packaging alone'\n"),
        ("python", '"""Do it.\n\n    $ run alone\n"""\n'),
        ("backend", "x = 'alone'\n"),
        ("backend", "x = re.compile(r'the build needs (?:packaging )+alone$')\n"),
        ("toml", f'pattern = "{SENTENCE}"\n'),
        ("report", "  fix:  python -m pip install alone\n"),
    ],
)
def test_what_is_no_prose_is_left_out(kind, text):
    assert not found(text, kind)


def test_two_passages_are_two_sentences():
    assert "what-first" not in found("- what\n- they can be built\n")
    assert "long-sentence" not in found("word " * 30 + "\n\n" + "word " * 30)
    assert "long-sentence" in found("word " * 41)


def test_every_part_of_the_project_is_read():
    names = {path.relative_to(ROOT).as_posix(): kind for path, kind in prose_passages.files()}
    wanted = {
        "README.md": "markdown",
        "CHANGELOG.md": "markdown",
        "CONTRIBUTING.md": "markdown",
        "benchmarks/README.md": "markdown",
        "docs/troubleshooting.md": "markdown",
        "mamba_build_backend/plan/assemble.py": "backend",
        "mamba_build_backend/tables/failure_words.toml": "toml",
        "mamba_build_backend/projects/mamba-ssm/project.toml": "toml",
        "patches/series.toml": "toml",
        "tests/unit/test_prose.py": "python",
        "tests/reasons.txt": "report",
        "tests/facts/colab-t4.txt": "report",
    }
    assert wanted.items() <= names.items()
    assert not [name for name in names if name.startswith(("docs/zh/", "tests/logs/", "tests/vendored/"))]


def test_counts_only_fall(tmp_path, monkeypatch, capsys):
    finding = prose.Finding("README.md", 1, "alone", "only", "alone")
    monkeypatch.setattr(prose, "LEFT", tmp_path / "left.json")
    monkeypatch.setattr(prose, "all_findings", lambda: iter([finding, finding]))
    monkeypatch.setattr("sys.argv", ["prose.py", "--lower"])
    assert prose.main() == 0
    monkeypatch.setattr("sys.argv", ["prose.py"])
    assert prose.main() == 0
    monkeypatch.setattr(prose, "all_findings", lambda: iter([finding] * 3))
    assert prose.main() == 1
    assert "README.md:1: alone: only" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["prose.py", "--lower"])
    assert prose.main() == 1
    monkeypatch.setattr(prose, "all_findings", lambda: iter([finding]))
    assert prose.main() == 0
    assert prose.LEFT.read_text() == '{\n "README.md: alone": 1\n}\n'
