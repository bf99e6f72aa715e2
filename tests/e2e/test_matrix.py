"""The rows of the matrix that need nothing but the package index: built, audited and imported, as their users would."""

import json
import sys
import zipfile

import pytest
from support import ROOT, only_wheel, run

HURRIED = {"NVCC_APPEND_FLAGS": "-Ofc=max"}
"""nvcc's own way to compile faster and optimise less: it is the sources that are tried here."""


@pytest.fixture(scope="module")
def env():
    import os

    dropped = ("VIRTUAL_ENV", "PYTHONPATH", "CUDA_HOME", "CXX", "CC", "TORCH_CUDA_ARCH_LIST", "MAX_JOBS")
    return {key: value for key, value in os.environ.items() if key not in dropped and not key.startswith("MAMBA_")}


@pytest.mark.parametrize("what", ["causal-conv1d==1.6.1", "causal-conv1d==1.7.0"])
def test_a_row_of_the_matrix_is_built_audited_and_imported(what, env, tmp_path):
    results = tmp_path / "results.json"
    command = [sys.executable, "tests/matrix.py", "run", "torch2.11-cuda13.0", what, "--results", results]
    done = run(*command, env={**env, **HURRIED}, cwd=ROOT)
    (result,) = json.loads(results.read_text())
    assert result["what"] == what
    assert (result["audit"], result["import"]) == ("ok", "ok")
    assert "manylinux_2_24" in result["wheel"]
    assert "failed: nothing" in done.stdout


def test_a_source_that_cuda_13_does_not_compile_is_patched_and_does(env, tmp_path):
    """2.2.5 is the one version that the index has whole and that needs the patch."""
    command = [sys.executable, "-m", "mamba_build_backend", "build", "mamba-ssm==2.2.5", "-C", "arch=9.0"]
    done = run(*command, "-w", tmp_path / "dist", env={**env, **HURRIED}, cwd=ROOT)
    assert "patching with mamba-ssm/0002-cub-3-before-2.2.6.patch" in done.stderr + done.stdout
    with zipfile.ZipFile(only_wheel(tmp_path / "dist")) as archive:
        record = json.loads(archive.read("mamba_ssm_portable-2.2.5.dist-info/mamba-build-record.json"))
    assert [item["file"] for item in record["upstream"]["patches"]] == ["mamba-ssm/0002-cub-3-before-2.2.6.patch"]
    assert record["upstream"]["verified"] is True


def test_mamba_and_its_causal_conv1d_come_in_one_wheel(env, tmp_path):
    command = [
        sys.executable,
        "-m",
        "mamba_build_backend",
        "build",
        "mamba-ssm==2.3.0",
        "-w",
        tmp_path / "dist",
        "--json",
    ]
    done = run(*command, "-C", "with-causal-conv1d=true", "-C", "arch=9.0", env={**env, **HURRIED}, cwd=ROOT)
    (made,) = json.loads(done.stdout)["wheels"]
    wheel = only_wheel(tmp_path / "dist")
    assert made["wheel"] == str(wheel)
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0].split(".")[0] for name in archive.namelist()}
        info = "mamba_ssm_portable-2.3.0.dist-info"
        metadata = archive.read(f"{info}/METADATA").decode()
        record = json.loads(archive.read(f"{info}/mamba-build-record.json"))
        assert f"{info}/licenses/causal-conv1d/LICENSE" in archive.namelist()
    modules = {"mamba_ssm", "selective_scan_cuda", "causal_conv1d", "causal_conv1d_cuda", "mamba_ssm_portable"}
    assert modules <= tops
    assert "Requires-Dist: causal" not in metadata
    assert "License-Expression: Apache-2.0 AND BSD-3-Clause\n" in metadata
    assert [item["name"] for item in record["companions"]] == ["causal-conv1d"]
    audit = run(sys.executable, "-m", "mamba_build_backend", "audit", "--json", wheel, env=env, cwd=ROOT)
    assert {item["path"].split(".")[0] for item in json.loads(audit.stdout)["extensions"]} == {
        "selective_scan_cuda",
        "causal_conv1d_cuda",
    }

    # Beside the torch of the tests, in an environment of its own.
    sys.path.insert(0, str(ROOT / "tests"))
    from matrix import overlay

    python = overlay(sys.executable, tmp_path)
    run(python, "-m", "pip", "install", "-q", wheel, env=env, cwd=tmp_path)
    said = json.loads(run(python, "-m", "mamba_ssm_portable", "--json", env=env, cwd=tmp_path).stdout)
    assert {row["check"]: row["state"] for row in said["rows"] if row["check"] in modules} == dict.fromkeys(
        modules - {"mamba_ssm_portable"}, "ok"
    )
    fast = "from mamba_ssm.ops import selective_scan_interface as s; assert s.causal_conv1d_fn and s.causal_conv1d_fwd_function"
    run(python, "-c", fast, env=env, cwd=tmp_path)
