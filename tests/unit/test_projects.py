"""Projects are data: no code names one, and settings, choices and neighbours come from their folders."""

import json
import re
import runpy
import shutil
import subprocess
import sys
from dataclasses import fields, replace

import pytest
from snippets import blocks
from support import ROOT, ready

from mamba_build_backend.audit import check
from mamba_build_backend.audit.types import Extension
from mamba_build_backend.core import projects
from mamba_build_backend.core.errors import SettingsError
from mamba_build_backend.core.settings import Settings, as_environment, known_keys, load_settings
from mamba_build_backend.plan import decide
from mamba_build_backend.probe import recording
from mamba_build_backend.probe.torch import installed_beside
from mamba_build_backend.tables import Floor, Project, ProjectVersion, load_tables
from mamba_build_backend.tables.projects import load_projects
from mamba_build_backend.wheel import repair, third_party, write_record
from mamba_build_backend.wheel.read_record import read_record

BACKEND = ROOT / "mamba_build_backend"
NAMES = re.compile(r"mamba[-_]ssm|causal[-_]conv1d|selective_scan|Mamba-\d", re.IGNORECASE)
OURS = re.compile(r"mamba-ssm-portable")


def code():
    return [path for path in sorted(BACKEND.rglob("*.py")) if "projects" not in path.relative_to(BACKEND).parts[:1]]


@pytest.mark.parametrize("path", code(), ids=lambda path: path.relative_to(BACKEND).as_posix())
def test_no_code_names_a_project(path):
    text = OURS.sub("", path.read_text(encoding="utf-8"))
    assert [line for line in text.splitlines() if NAMES.search(line)] == []


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """The projects of this backend, and a third and a fourth: the one calls the other."""
    folder = tmp_path / "projects"
    shutil.copytree(projects.PROJECTS, folder)
    for name, text in {
        "third": '[partner]\nname = "fourth"\ndefault = "`false`"\nmissing = "x"\n',
        "fourth": "",
    }.items():
        (folder / name).mkdir()
        (folder / name / "project.toml").write_text(text)
    monkeypatch.setattr(projects, "read_projects", lambda: read(folder))
    return folder


read = projects.read_projects


def test_default_project_is_marked_in_its_file():
    assert Settings().upstream == projects.default_project() == "mamba-ssm"
    assert projects.project_names() == ("mamba-ssm", "causal-conv1d")


def test_without_projects_the_one_that_holds_the_backend_is_built(tmp_path, monkeypatch):
    monkeypatch.setattr(projects, "read_projects", lambda: read(tmp_path))
    assert projects.default_project() == "self"
    assert not [key for key in known_keys() if key.startswith("with-")]


@pytest.mark.parametrize(
    ("config", "environ", "table", "companions", "origin"),
    [
        ({}, {}, {}, (), "default"),
        ({"with-causal-conv1d": "true"}, {}, {}, ("causal-conv1d",), "-C (config settings)"),
        ({}, {"MAMBA_BUILD_WITH_CAUSAL_CONV1D": "1"}, {}, ("causal-conv1d",), "the environment"),
        ({"with-causal-conv1d": "false"}, {}, {"with-causal-conv1d": True}, (), "-C (config settings)"),
    ],
)
def test_a_partner_has_a_setting_that_puts_it_into_the_wheel(config, environ, table, companions, origin):
    loaded = load_settings(config, environ, table)
    assert (loaded.companions, loaded.origin("with-causal-conv1d")) == (companions, origin)


def test_another_projects_partner_gets_a_setting_by_its_folder_alone(beside):
    assert [key for key in known_keys() if key.startswith("with-")] == ["with-causal-conv1d", "with-fourth"]
    loaded = load_settings({"with-fourth": "true"}, {"MAMBA_BUILD_WITH_CAUSAL_CONV1D": "true"}, {})
    assert set(loaded.companions) == {"fourth", "causal-conv1d"}
    assert as_environment({"with-fourth": "true"}) == {"MAMBA_BUILD_WITH_FOURTH": "true"}
    with pytest.raises(SettingsError, match="did you mean 'with-fourth'"):
        load_settings({"with-forth": "true"}, {}, {})


def test_machine_file_keeps_the_partner(tmp_path):
    facts = recording.load(ROOT / "tests/facts/companion.json", {})[1]
    path = tmp_path / "machine.json"
    recording.save(path, load_settings({"with-causal-conv1d": "true"}, {}, {}), facts, {})
    assert json.loads(path.read_text())["settings"] == {"with-causal-conv1d": "true"}
    assert recording.load(path, {})[0].companions == ("causal-conv1d",)


def test_every_known_project_is_searched_next_to_torch(tmp_path):
    for name in ("mamba_ssm-2.3.0", "causal_conv1d_portable-1.6.1", "numpy-2.1.0", "pandas-2.0"):
        (tmp_path / f"{name}.dist-info").mkdir()
    assert [item.name for item in installed_beside(tmp_path)] == ["numpy", "causal-conv1d-portable", "mamba-ssm"]


def test_the_command_lists_the_projects(clean_env):
    done = subprocess.run(
        [sys.executable, "-m", "mamba_build_backend", "build", "--help"],
        cwd=ROOT, env=clean_env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "mamba-ssm or causal-conv1d" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("machine", "config", "packages"),
    [
        ("debian12-torch2.11-cuda13.0", {}, ["mamba_ssm"]),
        ("debian12-torch2.11-cuda13.0", {"upstream": "causal-conv1d"}, ["causal_conv1d"]),
        ("companion", {}, ["mamba_ssm", "causal_conv1d"]),
    ],
)
def test_a_wheel_carries_the_numerical_check_of_each_of_its_projects(tmp_path, machine, config, packages):
    settings, facts = recording.load(ROOT / f"tests/facts/{machine}.json", config)
    plan = decide(settings, facts, load_tables())
    repair.add_payload(ready(plan), [tmp_path], "Name: x\nVersion: 1\n\n")
    (portable,) = tmp_path.iterdir()
    assert portable.name == f"{packages[0]}_portable"
    assert sorted(path.name for path in portable.iterdir()) == sorted(
        ["__init__.py", "__main__.py", "_built_for.py", "_check.py", "_guard.py"]
        + [f"_check_{package}.py" for package in packages]
    )
    built_for = runpy.run_path(str(portable / "_built_for.py"))
    assert built_for["PACKAGES"] == tuple(packages)
    assert built_for["CHECKS"] == tuple(f"_check_{package}" for package in packages)
    for module in built_for["CHECKS"]:
        check = runpy.run_path(str(portable / f"{module}.py"))
        assert check["TITLE"] and check["COVERS"] and callable(check["results"])


@pytest.mark.parametrize("config", [{}, {"upstream": "causal-conv1d"}, {"with-causal-conv1d": "true"}])
def test_the_audit_reads_from_the_record_which_extensions_were_promised(config):
    settings, facts = recording.load(ROOT / "tests/facts/debian12-torch2.11-cuda13.0.json", config)
    plan = decide(settings, facts, load_tables())
    origins = [{"sha256": "", "verified": True, "patches_sha256": {}} for _ in plan.parts]
    record = write_record.record_of(ready(plan), origins, "3.11.7")
    promise = check.recorded_promise(read_record(json.loads(json.dumps(record.to_json()))))
    assert promise.extensions == tuple(name for part in plan.parts for name in part.upstream.value.project.extensions)
    assert promise.extensions


PAGE = "docs/add-a-project.md"
THIRD = ROOT / "tests/packages/projects/torch-linear-assignment"


@pytest.mark.parametrize("name", ["project.toml", "versions.toml", "check.py"])
def test_page_shows_the_folder_of_the_third_project(name):
    (text,) = [block.text for block in blocks(PAGE) if block.options == (name,)]
    assert text == (THIRD / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(("kind", "title"), [(Project, "project.toml"), (ProjectVersion, "versions.toml")])
def test_the_page_explains_every_key_and_no_other(kind, title):
    text = (ROOT / PAGE).read_text(encoding="utf-8").partition(f"## All keys of {title}")[2].partition("\n## ")[0]
    cells = " ".join(re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE))
    keys = {key.strip("[]") for key in re.findall(r"`([^`]+)`", cells)}
    given = {"project", "name", "fork"} if kind is ProjectVersion else {"name"}
    assert keys - {"source"} == {item.name.replace("_", "-") for item in fields(kind)} - given


def test_the_third_project_is_read_and_planned_for_beside_the_others(tmp_path):
    shutil.copytree(projects.PROJECTS, tmp_path / "projects")
    shutil.copytree(THIRD, tmp_path / "projects" / THIRD.name)
    known, versions = load_projects(tmp_path / "projects")
    assert [item.name for item in known] == ["mamba-ssm", "causal-conv1d", "torch-linear-assignment"]
    settings, facts = recording.load(ROOT / "tests/facts/debian12-torch2.11-cuda13.0.json", {"upstream": THIRD.name})
    plan = decide(settings, facts, replace(load_tables(), projects=known, versions=versions))
    assert (plan.title, plan.problems) == ("torch-linear-assignment 0.0.6", ())
    assert third_party.license_expression(plan) == "Apache-2.0 AND BSD-3-Clause"


@pytest.mark.parametrize(
    ("path", "missing"),
    [
        ("name/_ext.cpython-311-x86_64-linux-gnu.so", []),
        ("name/_ext.abi3.so", []),
        ("_ext.cpython-311-x86_64-linux-gnu.so", ["no-extension"]),
        ("name/_extra.abi3.so", ["no-extension"]),
    ],
)
def test_an_extension_may_be_a_module_of_a_package(path, missing):
    extension = Extension(path, "x86_64", 1, Floor(), (), (), (), (), (), 0, None)
    problems = check._check_content([extension], check.Promise(extensions=("name._ext",)), portable=False)
    assert [problem.code for problem in problems] == missing
    assert all("the wheel holds no name/_ext.*.so" in problem.found for problem in problems)
