"""manylinux/report.py and manylinux/environment.py, which the workflow calls, on folders as it leaves them."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest
from support import ROOT


def script(name):
    spec = importlib.util.spec_from_file_location(f"manylinux_{name}", ROOT / "manylinux" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


report, environment = script("report"), script("environment")

COMPILER = """\
Processing ./tiny
  mamba-build-backend: compiling this project for torch 2.11.0, CUDA 13.0
  mamba-build-backend: error: upstream's build failed with exit code 1
  mamba-build-backend: error:     /tmp/x/csrc/tiny.cpp:62:2: error: #error made to fail; see the line above.
  mamba-build-backend: error:   fix:  less /cache/build.log   (the whole output)
  error: subprocess-exited-with-error
ERROR: Failed building wheel for tiny
mamba-build-backend: error: no wheel was built: see the lines above
"""
NO_INDEX = """\
WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(": [Errno 111] Connection refused")': /simple/torch/
ERROR: Could not find a version that satisfies the requirement torch==2.11.* (from versions: none)
ERROR: No matching distribution found for torch==2.11.*
"""


def cell(name, *, skip=None, place="cp311-torch2.11-cu130"):
    return {
        "id": name, "upstream": name, "python": "3.11", "torch": "2.11", "cuda": "13.0",
        "environment": {"name": place, "python": None}, "skip": {"reason": skip} if skip else None,
    }  # fmt: skip


def built(out, name, *, audit=None, wheel=None):
    folder = out / "built" / name
    folder.mkdir(parents=True)
    path = folder / (wheel or f"{name}-1.0-cp311-cp311-linux_x86_64.whl")
    path.write_bytes(b"wheel")
    made = {"wheel": str(path), "size": 2_400_000, "sha256": "0" * 64, "seconds": 41.6}
    (folder / "build.json").write_text(json.dumps({"schema": 2, "wheels": [made]}))
    verdict = audit or {"ok": True, "problems": []}
    (out / "logs" / f"{name}.audit.json").write_text(json.dumps(verdict))
    if verdict["ok"]:
        (out / "audits" / f"{name}.audit.json").write_text(json.dumps(verdict))
    else:
        (out / "logs" / f"{name}.audit.log").write_text("")


@pytest.fixture
def out(tmp_path):
    for folder in ("logs", "audits", "built", "environments/cp311-torch2.11-cu130"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "environments/cp311-torch2.11-cu130/python").write_text("/venv/bin/python\n")
    listed = [
        cell("one"),
        cell("two"),
        cell("broken"),
        cell("impossible", skip="torch 2.11 has wheels for Python 3.10 to 3.14"),
        cell("nowhere", place="cp312-torch2.11-cu130"),
        cell("later"),
    ]
    (tmp_path / "cells.json").write_text(json.dumps({"schema": 1, "cells": listed}))
    built(tmp_path, "one")
    built(tmp_path, "two", audit={"ok": False, "problems": [{"found": "it needs GLIBC_2.32 of libc.so.6"}]})
    (tmp_path / "logs" / "broken.log").write_text(COMPILER)
    (tmp_path / "logs" / "environment-cp312-torch2.11-cu130.log").write_text(NO_INDEX)
    return tmp_path


def collected(out):
    done = subprocess.run(
        [sys.executable, "-I", ROOT / "manylinux" / "report.py", out], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    data = json.loads((out / "report.json").read_text())
    return done.stdout, data, {item["id"]: item for item in data["cells"]}


def test_failed_cell_has_a_reason_and_a_log(out):
    said, data, by_name = collected(out)
    assert said.startswith("1 built, 3 failed, 1 skipped, 1 not tried")
    assert data["schema"] == 1
    assert data["counts"] == {"built": 1, "failed": 3, "skipped": 1, "not tried": 1}
    assert by_name["one"]["state"] == "built"
    assert (by_name["one"]["audit"], by_name["one"]["seconds"]) == ("ok", 41.6)
    assert by_name["broken"]["error"] == (
        "upstream's build failed with exit code 1: /tmp/x/csrc/tiny.cpp:62:2: error: #error made to fail; see the line above."
    )
    assert by_name["broken"]["log"] == "logs/broken.log"
    assert by_name["two"]["state"] == "failed"
    assert by_name["two"]["error"] == "it needs GLIBC_2.32 of libc.so.6"
    assert by_name["impossible"]["error"] == "torch 2.11 has wheels for Python 3.10 to 3.14"
    assert by_name["later"]["state"] == "not tried"


def test_unreachable_index_shows_the_line_of_pip(out):
    _, _, by_name = collected(out)
    assert by_name["nowhere"]["state"] == "failed"
    assert by_name["nowhere"]["error"] == (
        "ERROR: Could not find a version that satisfies the requirement torch==2.11.* (from versions: none) (Connection refused)"
    )
    assert by_name["nowhere"]["log"] == "logs/environment-cp312-torch2.11-cu130.log"


def test_the_table_has_a_row_for_each_cell(out):
    collected(out)
    lines = (out / "report.md").read_text().splitlines()
    assert lines[2] == "1 built, 3 failed, 1 skipped, 1 not tried."
    rows = [line for line in lines if line.startswith("| ")][1:]
    assert len(rows) == 6
    assert "| one | built | one-1.0-cp311-cp311-linux_x86_64.whl | 2.4 MB | 42 | ok |" in rows[0]
    assert "#error made to fail" in rows[2]


def test_only_wheels_that_pass_the_audit_stay_published(out):
    collected(out)
    name = "one-1.0-cp311-cp311-linux_x86_64.whl"
    assert os.listdir(out / "wheels") == [name]
    assert os.path.samefile(out / "wheels" / name, out / "built" / "one" / name)
    (out / "wheels" / "somebody-elses-1.0-py3-none-any.whl").write_bytes(b"")
    (out / "audits" / "one.audit.json").unlink()
    (out / "built" / "one" / "build.json").unlink()
    (out / "logs" / "one.log").write_text("error: killed\n")
    collected(out)
    assert os.listdir(out / "wheels") == ["somebody-elses-1.0-py3-none-any.whl"]


def test_two_wheels_of_one_name_fail(out):
    (out / "cells.json").write_text(json.dumps({"schema": 1, "cells": [cell("one"), cell("copy")]}))
    built(out, "copy", wheel="one-1.0-cp311-cp311-linux_x86_64.whl")
    _, _, by_name = collected(out)
    assert by_name["one"]["state"] == "built"
    assert by_name["copy"]["error"].startswith("its wheel has the same name as the wheel of one")


def test_a_folder_that_the_workflow_has_not_seen_is_a_sentence(tmp_path):
    command = [sys.executable, ROOT / "manylinux" / "report.py", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "contains no cells.json" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("", "the log is empty"),
        ("Killed\n", "Killed"),
        ("\x1b[31mERROR: bad\x1b[0m\nlast words\n", "ERROR: bad"),
        (COMPILER.replace("    /tmp", "/tmp"), "upstream's build failed with exit code 1"),
    ],
)
def test_line_with_the_cause_is_found(log, told):
    assert report.last_error(log) == told


def doctor(**torch):
    value = {"site": "/venv/lib", "version": "2.11.0+cu130", "cuda": "13.0", **torch} if torch is not None else None
    return {"facts": {"machine": {"python_version": "3.11.7"}}, "plan": {"torch": {"chosen": value}}, "problems": []}


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (doctor(), ""),
        (doctor(version="2.11.1+cu130"), ""),
        (doctor(version="2.1.1+cu130"), "has torch 2.1.1+cu130 for CUDA 13.0; torch 2.11 for CUDA 13.0 is needed"),
        (doctor(version="2.11.0+cu128", cuda="12.8"), "has torch 2.11.0+cu128 for CUDA 12.8"),
        ({**doctor(), "plan": {"torch": {"chosen": None}}}, "the environment of Python 3.11.7 has no torch"),
        ({**doctor(), "plan": {"torch": {"chosen": None}}, "problems": [{"code": "torch-cpu", "found": "it has no CUDA"}]}, "it has no CUDA; torch 2.11"),
    ],
)  # fmt: skip
def test_environment_is_used_only_for_its_own_torch(tmp_path, found, told):
    path = tmp_path / "doctor.json"
    path.write_text(json.dumps(found))
    command = [sys.executable, ROOT / "manylinux" / "environment.py", path, "--torch", "2.11", "--cuda", "13.0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == ((1, "") if told else (0, "/venv/lib\n"))
    assert told in done.stderr


def test_environment_without_a_working_doctor_is_reported(tmp_path):
    (tmp_path / "doctor.json").write_text("")
    command = [
        sys.executable,
        ROOT / "manylinux" / "environment.py",
        tmp_path / "doctor.json",
        "--torch=2.11",
        "--cuda=13.0",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "doctor failed in that environment" in done.stderr) == (1, True)
