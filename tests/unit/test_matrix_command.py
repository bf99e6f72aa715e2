"""``python -m mamba_build_backend matrix``: the file, its cells, what each would be, and why some cannot."""

import json
import sys

import pytest
from support import ROOT, typed

from mamba_build_backend import plan, tables
from mamba_build_backend.core import facts, settings
from mamba_build_backend.core.errors import SettingsError
from mamba_build_backend.matrix import cells, load_matrix, plan_cells

MACHINE = ROOT / "tests/facts/debian12-torch2.11-cuda13.0.json"
LOADED = tables.load_tables()
AXES = '[axes]\nupstream = ["mamba-ssm==2.3.0"]\npython = ["3.11"]\ntorch = ["2.11"]\n'
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "mamba_build_backend"\nbackend-path = ["."]\n[project]\nname = "My.Ext"\nversion = "1.2"\n[tool.mamba-build-backend]\nupstream = "self"\narch = "9.0"\nglibc = "2.28"\n'


def written(folder, text):
    path = folder / "matrix.toml"
    path.write_text(text)
    return path


def loaded(folder, text):
    return load_matrix(written(folder, text), ROOT)


def planned(folder, text, environ=None, machine=MACHINE):
    matrix = loaded(folder, text)
    found = facts.from_json(json.loads(machine.read_text())["facts"])
    return plan_cells(cells(matrix), matrix, lambda _: found, LOADED, environ or {})


def reasons(folder, **axes):
    """Why the only cell of these axes is left out."""
    given = {"upstream": "mamba-ssm==2.3.0", "python": "3.11", "torch": "2.11", **axes}
    axes = "".join(f'{key} = ["{value}"]\n' for key, value in given.items())
    (item,) = planned(folder, f'[axes]\n{axes}[settings]\nabi = "torch"\n')
    return [problem.found for problem in item.problems]


def command(*arguments, env, cwd=ROOT):
    return typed(*arguments, env=env, cwd=cwd)


# The file.


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "neither [axes] nor [[include]]"),
        ("[axis]\n", "unknown key 'axis' in matrix.toml; did you mean 'axes'?"),
        (AXES + 'pyhton = ["3.12"]\n', "unknown key 'pyhton' in [axes] of matrix.toml; did you mean 'python'?"),
        ("axes = 3\n", "axes in matrix.toml is a number; a table is needed"),
        ('[axes]\nupstream = ["mamba-ssm"]\n', "[axes] of matrix.toml has no python"),
        (AXES.replace('["3.11"]', "[]"), "axes.python is empty"),
        (AXES.replace('["3.11"]', '"3.11"'), 'axes.python is a string; a list is needed.\n  fix:  python = ["3.11"]'),
        (AXES.replace('"3.11"', "3.10"), "3.1 is a number; a version must be a string: TOML reads 3.10 as 3.1"),
        (AXES.replace('"3.11"', "true"), "true is true or false; a string is needed"),
        (AXES.replace('"3.11"', '"3.11", "3.11"'), "axes.python has '3.11' twice"),
        (AXES.replace('"3.11"', '"3.11.4"'), "is not a minor version of Python; a version such as 3.11 is needed"),
        (AXES.replace('"3.11"', '"cp312"'), 'fix:  python = ["3.12"]'),
        (AXES.replace('"2.11"', '"2.11.0"'), 'fix:  torch = ["2.11"]'),
        (AXES + 'cuda = ["cu128"]\n', 'fix:  cuda = ["12.8"]'),
        (AXES + 'cxx11abi = ["yes"]\n', "'yes' is neither TRUE nor FALSE"),
        (AXES.replace("==2.3.0", ">=2.3"), "'mamba-ssm>=2.3' is not PROJECT==VERSION"),
        (AXES.replace("==2.3.0", "==two"), "'mamba-ssm==two' is not PROJECT==VERSION"),
        (AXES.replace("mamba-ssm==2.3.0", "./nowhere"), "/nowhere does not exist"),
        (AXES + "[settings]\narhc = '9.0'\n", "unknown key 'arhc' in [settings]; did you mean 'arch'?"),
        (AXES + "[settings]\ntorch = 'torch==2.11'\n", "[settings] has 'torch'; the axis torch sets it"),
        (AXES + "[settings]\narch = 'sm90x'\n", "[settings]: arch: 'sm90x' is not a compute capability"),
        (AXES + "[settings]\narch = 'sm90x'\n", 'fix:  arch = "9.0"   under [settings]'),
        (AXES + '[exclude]\ntorch = "2.11"\n', "exclude in matrix.toml is a single table"),
        (AXES + "[[exclude]]\n", "[[exclude]] 1 is empty; it would exclude every cell"),
        (AXES + '[[exclude]]\npyton = "3.11"\n', "did you mean 'python'?"),
        (AXES + '[[exclude]]\ncuda = "13.0"\n', "[[exclude]] 1 names cuda, but [axes] does not"),
        (AXES + '[[include]]\ntorch = "2.6"\n', "[[include]] 1 has no upstream; an [[include]] must be a complete cell"),
        (AXES + '[[include]]\nupstream = "mamba-ssm==2.3.0"\npython = "3.11"\ntorch = "2.11"\n', "occurs twice"),
        (AXES + '[environments]\n"3.11" = "/bin/python"\n', "the form is PYTHON-TORCH or PYTHON-TORCH-CUDA"),
        (AXES + '[environments]\n"3.11-2.11" = 3\n', "environments.3.11-2.11 is a number"),
        ("[axes\n", "is not valid TOML"),
    ],
)  # fmt: skip
def test_invalid_matrix_file_is_reported_with_a_fix(tmp_path, text, told):
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, text)
    assert told in str(caught.value)
    assert caught.value.problems[0].needed
    assert caught.value.problems[0].fix or "fix" in caught.value.problems[0].needed or "did you" in str(caught.value)


def test_the_checkouts_own_file_can_be_read():
    assert len(cells(load_matrix(ROOT / "manylinux" / "matrix.toml", ROOT))) == 24


def test_commented_examples_of_the_file_are_valid(tmp_path):
    lines = (ROOT / "manylinux" / "matrix.toml").read_text().splitlines()
    shown = [
        line.removeprefix("# ")
        if line.startswith(("# [", "# cuda", "# cxx", '# "', "# torch", "# python", "# upstream", "# settings"))
        else line
        for line in lines
    ]
    matrix = loaded(tmp_path, "\n".join(shown))
    assert [cell.torch for cell in matrix.include] == ["2.6"]
    assert matrix.environments == (("3.11-2.11", "/opt/py311/bin/python"),)
    assert len(cells(matrix)) == 2 * (4 * 3 - 1) * 2 + 1


def test_one_stable_wheel_serves_every_torch_and_python_of_a_cuda(tmp_path):
    text = '[settings]\nabi = "stable"\n' + AXES.replace('"3.11"', '"3.11", "3.13"').replace(
        '"2.11"]', '"2.11", "2.13"]'
    )
    first, *others = planned(tmp_path, text)
    assert not first.problems
    assert first.plan.local_version == "cu13"
    assert [[item.found for item in other.problems] for other in others] == [
        [f"the wheel of {first.id} also serves this cell"]
    ] * 3


def test_cells_are_all_combinations_but_the_excluded_and_then_the_included(tmp_path):
    text = '[axes]\nupstream = ["mamba-ssm==2.3.0", "causal_conv1d"]\npython = ["3.11", "3.12"]\ntorch = ["2.11", "2.15"]\n'
    text += '[[exclude]]\ntorch = "2.15"\npython = "3.11"\n[[exclude]]\nupstream = "mamba-ssm"\npython = "3.12"\n'
    text += '[[include]]\nupstream = "mamba-ssm==2.3.0"\npython = "3.10"\ntorch = "2.6"\ncuda = "12.4"\nsettings = { arch = "8.0" }\n'
    every = cells(loaded(tmp_path, text))
    assert [(cell.upstream, cell.python, cell.torch) for cell in every] == [
        ("mamba-ssm==2.3.0", "3.11", "2.11"),
        ("causal-conv1d", "3.11", "2.11"),
        ("causal-conv1d", "3.12", "2.11"),
        ("causal-conv1d", "3.12", "2.15"),
        ("mamba-ssm==2.3.0", "3.10", "2.6"),
    ]
    assert every[-1].settings == (("arch", "8.0"),)


# What a cell would be.


def test_cell_is_planned_regardless_of_this_machine(tmp_path):
    (item,) = planned(tmp_path, AXES.replace("3.11", "3.13").replace("2.11", "2.15"))
    assert item.id == "mamba-ssm-2.3.0-cp313-torch2.15-cu132"
    assert item.problems == ()
    assert item.plan.torch.value is None
    assert item.plan.target.requirement == item.requirement == "torch==2.15.*"
    assert (item.plan.target.version, item.plan.target.cuda) == ("2.15", "13.2")


def test_a_project_without_a_version_is_the_newest_that_goes_with_the_torch(tmp_path):
    text = AXES.replace("==2.3.0", "")
    assert [item.id for item in planned(tmp_path, text)] == ["mamba-ssm-2.3.2.post1-cp311-torch2.11-cu130"]


def test_cell_with_a_missing_cuda_gets_nvcc_from_the_archives(tmp_path):
    (item,) = planned(tmp_path, '[settings]\nabi = "torch"\n' + AXES.replace("2.11", "2.8"))
    assert (item.problems, item.plan.cuda, item.plan.archives.release.release) == ((), "12.8", "12.8.1")
    (item,) = planned(tmp_path, '[settings]\nabi = "torch"\ncuda-mirror = "off"\n' + AXES.replace("2.11", "2.8"))
    assert "the major version must be 12" in item.problems[0].found


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        ({"torch": "2.0", "python": "3.13"}, "torch 2.0 has wheels for Python 3.8 to 3.11"),
        ({"python": "3.8"}, "torch 2.11 has wheels for Python 3.10 to 3.14"),
        ({"torch": "2.0", "python": "3.8"}, "the backend runs on Python 3.9 and newer"),
        ({"cuda": "12.4"}, "torch 2.11 is published for CUDA 12.6, 12.8, 13.0"),
        ({"cxx11abi": "FALSE"}, "torch 2.11 is built with cxx11abiTRUE"),
        ({"torch": "2.6", "cxx11abi": "TRUE"}, "torch 2.6 is built with cxx11abiFALSE"),
        ({"torch": "2.6", "cuda": "12.6", "cxx11abi": "FALSE"}, "torch 2.6 for CUDA 12.6 is built with cxx11abiTRUE"),
        ({"torch": "1.9"}, "torch 1.9 is unknown"),
        ({"upstream": "mamba-ssm==9.9"}, "mamba-ssm 9.9 is not a known version (1.0.1 to 2.3.2.post1)"),
        ({"upstream": "flash-attn"}, "unknown project 'flash-attn'; the known ones are mamba-ssm, causal-conv1d, self"),
        ({"upstream": "causal-conv1d==1.6.1", "torch": "2.0"}, "causal-conv1d 1.6.1 does not work with torch 2.0"),
    ],
)  # fmt: skip
def test_impossible_combination_is_skipped_with_the_reason(tmp_path, axes, told):
    assert told in reasons(tmp_path, **axes)


def test_all_reasons_are_printed(tmp_path):
    assert len(reasons(tmp_path, torch="2.0", python="3.13", cuda="13.0", cxx11abi="TRUE")) == 3


def test_torch_for_another_cuda_is_planned_with_an_install_note(tmp_path):
    machine = ROOT / "tests/facts/cuda12-minor-mismatch.json"
    (item,) = planned(tmp_path, AXES + 'cuda = ["12.8"]\n', machine=machine)
    assert item.problems == ()
    assert item.requirement == "torch==2.11.0+cu128"
    assert (item.plan.target.cuda, item.plan.toolkit.value.version[:3]) == ("12.8", "12.")
    assert "PyPI does not have torch==2.11.0+cu128, only torch 2.11 for CUDA 13.0" in item.notes[0]
    assert "configure an index" in item.notes[0]


@pytest.mark.parametrize(
    ("requirement", "cuda"),
    [("torch==2.11.*", "13.0"), ("torch==2.11.0+cu128", "12.8"), ("torch==2.0.1+cu118", "11.8"), ("torch>=2.11,<2.12", "13.0")],
)  # fmt: skip
def test_local_version_of_a_requirement_names_its_cuda(requirement, cuda):
    found = facts.from_json({**json.loads(MACHINE.read_text())["facts"], "torches": []})
    made = plan.decide(settings.load_settings({"torch": requirement}, {}, {}), found, LOADED)
    assert made.target.cuda == cuda


def test_a_torch_that_is_newer_than_the_tables_is_planned_and_noted(tmp_path):
    (item,) = planned(tmp_path, AXES.replace("2.11", "2.99"))
    assert item.problems == ()
    assert any("torch 2.99 is newer than the newest known release" in note for note in item.plan.notes)


def test_cell_settings_override_matrix_and_project_settings(tmp_path):
    (tmp_path / "ext").mkdir()
    (tmp_path / "ext" / "pyproject.toml").write_text(PROJECT)
    text = AXES.replace("mamba-ssm==2.3.0", "./ext") + '[settings]\nglibc = "2.27"\n'
    text += '[[include]]\nupstream = "./ext"\npython = "3.12"\ntorch = "2.11"\nsettings = { glibc = "2.26" }\n'
    first, second = planned(tmp_path, text)
    assert first.id == "my-ext-1.2-cp311-torch2.11-cu130"
    assert first.plan.upstream.value.name == "self"
    assert (first.plan.floor.glibc, second.plan.floor.glibc) == ("2.27", "2.26")
    assert list(first.plan.gpu_code.value.codes) == ["90"], "the project's own table"


def test_a_folder_whose_project_does_not_vendor_the_backend_is_refused(tmp_path):
    (tmp_path / "ext").mkdir()
    (tmp_path / "ext" / "pyproject.toml").write_text('[build-system]\nbuild-backend = "setuptools.build_meta"\n')
    with pytest.raises(SettingsError, match=r"the build-backend of .*ext is setuptools.build_meta"):
        loaded(tmp_path, AXES.replace("mamba-ssm==2.3.0", "./ext"))


def test_wheels_for_several_torches_get_several_names(tmp_path):
    text = AXES.replace('"2.11"', '"2.11", "2.15"') + 'cuda = ["13.0"]\n[settings]\nabi = "torch"\n'
    first, second = planned(tmp_path, text)
    assert dict(first.settings) == {"abi": "torch", "local-version": "auto"}
    assert dict(second.settings) == {"abi": "torch", "local-version": "cu130torch2.15"}
    with pytest.raises(SettingsError, match="would have the same name"):
        planned(tmp_path, text + 'local-version = "lab1"\n')


def test_duplicate_cell_is_built_once(tmp_path):
    text = AXES.replace('"mamba-ssm==2.3.0"', '"causal-conv1d", "causal-conv1d==1.6.1"')
    first, second = planned(tmp_path, text)
    assert first.problems == ()
    assert second.problems[0].found == f"this cell is the same as {first.id}"
    assert second.id != first.id


def test_paths_are_relative_to_the_file_and_each_cell_has_its_build_folder(tmp_path):
    matrix = AXES + '[settings]\nbuild-dir = "./work"\nsource = "./mirrors"\nhost-compiler = "g++-12"\n'
    (item,) = planned(tmp_path, matrix)
    given = dict(item.settings)
    assert given["build-dir"] == f"{tmp_path}/work/{item.id}"
    assert (given["source"], given["host-compiler"]) == (f"{tmp_path}/mirrors", "g++-12")


def test_existing_environment_is_used_and_a_missing_one_created(tmp_path):
    text = AXES.replace('"3.11"', '"3.11", "3.12", "3.13"') + "[environments]\n"
    text += f'"3.11-2.11" = "{sys.executable}"\n"3.12-2.11-13.0" = "/nowhere/python"\n'
    first, second, third = planned(tmp_path, text)
    assert (first.python, second.python, third.python) == (sys.executable, "", "")
    assert second.notes == (
        "environments.3.12-2.11-13.0: /nowhere/python is not on this machine; the workflow makes an environment instead",
    )
    assert first.environment == "cp311-torch2.11-cu130"


# The command.

MIXED = AXES.replace('"3.11"', '"3.11", "3.12", "3.8"') + '[settings]\narch = "9.0"\nabi = "torch"\n'


def test_table_shows_the_wheel_or_the_reason_of_each_cell(tmp_path, clean_env):
    done = command("matrix", written(tmp_path, MIXED), "--facts", MACHINE, env=clean_env)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == (
        "mamba-ssm-2.3.0-cp311-torch2.11-cu130  mamba-ssm 2.3.0, torch 2.11, CUDA 13.0 (nvcc 13.0), g++ 12.2.0, GPUs 90"
    )
    assert lines[2] == "mamba-ssm-2.3.0-cp38-torch2.11-cu130   skip: torch 2.11 has wheels for Python 3.10 to 3.14"
    assert lines[-1] == "3 cells, 2 to build, 1 skipped"
    told = command("matrix", tmp_path / "matrix.toml", "--facts", MACHINE, "-v", env=clean_env).stdout
    assert 'fix:  torch = ["2.4"]  # has wheels for Python 3.8' in told
    assert "torch: torch==2.11.*; settings: arch=9.0 abi=torch local-version=auto" in told


def test_github_gets_one_line_with_the_cells_that_can_be_built(tmp_path, clean_env):
    done = command("matrix", written(tmp_path, MIXED), "--facts", MACHINE, "--github", env=clean_env)
    assert done.stdout.count("\n") == 1
    include = json.loads(done.stdout)["include"]
    assert [item["python"] for item in include] == ["3.11", "3.12"]
    assert include[0] == {
        "id": "mamba-ssm-2.3.0-cp311-torch2.11-cu130",
        "upstream": "mamba-ssm==2.3.0",
        "python": "3.11",
        "torch": "2.11",
        "cuda": "13.0",
        "torch-backend": "cu130",
        "requirement": "torch==2.11.*",
        "settings": {"abi": "torch", "arch": "9.0", "local-version": "auto"},
        "arguments": "mamba-ssm==2.3.0 -C arch=9.0 -C abi=torch -C local-version=auto",
    }


def test_json_has_all_cells_with_plan_or_reason(tmp_path, clean_env):
    done = command("matrix", written(tmp_path, MIXED), "--facts", MACHINE, "--json", env=clean_env)
    data = json.loads(done.stdout)
    assert (data["schema"], data["to_build"], data["skipped"]) == (1, 2, 1)
    good, _, bad = data["cells"]
    assert good["skip"] is None
    assert good["plan"]["gpus"] == ["90"]
    assert good["arguments"][0] == "mamba-ssm==2.3.0"
    assert bad["plan"] is None
    assert bad["skip"]["problems"][0]["code"] == "python"
    assert bad["skip"]["problems"][0]["fix"]


def test_no_buildable_cell_exits_with_3_and_prints_reasons_to_stderr(tmp_path, clean_env):
    path = written(tmp_path, AXES.replace("3.11", "3.8"))
    done = command("matrix", path, "--facts", MACHINE, "--github", env=clean_env)
    assert (done.returncode, done.stdout) == (3, "")
    assert "error: torch 2.11 has wheels for Python 3.10 to 3.14; this cell is for Python 3.8." in done.stderr
    for option in ("--json", "-v"):
        done = command("matrix", path, "--facts", MACHINE, option, env=clean_env)
        assert done.returncode == 3
        assert "torch 2.11 has wheels for Python 3.10 to 3.14" in done.stdout


def test_matrix_file_is_here_or_in_the_checkout(tmp_path, clean_env):
    here = command("matrix", "--facts", MACHINE, env=clean_env, cwd=tmp_path)
    assert here.stdout.splitlines()[-1].startswith("24 cells")
    written(tmp_path, AXES)
    assert (
        command("matrix", "--facts", MACHINE, env=clean_env, cwd=tmp_path).stdout.splitlines()[-1].startswith("1 cell,")
    )
    done = command("matrix", "none.toml", env=clean_env, cwd=tmp_path)
    assert done.returncode == 2
    assert "none.toml cannot be read: No such file or directory" in done.stderr


def test_this_machine_is_probed_by_default(tmp_path, clean_env):
    empty = tmp_path / "bin"
    empty.mkdir()
    env = {**clean_env, "MAMBA_BUILD_ABI": "torch", "PATH": str(empty), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = command("matrix", written(tmp_path, AXES), env=env)
    assert done.returncode == 3, done.stderr
    assert "skip: no g++ was found" in done.stdout
