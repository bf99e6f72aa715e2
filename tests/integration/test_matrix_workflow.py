"""The whole workflow of a matrix: a cell fails, gets its fix, and pip installs the wheels from the index."""

import json
import shutil
import sys
from importlib.util import find_spec

import pytest
from support import ROOT, copy_tiny, lacking, run, served

from mamba_build_backend.probe.torch import read_torch
from mamba_build_backend.tables import load_tables, minor

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
TAG = f"cp{sys.version_info.major}{sys.version_info.minor}"


@pytest.fixture
def torch(torch_site):
    found = read_torch(torch_site, "the test environment")
    if found.cuda not in load_tables().torch_row(minor(found.version)).builds:
        lacking("a torch that the tables know")
    return found


@pytest.fixture
def matrix(tmp_path, torch, gxx):
    """Two projects that compile, one that does not, and a combination that cannot be."""
    if find_spec("snakemake") is None:
        lacking("snakemake 9")
    for name in ("one", "two", "broken"):
        project = copy_tiny(tmp_path / name)
        path = project / "pyproject.toml"
        path.write_text(path.read_text().replace('name = "tiny-cuda"', f'name = "tiny-{name}"'))
    source = tmp_path / "broken" / "csrc" / "tiny.cpp"
    source.write_text(source.read_text() + "\n#error made to fail\n")
    release = minor(torch.version)
    text = f"""
[axes]
upstream = ["./one", "./two", "./broken"]
python = ["{PYTHON}"]
torch = ["{release}"]
cuda = ["{torch.cuda}"]
[[include]]
upstream = "./one"
python = "3.8"
torch = "2.11"
[environments]
"{PYTHON}-{release}" = "{sys.executable}"
"""
    (tmp_path / "matrix.toml").write_text(text)
    return tmp_path


def built(folder, env, *, check):
    command = [sys.executable, "-m", "snakemake", "-s", ROOT / "manylinux" / "Snakefile"]
    command += ["--profile", ROOT / "manylinux" / "profiles" / "local", "--config", "matrix=matrix.toml", "out=out"]
    return run(*command, env=env, cwd=folder, check=check)


def test_failed_cell_leaves_the_others_and_builds_after_a_fix(matrix, env, torch):
    out = matrix / "out"
    done = built(matrix, env, check=False)
    assert done.returncode != 0, done.stderr
    report = json.loads((out / "report.json").read_text())
    assert report["counts"] == {"built": 2, "failed": 1, "skipped": 1, "not tried": 0}, done.stderr
    place = f"{TAG}-torch{minor(torch.version)}-cu{torch.cuda.replace('.', '')}"
    cells = {item["id"]: item for item in report["cells"]}
    failed = cells[f"tiny-broken-1.2.3-{place}"]
    assert "error: #error made to fail" in failed["error"]
    assert "#error made to fail" in (out / failed["log"]).read_text()
    assert "#error made to fail" in (out / "report.md").read_text()
    for name in ("one", "two"):
        assert cells[f"tiny-{name}-1.2.3-{place}"]["audit"] == "ok"
        assert (out / "simple" / f"tiny-{name}" / "index.html").is_file()
    assert not (out / "simple" / "tiny-broken").exists()
    wheels = {path.name: path.stat().st_mtime_ns for path in (out / "wheels").glob("*.whl")}
    assert len(wheels) == 2
    assert all(f"+cu{torch.cuda.partition('.')[0]}torch{minor(torch.version)}" in name for name in wheels)

    source = matrix / "broken" / "csrc" / "tiny.cpp"
    source.write_text(source.read_text().replace("#error made to fail", ""))
    done = built(matrix, env, check=True)
    assert (done.stdout + done.stderr).count("rule wheel:") == 1, "only what failed"
    report = json.loads((out / "report.json").read_text())
    assert report["counts"] == {"built": 3, "failed": 0, "skipped": 1, "not tried": 0}
    after = {path.name: path.stat().st_mtime_ns for path in (out / "wheels").glob("*.whl")}
    assert len(after) == 3
    assert wheels.items() <= after.items(), "those that were there are as they were"

    with served(out) as address:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "-d", matrix / "pip"]
        run(*command, "--index-url", address, "tiny-one", env=env, cwd=matrix)
        assert [path.name for path in (matrix / "pip").iterdir()] == [name for name in after if "one" in name]
        uv = shutil.which("uv", path=env["PATH"])
        if uv is None:
            lacking("uv")
        command = [uv, "pip", "install", "--no-deps", "--no-cache", "--python", sys.executable, "--index-url", address]
        run(*command, "--target", matrix / "uv", "tiny-broken", env=env, cwd=matrix)
        assert (matrix / "uv" / "tiny_cuda" / "__init__.py").is_file()
