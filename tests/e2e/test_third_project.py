"""A third project, added only by its folder: docs/add-a-project.md, command by command, in a copy of this checkout."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest
from snippets import blocks
from support import ROOT, only_wheel, record_of

from mamba_build_backend import api
from mamba_build_backend.core._compat import tomllib

NAME = "torch-linear-assignment"
ROW = tomllib.loads((ROOT / f"tests/packages/projects/{NAME}/versions.toml").read_text())["version"][0]


@pytest.fixture(scope="module")
def done(tmp_path_factory, torch_site, gxx):
    """The copy after all commands, and their output."""
    folder = tmp_path_factory.mktemp("third") / "checkout"
    left_out = shutil.ignore_patterns(".git", "build", "dist", "docs", "facts", "logs", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, folder, ignore=left_out)
    dropped = ("VIRTUAL_ENV", "PYTHONPATH", "CUDA_HOME", "CXX", "CC", "TORCH_CUDA_ARCH_LIST", "MAX_JOBS")
    env = {key: value for key, value in os.environ.items() if key not in dropped and not key.startswith("MAMBA_")}
    env["PATH"] = f"{os.path.dirname(sys.executable)}{os.pathsep}{env['PATH']}"
    printed = {}
    for block in blocks("docs/add-a-project.md"):
        for command in block.commands if block.world == "project" else ():
            ran = subprocess.run(
                ["sh", "-c", command], cwd=folder, env=env, capture_output=True, text=True, check=False
            )
            assert ran.returncode == 0, f"{block}: {command}\n{ran.stdout[-3000:]}\n{ran.stderr[-6000:]}"
            printed[command] = ran.stdout
    return folder, printed


def printed_by(printed, words):
    (text,) = [text for command, text in printed.items() if words in command]
    return text


def test_the_commands_of_the_page_give_the_hashes_of_its_row(done):
    assert printed_by(done[1], "sha256sum").split()[0] == ROW["index-sha256"]
    assert [printed_by(done[1], "tree_sha256").strip()] == ROW["tree-sha256"]


def test_wheel_has_the_planned_architectures_and_its_own_check(done, torch_site):
    wheel = only_wheel(done[0] / "dist")
    assert wheel.name.startswith("torch_linear_assignment_portable-0.0.6-")
    report = api.audit(wheel, torch_site)
    assert report.problems == ()
    (extension,) = report.extensions
    assert [arch for arch, _ in extension.sass] == ["90"]
    assert record_of(wheel)["upstream"]["verified"] is True
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read("torch_linear_assignment_portable-0.0.6.dist-info/METADATA").decode()
    assert "torch_linear_assignment_portable/_check_torch_linear_assignment.py" in names
    assert "License-Expression: Apache-2.0 AND BSD-3-Clause\n" in metadata


def test_project_imports_and_computes(done):
    assert printed_by(done[1], "batch_linear_assignment").strip() == "[[1, 0]]"
    table = printed_by(done[1], "-m torch_linear_assignment_portable")
    assert "torch_linear_assignment._backend  ok" in table


def test_only_its_folder_was_added(done):
    folder, _ = done
    new = {
        path.relative_to(folder).as_posix()
        for path in (folder / "mamba_build_backend").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not (ROOT / path.relative_to(folder)).exists()
    }
    assert new == {
        f"mamba_build_backend/projects/{NAME}/{name}" for name in ("project.toml", "versions.toml", "check.py")
    }
    assert not any((ROOT / "mamba_build_backend/projects" / NAME).glob("*"))
