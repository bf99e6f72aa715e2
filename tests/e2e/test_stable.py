"""The real wheel with abi=stable: both projects in one, built for torch 2.11, used under it and under the newest torch."""

import json
import os
import subprocess
import sys
import zipfile

import pytest
from support import HURRIED, ROOT, environment_with_torch, fresh_environment, only_wheel, record_of, run, uv_program

NEWEST = "torch==2.15.*"


@pytest.fixture(scope="module")
def env():
    dropped = ("VIRTUAL_ENV", "PYTHONPATH", "CUDA_HOME", "CXX", "CC", "TORCH_CUDA_ARCH_LIST", "MAX_JOBS")
    return {key: value for key, value in os.environ.items() if key not in dropped and not key.startswith("MAMBA_")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory, env, torch_site):
    folder = tmp_path_factory.mktemp("stable")
    python = environment_with_torch(folder / "venv", torch_site)
    command = [python, "-m", "pip", "wheel", ".", "-w", folder / "dist", "--no-deps", "-v", "-C", "abi=stable"]
    command += ["-C", "arch=9.0", "-C", "with-causal-conv1d=true"]
    log = folder / "pip.log"
    with log.open("w") as file:
        status = subprocess.run(
            [str(part) for part in command], env={**env, **HURRIED}, cwd=ROOT, stdout=file, stderr=file, check=False
        ).returncode
    assert status == 0, log.read_text()[-6000:]
    return only_wheel(folder / "dist")


def test_its_name_and_metadata_tie_it_to_no_later_torch_and_python(wheel):
    assert wheel.name.startswith("mamba_ssm_portable-2.3.2.post1-cp39-abi3-")
    assert "manylinux_2_17_" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read("mamba_ssm_portable-2.3.2.post1.dist-info/METADATA").decode()
    assert {"selective_scan_cuda.abi3.so", "causal_conv1d_cuda.abi3.so"} <= set(names)
    assert "Requires-Dist: torch>=2.4\n" in metadata, "causal-conv1d's Python needs it"


def test_mamba_and_its_causal_conv1d_come_in_one_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        info = "mamba_ssm_portable-2.3.2.post1.dist-info"
        metadata = archive.read(f"{info}/METADATA").decode()
    assert {"mamba_ssm", "causal_conv1d", "mamba_ssm_portable"} <= {name.split("/")[0] for name in names}
    assert f"{info}/licenses/causal-conv1d/LICENSE" in names
    assert "Requires-Dist: causal" not in metadata
    assert "License-Expression: Apache-2.0 AND BSD-3-Clause\n" in metadata
    assert [item["name"] for item in record_of(wheel)["companions"]] == ["causal-conv1d"]


def test_its_audit_finds_old_floors_and_no_symbol_of_torch(wheel, env):
    data = json.loads(
        run(sys.executable, "-m", "mamba_build_backend", "audit", "--json", wheel, env=env, cwd=ROOT).stdout
    )
    assert data["ok"] is True
    names = [item["path"].partition(".")[0] for item in data["extensions"]]
    assert sorted(names) == ["causal_conv1d_cuda", "selective_scan_cuda"]
    for extension in data["extensions"]:
        floor = extension["floor"]
        numbers = {name: tuple(map(int, floor[name].split("."))) for name in ("glibc", "glibcxx", "cxxabi")}
        assert numbers["glibc"] <= (2, 17)
        assert numbers["glibcxx"] <= (3, 4, 19)
        assert numbers["cxxabi"] <= (1, 3, 7)
        abi = extension["abi"]
        assert (abi["python_outside"], abi["torch_outside"]) == ([], [])
        assert tuple(map(int, abi["python"].split("."))) <= (3, 9)
        assert not [name for name in extension["needed"] if "cudart" in name]


def check(python, env, folder):
    """The wheel in this environment imports, and answers to the recorded calls as upstream's own bindings."""
    done = run(python, "-m", "mamba_ssm_portable", env=env, cwd=folder)
    assert done.stdout.splitlines()[-1] in (
        "all systems go",
        "all that can be checked here is fine; unchecked without a GPU: driver, GPU, kernels",
    )
    (site,) = python.parent.parent.glob("lib/python*/site-packages")
    fast = "from mamba_ssm.ops import selective_scan_interface as s; assert s.causal_conv1d_fn and s.causal_conv1d_fwd_function"
    run(python, "-c", fast, env=env, cwd=folder)
    said = run(python, ROOT / "tests" / "stable" / "calls.py", "check", site, env=env, cwd=folder).stdout
    assert said.splitlines()[-1] == "2631 compared, 0 differ"


def test_beside_the_torch_of_its_build_it_answers_as_upstreams_own(wheel, env, tmp_path, torch_site):
    python = environment_with_torch(tmp_path / "venv", torch_site)
    run(uv_program(), "pip", "install", "-q", "--python", python, wheel, env=env, cwd=tmp_path)
    check(python, env, tmp_path)


def test_beside_the_newest_torch_it_answers_as_upstreams_own(wheel, env, tmp_path):
    with fresh_environment(tmp_path / "venv", env, NEWEST, wheel) as python:
        check(python, env, tmp_path)
        run(python, "-m", "pip", "check", env=env, cwd=tmp_path)
