"""``build mamba-ssm causal-conv1d``: the requested projects, and one plan for all of them."""

import argparse
import json
import subprocess
import sys

import pytest
from support import ROOT

from mamba_build_backend import plan, tables
from mamba_build_backend.cli import drive, options
from mamba_build_backend.core import facts, settings
from mamba_build_backend.core.errors import PlanError, SettingsError

LOADED = tables.load_tables()


def planned(machine, *targets, **given):
    data = json.loads((ROOT / f"tests/facts/{machine}.json").read_text())
    wanted = drive.with_targets(given, targets)
    made = plan.decide_together(
        [settings.load_settings(item, {}, {}) for item in wanted], facts.from_json(data["facts"]), LOADED
    )
    return [item.upstream.value.title for item in made], made


@pytest.mark.parametrize(
    ("targets", "titles"),
    [
        (["causal-conv1d==1.6.1"], ["causal-conv1d 1.6.1"]),
        (["causal_conv1d"], ["causal-conv1d 1.6.1"]),
        (["mamba-ssm"], ["mamba-ssm 2.3.2.post1"]),
        (["mamba-ssm-portable==2.3.0"], ["mamba-ssm 2.3.0"]),
        (["mamba-ssm", "causal-conv1d"], ["mamba-ssm 2.3.2.post1", "causal-conv1d 1.6.2.post1"]),
        (["causal-conv1d", "mamba-ssm==2.2.4"], ["mamba-ssm 2.2.4", "causal-conv1d 1.5.0.post8"]),
        (["mamba-ssm==2.3.0", "causal-conv1d==1.6.1"], ["mamba-ssm 2.3.0", "causal-conv1d 1.6.1"]),
        ([], ["mamba-ssm 2.3.2.post1"]),
    ],
)
def test_named_targets_are_built_with_a_fitting_causal_conv1d(targets, titles):
    named, made = planned("debian12-torch2.11-cuda13.0", *targets)
    assert named == titles
    drive.raise_together(made)


def test_unfitting_targets_are_reported_with_a_fitting_pair():
    _, made = planned("debian12-torch2.11-cuda13.0", "mamba-ssm==2.2.4", "causal-conv1d==1.6.1")
    with pytest.raises(PlanError, match=r"mamba-ssm 2\.2\.4 and causal-conv1d 1\.6\.1 do not work together") as caught:
        drive.raise_together(made)
    assert "build mamba-ssm==2.2.4 causal-conv1d" in str(caught.value)


def test_torch_without_a_fitting_version_names_an_older_mamba():
    _, made = planned("numpy-2.1-torch-2.1.2", "mamba-ssm==2.3.0", "causal-conv1d")
    with pytest.raises(PlanError) as caught:
        drive.raise_together(made)
    assert "build mamba-ssm==2.2.4 causal-conv1d" in str(caught.value)


def test_problems_of_all_targets_are_printed_once():
    _, made = planned("no-gxx", "mamba-ssm==9.9", "causal-conv1d==0.1")
    with pytest.raises(PlanError) as caught:
        drive.raise_together(made)
    codes = [problem.code for problem in caught.value.problems]
    assert codes.count("no-compiler") + codes.count("compiler") <= 1
    assert codes.count("upstream-version") == 2


@pytest.mark.parametrize(
    ("targets", "given", "told"),
    [
        (["causal-conv1d>=1.6"], {}, "is not a project, or a project and a version"),
        (["causal-conv1d==1.*,<2"], {}, "is not a project, or a project and a version"),
        (["./mamba"], {}, "does not exist; the folder of a source tree"),
        (["mamba-ssm", "mamba_ssm"], {}, "only once"),
        (["mamba-ssm"], {"upstream": "causal-conv1d"}, "conflicts with -C upstream"),
        (["mamba-ssm==2.3.0"], {"upstream-version": "2.2.4"}, "conflicts with -C upstream-version"),
        (["mamba-ssm", "causal-conv1d"], {"upstream-version": "2.2.4"}, "conflicts with -C upstream-version"),
    ],
)
def test_targets_that_cannot_be_read_are_one_sentence(targets, given, told):
    with pytest.raises(SettingsError, match=told) as caught:
        drive.with_targets(given, targets)
    assert caught.value.exit_code == 2


def test_command_names_an_unknown_project(clean_env):
    done = subprocess.run(
        [sys.executable, "-m", "mamba_build_backend", "build", "flash-attn", "mamba-ssm==9.9"],
        cwd=ROOT, env=clean_env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert "unknown project 'flash-attn'; the known ones are mamba-ssm, causal-conv1d, self" in done.stderr
    assert "mamba-ssm 9.9 is not a known version" in done.stderr
    assert "Traceback" not in done.stderr


def test_command_line_path_is_relative_to_the_current_folder(clean_env, tmp_path):
    (tmp_path / "mamba_ssm-2.3.0.tar.gz").write_bytes(b"x")
    done = subprocess.run(
        [sys.executable, "-m", "mamba_build_backend", "doctor", "--json", "-C", "source=./mamba_ssm-2.3.0.tar.gz"],
        cwd=tmp_path, env={**clean_env, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert json.loads(done.stdout)["plan"]["parts"][0]["path"] == str(tmp_path / "mamba_ssm-2.3.0.tar.gz")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("source=fork.zip", "{here}/fork.zip"),
        ("source=./fork", "{here}/fork"),
        ("source=auto", "auto"),
        ("source=index", "index"),
        ("source=git", "git"),
        ("source=https://host/fork", "https://host/fork"),
        ("cuda-mirror=https://host/redist", "https://host/redist"),
        ("cuda-home=pypi", "pypi"),
        ("cuda-home=cuda/12", "{here}/cuda/12"),
    ],
)
def test_setting_path_is_relative_to_the_current_folder(tmp_path, monkeypatch, given, meant):
    monkeypatch.chdir(tmp_path)
    read = options.read_settings(argparse.Namespace(config_setting=[given], allow_unverified=False, tree=None))
    assert [*read.values()] == [meant.format(here=tmp_path)]
