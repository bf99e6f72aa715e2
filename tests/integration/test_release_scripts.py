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


def replaced(dist, wheel, files):
    """The plan's wheel again, with other files."""
    (dist / f"{wheel.stem}{TAGS}.whl").unlink()
    name = f"{wheel.distribution.replace('-', '_')}-{wheel.version}-{TAGS}.whl"
    packed_wheel(dist, files, name).rename(dist / f"{wheel.stem}{TAGS}.whl")


def test_wheel_for_newer_pythons_is_left_out(dist, env):
    """causal-conv1d 1.7.0 needs Python 3.10, and mamba-ssm does not."""
    first, second = plan.load().wheels
    module, info = second.project.replace("-", "_"), second.distribution.replace("-", "_")
    head = f"Metadata-Version: 2.1\nName: {second.distribution}\nVersion: {second.version}\nRequires-Python: >=3.99\n"
    replaced(
        dist,
        second,
        {f"{module}/__init__.py": b"", f"{info}-{second.version}.dist-info/METADATA": head.encode()},
    )
    done = check(dist, env, by="uv")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{second.distribution}: not for Python" in done.stdout
    assert f"uv: {first.distribution} beside torch of the installer" in done.stdout


@pytest.mark.parametrize(
    ("has_gpu", "extension", "passes"), [("False", b"", True), ("True", b"", False), ("False", None, False)]
)
def test_triton_without_a_gpu_leaves_the_extension_to_import(has_gpu, extension, passes, dist, env):
    """Triton 3.2 and 3.3 ask for a GPU when a kernel is declared."""
    first = plan.load().wheels[0]
    declared = b"raise RuntimeError('0 active drivers ([]). There should only be one.')\n"
    torch = f"class cuda:\n    def is_available():\n        return {has_gpu}\n"
    files = {f"{first.project.replace('-', '_')}/__init__.py": declared, "torch.py": torch.encode()}
    if extension is not None:
        files["selective_scan_cuda.py"] = extension
    replaced(dist, first, files)
    done = check(dist, env, by="uv")
    assert (done.returncode == 0) == passes, done.stdout + done.stderr
    assert ("does not declare without a GPU (0 active drivers" in done.stdout) == (has_gpu == "False")
