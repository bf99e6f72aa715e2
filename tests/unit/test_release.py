"""The scripts and the workflows of a release: their decisions, without building or uploading anything."""

import json
import re
import sys
import zipfile

import pytest
import yaml
from support import ROOT

sys.path.insert(0, str(ROOT / "release"))
import check
import install_check
import make_distributions
import notes
import plan
import rehearse
import same_bytes

from mamba_build_backend import __version__
from mamba_build_backend.core.settings import load_settings
from mamba_build_backend.tables import load_tables

WORKFLOWS = {path.name: yaml.safe_load(path.read_text()) for path in sorted((ROOT / ".github/workflows").glob("*.yml"))}
RELEASE = WORKFLOWS["release.yml"]
STEPS = [
    (f"{file} {name}", step)
    for file, flow in WORKFLOWS.items()
    for name, job in flow["jobs"].items()
    for step in job["steps"]
]
PLAN = plan.load()


def test_release_plan_has_known_versions_and_valid_settings():
    known = {(row.name, row.version) for row in load_tables().versions}
    assert {(item.project, item.version) for item in PLAN.wheels} <= known
    assert load_settings({**PLAN.settings, "build-tag": str(PLAN.wheels[0].build)}, {}, {}).abi == "stable"
    assert all(item.build >= 1 for item in PLAN.wheels)
    pythons = [item.python for item in PLAN.linux] + [item.python for item in PLAN.environments]
    assert {"3.9", "3.14"} <= set(pythons)


@pytest.mark.parametrize("what", ["wheels", "linux", "environments"])
def test_a_matrix_is_one_line_that_github_reads(what, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["plan.py", what])
    assert plan.main() == 0
    (line,) = capsys.readouterr().out.splitlines()
    name, _, text = line.partition("=")
    assert name == what
    cells = json.loads(text)["include"]
    assert cells
    assert len({json.dumps(cell) for cell in cells}) == len(cells)


@pytest.mark.parametrize("words", [[], ["everything"], ["wheels", "linux"]])
def test_another_matrix_is_a_mistake(words, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["plan.py", *words])
    assert plan.main() == 2
    assert "usage: " in capsys.readouterr().err


def edited(tmp_path, old, new):
    text = (ROOT / "release/plan.toml").read_text()
    assert old in text
    path = tmp_path / "plan.toml"
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('version = "2.3.2.post1"\n', "", "version"),
        ("build = 1", "build = 1\nextra = 2", "extra"),
        ("tool = 1.5", "", "tool"),
        ('[[linux]]\nimage = "manylinux2014"', '[[linux]]\nimgae = "manylinux2014"', "imgae"),
        (
            'project = "causal-conv1d"\nversion = "1.7.0"',
            'project = "mamba-ssm"\nversion = "2.3.2.post1"',
            "one build at a time",
        ),
    ],
)
def test_incomplete_or_overfull_release_plan_is_refused(old, new, told, tmp_path):
    with pytest.raises(SystemExit, match=told):
        plan.load(edited(tmp_path, old, new))


def test_release_notes_are_the_section_of_the_version(capsys):
    text = "# Changelog\n\n## Unreleased\n\n- New.\n\n## 0.2.0, 2026-12-01\n\n- Old.\n- Two.\n\n## 0.2\n\n- Older.\n\n## 0.1\n"
    assert notes.section(text, "0.2.0") == "- Old.\n- Two.\n"
    assert notes.section(text, "0.2") == "- Older.\n"
    for missing in ("0.1", "0.3", "2.0"):
        with pytest.raises(SystemExit):
            notes.section(text, missing)
    assert notes.section((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), "Unreleased")


def test_tag_of_another_version_has_no_notes(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["notes.py", "v99.0"])
    with pytest.raises(SystemExit):
        notes.main()
    assert f"the requested version is 99.0, but the code is {__version__}" in capsys.readouterr().err


def archive(path, **members):
    with zipfile.ZipFile(path, "w") as file:
        for name, text in members.items():
            file.writestr(zipfile.ZipInfo(name), text)


def test_two_builds_are_the_same_bytes_or_the_difference_is_named(tmp_path, capsys):
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    with pytest.raises(SystemExit):
        same_bytes.compare(one, other)
    archive(one / "a-1-py3-none-any.whl", x="1", y="2")
    with pytest.raises(SystemExit):
        same_bytes.compare(one, other)
    archive(other / "a-1-py3-none-any.whl", x="1", y="2")
    same_bytes.compare(one, other)
    archive(other / "a-1-py3-none-any.whl", x="1", y="3")
    with pytest.raises(SystemExit):
        same_bytes.compare(one, other)
    archive(other / "a-1-py3-none-any.whl", y="2", x="1")
    with pytest.raises(SystemExit):
        same_bytes.compare(one, other)
    said = capsys.readouterr().err
    assert "is empty" in said or "are empty" in said
    assert "a-1-py3-none-any.whl differ: y" in said
    assert "order, times or modes" in said


def made_wheel(folder, wheel, machine="x86_64", **changes):
    told = {"backend": __version__, "verified": True, "build": wheel.build, "tag": "cp39-abi3", **changes}
    path = folder / f"{wheel.stem}{told['tag']}-manylinux2014_{machine}.manylinux_2_17_{machine}.whl"
    info = f"{wheel.distribution.replace('-', '_')}-{wheel.version}.dist-info"
    record = {"backend": told["backend"], "upstream": {"verified": told["verified"]}}
    archive(
        path,
        **{
            f"{info}/mamba-build-record.json": json.dumps(record),
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nBuild: {told['build']}\n",
        },
    )
    return path


@pytest.fixture
def dist(tmp_path):
    """A folder that holds all that a release of the plan has."""
    for wheel in PLAN.wheels:
        for machine in PLAN.machines:
            made_wheel(tmp_path, wheel, machine)
        (tmp_path / wheel.sdist).touch()
    (tmp_path / f"mamba_build_backend-{__version__}-py3-none-any.whl").touch()
    (tmp_path / f"mamba_build_backend-{__version__}.tar.gz").touch()
    return tmp_path


def told(folder):
    return list(check.problems(folder, PLAN, PLAN.machines))


def test_a_whole_release_has_no_problem(dist):
    assert told(dist) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"backend": "0.0.1"}, f"was made by version 0.0.1 of the tool; this is {__version__}"),
        ({"verified": False}, "is not a release of upstream"),
        ({"build": 9}, "does not state build 1"),
    ],
)
def test_unplanned_wheel_is_named(dist, change, said):
    made_wheel(dist, PLAN.wheels[0], **change)
    (problem,) = told(dist)
    assert said in problem


def test_missing_other_and_large_files_are_named(dist):
    first = PLAN.wheels[0]
    (dist / first.sdist).write_bytes(b"x" * int(PLAN.limits["sdist"] * 1e6 + 1))
    next(iter(dist.glob(f"{PLAN.wheels[1].stem}*x86_64.whl"))).unlink()
    (dist / "notes.txt").touch()
    (dist / f"mamba_build_backend-{__version__}.tar.gz").unlink()
    said = "\n".join(told(dist))
    assert "5.0 MB; the limit in plan.toml is 5 MB" in said
    assert f"there is not exactly one {PLAN.wheels[1].stem}*_x86_64.whl" in said
    assert "notes.txt is not in the plan" in said
    assert f"mamba_build_backend-{__version__}.tar.gz is missing" in said


def test_wheel_for_one_torch_is_not_released(dist):
    wheel = PLAN.wheels[0]
    for path in dist.glob(f"{wheel.stem}*x86_64.whl"):
        path.unlink()
    made_wheel(dist, wheel, tag="cp312-cp312")
    assert "is not for Python 3.9 and newer on glibc 2.17" in "\n".join(told(dist))


@pytest.mark.parametrize(("where", "step"), STEPS)
def test_an_action_is_pinned_by_its_commit_and_a_command_is_a_script(where, step):
    if "uses" in step:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]), where
        return
    line = step["run"]
    scripts = re.findall(r"python ((?:release|tests)/\w+\.py)", line)
    assert all((ROOT / name).is_file() for name in scripts)
    assert scripts or re.match(r"python -m (pip install|mkdocs build)|cp first/\* dist/$|gh release create ", line), (
        where
    )
    assert "${{" not in line, "what comes from outside stands in a variable"


def test_only_a_tag_uploads_and_only_tested_files():
    jobs = RELEASE["jobs"]
    assert jobs["publish"]["needs"] == ["check", "linux", "environments"]
    for name in ("publish", "notes", "site"):
        assert jobs[name]["if"] == "github.ref_type == 'tag'"
    writers = {name: job["permissions"] for name, job in jobs.items() if "write" in job["permissions"].values()}
    assert writers == {
        "publish": {"id-token": "write"},
        "notes": {"contents": "write"},
        "pages": {"pages": "write", "id-token": "write"},
    }
    assert all(flow["permissions"] == {} for flow in WORKFLOWS.values())
    assert jobs["pages"]["needs"] == "site"
    assert jobs["site"]["needs"] == "publish"


def test_the_rehearsal_runs_each_script_of_the_workflow_but_the_uploads():
    in_workflow = set(re.findall(r"release/(\w+\.py)", (ROOT / ".github/workflows/release.yml").read_text()))
    text = (ROOT / "release/rehearse.py").read_text() + (ROOT / "release/make_distributions.py").read_text()
    missing = {name for name in in_workflow if name not in text and f"from {name[:-3]} import" not in text}
    assert missing == set()
    assert rehearse.SCRIPTS == ROOT / "release"


def test_release_ignores_settings_of_its_maker():
    given = {"MAMBA_BUILD_ARCH": "9.0", "MAMBA_BUILD_CACHE_DIR": "/c", "PATH": "/bin", "SOURCE_DATE_EPOCH": "7"}
    made = make_distributions.step.__globals__["variables"](given)
    assert "MAMBA_BUILD_ARCH" not in made
    assert made["MAMBA_BUILD_CACHE_DIR"] == "/c"
    assert made["SOURCE_DATE_EPOCH"] == "1577836800"


def test_install_check_names_missing_tools(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["install_check.py", str(tmp_path), "--torch", "", "--python", "3.11"])
    with pytest.raises(SystemExit):
        install_check.main()
    assert "has none of the plan's wheels" in capsys.readouterr().err
