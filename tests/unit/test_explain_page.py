"""The page "Explain a log": what its Python answers, and its words in both languages.

integration/test_browser.py runs the page in Chromium.
"""

import json
import re
import sys

import pytest
import tomllib
from support import ROOT

from mamba_build_backend.core.commands import Here
from mamba_build_backend.core.errors import command_of, ways

sys.path.insert(0, str(ROOT / "docs" / "explain"))
sys.path.insert(0, str(ROOT / "docs" / "templates"))
sys.path.insert(0, str(ROOT / "release"))
import answer
import browser_python
import page_policy

WORDS = (ROOT / "docs" / "explain" / "words.js").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "explain" / "page.js").read_text(encoding="utf-8")
MACHINES = sorted((ROOT / "tests" / "facts").glob("*.json"))[::20]
LOGS = sorted((ROOT / "tests" / "logs").glob("*.txt"))[::20]


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("machine.json", b"", "machine"),
        ("", b' {"schema": 2, "facts": {}}', "machine"),
        ("", b'{"schema": 2, "facts": {', "machine"),
        ("", b"{'facts': ...} could not be built", "log"),
        ("", b"nvcc was not found.", "log"),
        ("build.log", b'{"level": "error"}\n{"level": "error"}', "log"),
        ("", b'{"a": ' + b"[" * 5000, "log"),
    ],
)
def test_a_log_and_a_machines_file_are_told_apart(name, data, kind):
    assert answer.kind_of(name, data) == kind


def test_brackets_in_strings_are_no_levels():
    assert answer.answer("a.json", b'{"facts": "' + b"[" * 5000 + b'"}', 80)["lines"][0][1].startswith(
        "a.json is not a machine"
    )
    assert "nested deeper" in answer.answer("a.json", b'["\\"", ' + b"[" * 5000, 80)["lines"][0][1]


def commands_of(told):
    return [command for _, _, command in told["lines"] if command]


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_each_line_of_a_fix_has_its_command(path):
    told = answer.answer("build.log", path.read_bytes(), 80)
    assert told["mistake"] is False
    labelled = [
        line for style, line, _ in told["lines"] if re.match(r"  (fix|or): ", line) and style in ("command", "")
    ]
    for line in labelled:
        command = next(item for _, text, item in told["lines"] if text == line)
        assert line[8:] == command or line[8:].startswith(f"{command}  # ") or not command, line
    assert commands_of(told)


@pytest.mark.parametrize("path", MACHINES, ids=lambda path: path.stem)
def test_the_report_of_a_machine_has_its_commands(path):
    told = answer.answer(path.name, path.read_bytes(), 80)
    assert (told["kind"], told["mistake"]) == ("machine", False)
    assert all(command in line for _, line, command in told["lines"])
    assert commands_of(told)


def test_an_instruction_is_no_command():
    fix = ("-C arch=9.0", "MAMBA_BUILD_ARCH=9.0", "use another machine", "python -m pip install x   (for y)")
    assert [command_of(way) for way in fix] == ["", "", "", "python -m pip install x"]
    assert command_of(Here().way("-C arch=9.0")) == "python -m pip install ./mamba-ssm-portable -C arch=9.0"
    assert ways(fix)[0] == "  do:   add -C arch=9.0 to the command"


def test_a_file_name_leads_nowhere():
    told = answer.answer("../../~root/a b.json", b"{}", 80)
    assert told["lines"][0][1].startswith(".._.._ root_a_b.json is".replace(" ", "_", 1))


def test_an_answer_is_json_in_ascii():
    class Proxy:
        def to_bytes(self):
            return "error: `显卡'".encode()

    said = answer.answer_json("", Proxy(), 80)
    assert said.isascii() and json.loads(said)["kind"] == "log"


def test_both_languages_say_the_same_things():
    english, chinese = (
        re.findall(r"^    (\w+): (?:\(([^)]*)\))?", part, re.MULTILINE)
        for part in re.split(r"^  zh: ", WORDS, flags=re.MULTILINE)
    )
    assert [name for name, _ in english] == [name for name, _ in chinese]
    assert english == chinese, "a sentence takes the same values in both"
    used = set(re.findall(r"\bsay\.(\w+)", PAGE)) | {"known", "unknown", "fine", "problems", "starting", "reading"}
    assert used | {"wheel", "packed", "binary"} == {name for name, _ in english}


def test_an_inline_script_is_admitted_by_its_hash_and_data_are_no_script():
    html = '<head><script>a()</script><script src="b.js"></script><script type="application/json">{}</script>'
    assert page_policy.policy(html).count("'sha256-") == 1
    assert "connect-src 'self';" in page_policy.policy(html)
    assert "'unsafe-eval'" not in page_policy.policy(html)


def test_pyodide_is_pinned_by_version_and_hash():
    pinned = tomllib.loads((ROOT / "release" / "pyodide.toml").read_text(encoding="utf-8"))
    assert re.fullmatch(r"\d+\.\d+\.\d+", pinned["version"])
    assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", pinned["integrity"])


def test_a_file_with_another_hash_ends_the_build(tmp_path, capsys):
    (tmp_path / "pyodide-1.tgz").write_bytes(b"another")
    with pytest.raises(SystemExit):
        browser_python.check_integrity(tmp_path / "pyodide-1.tgz", "sha512-" + "A" * 86 + "==")
    assert "release: error: pyodide-1.tgz is sha512-" in capsys.readouterr().err


def test_a_plain_copy_of_the_site_holds_no_python():
    assert json.loads((ROOT / "docs" / "explain" / "built.json").read_text(encoding="utf-8")) == {"pyodide": None}
