"""The four functions for those who script the backend."""

import json
import os
import shutil

import pytest
from support import ROOT

import mamba_build_backend
from mamba_build_backend import api
from mamba_build_backend.core import facts

MACHINE = ROOT / "tests" / "facts" / "debian12-torch2.11-cuda13.0.json"


def test_plan_accepts_a_saved_machine_and_settings():
    made = api.plan({"arch": "8.0", "jobs": 3, "strip": False}, facts=MACHINE)
    assert made.problems == ()
    assert (made.jobs.value, made.strip) == (3, False)
    assert list(made.gpu_code.value.codes) == ["80"]


def test_plan_accepts_facts_and_list_settings():
    found = facts.from_json(json.loads(MACHINE.read_text())["facts"])
    made = api.plan({"arch": ["8.0", "9.0"]}, facts=found)
    assert list(made.gpu_code.value.codes) == ["80", "90"]
    assert made == api.plan({"arch": "8.0;9.0"}, facts=found)


def test_missing_parts_are_problems_of_the_plan_not_errors():
    made = api.plan({"abi": "torch"}, facts=ROOT / "tests" / "facts" / "everything-wrong.json")
    assert made.problems
    assert all(problem.found and problem.needed and problem.fix for problem in made.problems)


@pytest.mark.parametrize(
    ("settings", "said"), [({"arhc": "9.0"}, "did you mean 'arch'"), ({"jobs": 0}, "not a number of processes")]
)
def test_unreadable_setting_raises_a_backend_error(settings, said):
    with pytest.raises(api.BackendError, match=said) as caught:
        api.plan(settings, facts=MACHINE)
    assert caught.value.problems[0].fix


def test_file_that_is_not_a_machine_raises_a_backend_error(tmp_path):
    with pytest.raises(api.BackendError, match=r"cannot be read"):
        api.plan(facts=tmp_path / "nothing.json")


def test_doctor_of_the_api_agrees_with_the_command(tmp_path):
    seen = api.doctor(ROOT, {"cache-dir": str(tmp_path), "abi": "torch"}, environ={"PATH": "/nowhere"})
    assert seen.facts.machine.system == os.uname().sysname
    assert seen.ok == (not seen.plan.problems)
    assert not seen.ok
    assert "no g++ was found" in seen.text


def test_build_raises_every_problem_before_it_starts(tmp_path):
    with pytest.raises(api.BackendError, match=r"no g\+\+ was found"):
        api.build(
            "mamba-ssm==2.3.0",
            out=tmp_path / "dist",
            project=ROOT,
            environ={"PATH": "/nowhere", "HOME": str(tmp_path), "MAMBA_BUILD_ABI": "torch"},
        )
    assert not (tmp_path / "dist").exists()


def test_audit_of_a_file_that_is_not_a_wheel_raises_a_backend_error(tmp_path):
    with pytest.raises(api.BackendError, match="is not a valid wheel name"):
        api.audit(tmp_path / "x.whl")


def test_package_and_copy_are_marked_as_typed(tmp_path):
    folder = ROOT / "mamba_build_backend"
    assert (folder / "py.typed").is_file()
    shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    assert (tmp_path / "copy" / "py.typed").is_file()
    assert set(mamba_build_backend.__all__) == {
        name
        for name, value in vars(mamba_build_backend).items()
        if ("_for_build_" in name or name.startswith("build_")) and callable(value)
    }
