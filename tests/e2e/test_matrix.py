"""The basis of the matrix: a row that needs only PyPI, and a source that needs a patch for its compiler."""

import json
import subprocess
import sys

import pytest
from support import HURRIED, ROOT, cut_kernels, lacking, nvcc_home, released_tree, run

from mamba_build_backend.source.patching import apply_patches
from mamba_build_backend.tables import load_tables


@pytest.fixture(scope="module")
def env():
    import os

    dropped = ("VIRTUAL_ENV", "PYTHONPATH", "CUDA_HOME", "CXX", "CC", "TORCH_CUDA_ARCH_LIST", "MAX_JOBS")
    return {key: value for key, value in os.environ.items() if key not in dropped and not key.startswith("MAMBA_")}


def test_a_row_of_the_matrix_is_built_audited_and_imported(env, tmp_path):
    what, results = "causal-conv1d==1.7.0", tmp_path / "results.json"
    command = [sys.executable, "tests/matrix.py", "run", "torch2.11-cuda13.0", what, "--results", results]
    done = run(*command, env={**env, **HURRIED}, cwd=ROOT)
    (result,) = json.loads(results.read_text())
    assert result["what"] == what
    assert (result["audit"], result["import"]) == ("ok", "ok")
    assert "manylinux_2_24" in result["wheel"]
    assert "failed: nothing" in done.stdout


def test_a_patch_makes_an_old_source_compile_with_cuda_13(tmp_path, torch_site, gxx):
    """Only 2.2.5 has its whole source on PyPI and needs the patch; one file of 2.2.5 shows both."""
    home = nvcc_home()
    if not (home / "include" / "cccl").is_dir():
        lacking("CUDA 13")
    tree = released_tree("mamba-ssm==2.2.5", tmp_path)
    cut_kernels(tree)
    source = tree / "csrc" / "selective_scan" / "selective_scan_bwd_fp32_real.cu"
    include = [torch_site / "torch/include", torch_site / "torch/include/torch/csrc/api/include"]
    command = [home / "bin/nvcc", "-std=c++17", "--expt-relaxed-constexpr", "--expt-extended-lambda", "-Ofc=max"]
    command += ["-gencode=arch=compute_90,code=sm_90", "-ccbin", gxx, "-c", source, "-o", tmp_path / "o.o"]
    command += [f"-I{folder}" for folder in include]

    def compiled():
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert 'namespace "cub" has no member "LaneId"' in compiled().stderr
    patches = [row for row in load_tables().patches if row.file == "mamba-ssm/0002-cub-3-before-2.2.6.patch"]
    apply_patches(patches, tree, "mamba-ssm 2.2.5")
    done = compiled()
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "o.o").stat().st_size > 0
