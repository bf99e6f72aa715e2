"""What doctor prints: in 100 columns, on one screen, the same bytes for the same facts, and JSON as its schema says."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import reasons
from support import RECORDED, ROOT, lacking
from support import planned_for as planned

from mamba_build_backend import plan
from mamba_build_backend.core import commands
from mamba_build_backend.plan import doctor_json, report

by_machine = pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
VALIDATOR = jsonschema.Draft202012Validator(json.loads(doctor_json.SCHEMA_FILE.read_text()))


@by_machine
def test_report_equals_the_recorded_one(path):
    """The whole text of every machine is in the file next to it: python tests/update_reports.py writes them anew."""
    assert report.plan_text(*planned(path), verbose=True) == path.with_suffix(".txt").read_text(encoding="utf-8")


def test_reasons_equal_the_recorded_ones():
    assert reasons.of_all_machines() == (ROOT / "tests" / "reasons.txt").read_text(encoding="utf-8")


def test_every_report_has_its_machine():
    texts = {path.stem for path in (ROOT / "tests" / "facts").glob("*.txt")}
    assert texts == {path.stem for path in RECORDED}


@by_machine
def test_the_table_fits_100_columns_and_commands_stay_whole(path):
    for line in report.plan_text(*planned(path), verbose=True).splitlines():
        if not re.match(r"  (fix: |or:  |do:  ) |The (build|metadata) can ", line):
            assert len(line) <= 80 or len(max(line.split(), key=len)) > 60, line


@by_machine
def test_without_v_it_fits_a_screen(path):
    facts, made = planned(path)
    lines = report.plan_text(facts, made).splitlines()
    assert len(lines) <= (45 if made.problems else report.MOST), lines


@by_machine
def test_json_follows_the_schema_that_is_shipped(path):
    data = json.loads(json.dumps(doctor_json.plan_json(*planned(path))))
    VALIDATOR.validate(data)


def test_the_shipped_schema_is_that_of_the_types():
    if sys.version_info < (3, 10):
        lacking("Python 3.10, whose types can be asked")
    from doctor_schema import doctor_schema

    assert json.loads(doctor_json.SCHEMA_FILE.read_text()) == json.loads(json.dumps(doctor_schema())), (
        "python tests/update_reports.py writes it anew"
    )


def test_doctor_prints_the_schema():
    done = subprocess.run(
        [sys.executable, "-m", "mamba_build_backend", "doctor", "--schema"], cwd=ROOT, capture_output=True, check=True
    )
    jsonschema.Draft202012Validator.check_schema(json.loads(done.stdout))


def test_schema_refuses_unknown_fields():
    data = json.loads(json.dumps(doctor_json.plan_json(*planned(RECORDED[0]))))
    data["plan"]["surprise"] = 1
    with pytest.raises(jsonschema.ValidationError, match="surprise"):
        jsonschema.validate(data, json.loads(doctor_json.SCHEMA_FILE.read_text()))


def test_recorded_machines_cover_every_problem():
    folder = Path(plan.__file__).parent
    source = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    codes = set(re.findall(r'(?:notebook\.p|P)roblem\(\s*"([a-z-]+)"', source)) | set(
        re.findall(r'(?:return|yield) "(gpu-target|torch-gpu|driver)",', source)
    )
    codes |= set(re.findall(r'"(torch-[a-z]+)" if', source)) | {"torch-broken"}
    had = {item.code for path in RECORDED for item in planned(path)[1].problems}
    # Missing packages are a problem of the build environment, not of the machine; every version of both projects is
    # ported.
    assert codes - {"not-installed", "abi-upstream"} == had


def on_a_terminal(*arguments, columns="140"):
    """Run doctor with a pseudo-terminal for its output; return what arrived there."""
    primary, secondary = pty.openpty()
    env = {**os.environ, "COLUMNS": columns, "TERM": "xterm-256color"}
    env.pop("NO_COLOR", None)
    child = subprocess.Popen(
        [sys.executable, "-m", "mamba_build_backend", "doctor", *map(str, arguments)],
        cwd=ROOT, env=env, stdout=secondary, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(secondary)
    parts = []
    while True:
        try:
            part = os.read(primary, 65536)
        except OSError:
            break
        if not part:
            break
        parts.append(part)
    os.close(primary)
    child.wait()
    return b"".join(parts).decode()


def test_a_terminal_gets_colours_and_the_same_words_and_whole_commands():
    path = ROOT / "tests" / "facts" / "gxx-11-alone-cuda-11.6-asked.json"
    shown = on_a_terminal("--facts", path)
    assert "\x1b[" in shown
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert all(len(line) <= 100 for line in plain.splitlines() if not line.startswith(("  fix:", "  or:")))
    assert "or:   conda install -c conda-forge gxx_linux-64=10 sysroot_linux-64=2.17\r\n" in plain
    words = re.sub(r"\s+", " ", plain)
    found, made = planned(path)
    for _, line in report.shown_lines(found, made, commands.Here(checkout=str(ROOT)), width=100):
        assert re.sub(r"\s+", " ", line) in words


def test_path_with_brackets_is_not_markup(tmp_path):
    data = json.loads((ROOT / "tests" / "facts" / "no-gxx.json").read_text())
    data["facts"]["torches"][0]["site"] = "/data/[red]x[/red]/site-packages"
    data["facts"]["torches"][0]["problem"] = "it is broken in /data/[red]x[/red]"
    (tmp_path / "m.json").write_text(json.dumps(data))
    assert "[red]x[/red]" in on_a_terminal("--facts", tmp_path / "m.json")
