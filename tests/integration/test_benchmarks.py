"""The benchmark of builds, on the tiny project: that it measures, and what it says."""

import json
import sys

import pytest
from support import PACKAGES, ROOT, nvcc_home, run

pytestmark = pytest.mark.cold  # The test measures the time of a build.


def test_build_is_measured_next_to_the_build_of_upstream(env, tmp_path, torch_site, gxx):
    program = ROOT / "benchmarks" / "build_vs_upstream.py"
    command = [sys.executable, program, PACKAGES / "tiny_cuda", "--out", tmp_path / "bench", "--arch", "9.0"]
    done = run(*command, "--cases", "upstream", "one", env={**env, "CUDA_HOME": str(nvcc_home())}, cwd=tmp_path)
    result = json.loads((tmp_path / "bench" / "result.json").read_text())
    theirs, ours = result["cases"]["upstream"], result["cases"]["one"]
    assert (theirs["codes"], ours["codes"]) == ("80", "90")
    for row in (theirs, ours):
        assert 0 < row["wall"] < 300
        assert 0 < row["cpu"] < 300
        assert 50_000_000 < row["memory"] < 8_000_000_000
        assert 10_000 < row["size"] < 1_000_000
    ratio = f"{ours['wall'] / theirs['wall']:.2f} ×"
    assert ratio in done.stdout
    assert done.stdout.splitlines()[3] == "|---|---|---|---|---|---|"


def test_failed_build_is_reported_with_its_log(env, tmp_path, torch_site):
    program = ROOT / "benchmarks" / "build_vs_upstream.py"
    command = [sys.executable, program, PACKAGES / "tiny_cuda", "--out", tmp_path / "bench", "--cases", "one"]
    done = run(*command, "--arch", "1.0", env=env, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert f"one ended with exit code 1 and 0 wheels: see {tmp_path / 'bench' / 'one.log'}" in done.stderr
