"""`vendor`, tested on three other projects: a small one, causal-conv1d's own tree, and a foreign one from PyPI."""

import json
import re
import shutil
import sys
import tarfile
import zipfile

import pytest
from support import HURRIED, PACKAGES, ROOT, only_wheel, pip_wheel, record_of, released_tree, run

FAST = {**HURRIED, "MAMBA_BUILD_ARCH": "9.0"}


def backend(*arguments, env, check=True):
    return run(sys.executable, "-m", "mamba_build_backend", *arguments, env=env, cwd=ROOT, check=check)


def unpacked(archive, into):
    with tarfile.open(archive) as tar:
        tar.extractall(into, filter="data")
    (tree,) = (path for path in into.iterdir() if path.is_dir())
    return tree


def build(project, tmp_path, env, torch_site):
    """Vendor, build as the project's user does, audit; the wheel and what its build said."""
    backend("vendor", project, "--upstream", "self", env=env)
    said = backend("vendor", project, "--check", env=env).stdout
    assert said.startswith("up to date")
    done = pip_wheel(project, tmp_path / "dist", {**env, **FAST})
    wheel = only_wheel(tmp_path / "dist")
    report = json.loads(backend("audit", "--json", "--torch", torch_site, wheel, env=env).stdout)
    assert report["problems"] == []
    assert record_of(wheel)["upstream"]["name"] == "self"
    assert "manylinux_2_24" in wheel.name
    return wheel, done.stdout + done.stderr, report


def imported(wheel, folder, code, env):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return run(sys.executable, "-c", code, env={**env, "PYTHONPATH": str(folder)}, cwd=folder).stdout


@pytest.fixture
def env(clean_env):
    return clean_env


def test_a_small_extension_whose_pyproject_was_setuptools(tmp_path, env, torch_site, gxx):
    project = tmp_path / "tiny"
    shutil.copytree(PACKAGES / "tiny_cuda", project)
    text = (project / "pyproject.toml").read_text()
    own = re.sub(r"(?s)\[build-system\].*?\n\n", "", text).partition("[tool.")[0]
    head = '[build-system]\nrequires = ["setuptools>=61", "torch>=2.4"]  # as it was\nbuild-backend = "setuptools.build_meta"\n\n'
    (project / "pyproject.toml").write_text(head + own)
    wheel, _, _ = build(project, tmp_path, env, torch_site)
    assert imported(wheel, tmp_path / "site", "import torch, tiny_cuda_ext as t; print(t.lines(3), end='')", env) == (
        "size 0 n 3\n"
    )
    assert "# as it was" in (project / "pyproject.toml").read_text()


def test_causal_conv1d_from_its_own_tree(tmp_path, env, torch_site, gxx):
    project = released_tree("causal-conv1d==1.7.0", tmp_path)
    wheel, said, report = build(project, tmp_path, env, torch_site)
    assert wheel.name.startswith("causal_conv1d-1.7.0-")
    assert "compiling this project" in said
    (extension,) = report["extensions"]
    assert [arch for arch, _ in extension["sass"]] == ["90"], "upstream's list of architectures gave way to the plan's"
    assert imported(wheel, tmp_path / "site", "import causal_conv1d as c; print(c.__version__, end='')", env) == "1.7.0"


def test_extension_of_another_project_from_pypi(tmp_path, env, torch_site, gxx):
    """spatial-correlation-sampler 0.5.0: own pyproject.toml, package_dir, OpenMP, pybind11, no static metadata."""
    command = ["-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "--no-build-isolation"]
    run(sys.executable, *command, "spatial-correlation-sampler==0.5.0", env=env, cwd=tmp_path)
    (archive,) = tmp_path.glob("*.tar.gz")
    wheel, said, report = build(unpacked(archive, tmp_path / "src"), tmp_path, env, torch_site)
    assert wheel.name.startswith("spatial_correlation_sampler-0.5.0-")
    assert "correlation_cuda_kernel.cu" in said
    (extension,) = report["extensions"]
    assert extension["floor"]["glibc"] == "2.14"
    code = "import torch, spatial_correlation_sampler_backend as b; x = torch.ones(1, 1, 4, 4);"
    code += "print(b.forward(x, x, 1, 1, 3, 3, 0, 0, 1, 1, 1, 1, 1, 1).shape, end='')"
    assert imported(wheel, tmp_path / "site", code, env).startswith("torch.Size([1, 3, 3,")


def test_the_hooks_can_be_wrapped_as_setuptools_users_do(tmp_path, env, torch_site, gxx):
    project = tmp_path / "tiny"
    shutil.copytree(PACKAGES / "tiny_cuda", project)
    backend("vendor", project, env=env)
    text = (
        (project / "pyproject.toml")
        .read_text()
        .replace('build-backend = "mamba_build_backend"', 'build-backend = "own"')
    )
    (project / "pyproject.toml").write_text(text)
    (project / "own.py").write_text(
        "from mamba_build_backend import *\nfrom mamba_build_backend import build_wheel as _theirs\n\n\n"
        "def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):\n"
        '    print("wrapped", flush=True)\n'
        "    return _theirs(wheel_directory, {**(config_settings or {}), 'repair': 'false'}, metadata_directory)\n"
    )
    done = pip_wheel(project, tmp_path / "dist", {**env, **FAST})
    assert "wrapped" in done.stdout + done.stderr
    assert only_wheel(tmp_path / "dist").name.endswith("-linux_x86_64.whl")
    again = backend("vendor", project, env=env)
    assert 'build-backend = "own"' in (project / "pyproject.toml").read_text(), again.stdout
