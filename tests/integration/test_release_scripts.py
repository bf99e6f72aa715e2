"""The scripts of release/ that install what a release has, on small wheels of the plan's names."""

import os
import sys

import pytest
from support import ROOT, packed_wheel, run

sys.path.insert(0, str(ROOT / "release"))
import plan

TAGS = "cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64"


@pytest.fixture
def dist(tmp_path):
    """A wheel of each distribution of the plan, in which its module can be imported."""
    for wheel in plan.load().wheels:
        module, name = wheel.project.replace("-", "_"), wheel.distribution.replace("-", "_")
        made = packed_wheel(tmp_path, {f"{module}/__init__.py": b""}, f"{name}-{wheel.version}-{TAGS}.whl")
        made.rename(tmp_path / f"{wheel.stem}{TAGS}.whl")
    return tmp_path


def check(dist, env, by="both"):
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = [
        sys.executable,
        ROOT / "release" / "install_check.py",
        dist,
        "--torch",
        "",
        "--python",
        version,
        "--by",
        by,
    ]
    return run(*command, env=env, cwd=dist, check=False)


def test_install_check_times_pip_and_uv(dist, env):
    done = check(dist, env)
    assert done.returncode == 0, done.stdout + done.stderr
    for by in ("pip", "uv"):
        assert f"{by}: mamba-ssm-portable, causal-conv1d-portable beside torch of the installer" in done.stdout
    assert done.stdout.rstrip().endswith("s from the command to the import")


@pytest.mark.parametrize(
    ("source", "told"),
    [("import torch_that_is_not_there", "No module named"), ("raise OSError('libc10.so')", "libc10.so")],
)
def test_a_wheel_that_cannot_be_imported_fails_the_check(source, told, dist, env):
    wheel = plan.load().wheels[0]
    module = wheel.project.replace("-", "_")
    (dist / f"{wheel.stem}{TAGS}.whl").unlink()
    name = f"{wheel.distribution.replace('-', '_')}-{wheel.version}-{TAGS}.whl"
    packed_wheel(dist, {f"{module}/__init__.py": source.encode()}, name)
    done = check(dist, env, by="uv")
    assert done.returncode != 0
    assert told in done.stdout


def test_the_environment_of_the_check_has_no_compiler_and_leaves_nothing(dist, env, tmp_path_factory):
    """PATH holds only the environment, and the check removes its files."""
    wheel = plan.load().wheels[0]
    module = wheel.project.replace("-", "_")
    (dist / f"{wheel.stem}{TAGS}.whl").unlink()
    name = f"{wheel.distribution.replace('-', '_')}-{wheel.version}-{TAGS}.whl"
    looks = b"import shutil, os\nassert not any(map(shutil.which, ('g++', 'gcc', 'nvcc', 'cc'))), os.environ['PATH']\n"
    packed_wheel(dist, {f"{module}/__init__.py": looks}, name)
    temporary = tmp_path_factory.mktemp("temporary")
    done = check(dist, {**env, "TMPDIR": str(temporary), "CC": "gcc", "CUDA_HOME": "/usr/local/cuda"}, by="uv")
    assert done.returncode == 0, done.stdout + done.stderr
    assert os.listdir(temporary) == []
