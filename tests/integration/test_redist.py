"""Debian's real CUDA tools in the layout of NVIDIA's archives, served on this machine, unpacked and used."""

import shutil
import sys
import zipfile

import pytest
from debian import cuda_toolkit
from redist import mirror, packed_toolkit, table_of
from support import copy_tiny, kept_folder, lacking, old_torch, only_wheel, pip_wheel, record_of, run


@pytest.fixture
def project(tmp_path, torch_site, gxx):
    """A copy of a project, whose backend's table holds one release of archives, at an address of this machine."""

    def make(name, release, address):
        tree = copy_tiny(tmp_path / "tiny", name)
        (tree / "mamba_build_backend" / "tables" / "redist.toml").write_text(table_of(release, address))
        return tree

    return make


def test_torch_for_cuda_11_gets_nvcc_from_the_archives_despite_a_newer_nvcc(project, env, tmp_path):
    if shutil.which("g++-11") is None:
        lacking("g++-11 (apt-get install g++-11), which nvcc 11.8 takes")
    python = old_torch(env)
    home = cuda_toolkit("11.8", kept_folder())
    release, files = packed_toolkit(home, "11.8.0", tmp_path)
    env = {**env, "MAMBA_BUILD_CACHE_DIR": str(tmp_path / "cache")}
    with mirror(files) as (address, asked):
        tree = project("tiny_cuda", release, address)
        command = [python, "-m", "pip", "wheel", "-v", "--no-deps", "-w", tmp_path / "dist"]
        done = run(*command, tree, env=env, cwd=tmp_path)
        again = run(python, "-m", "mamba_build_backend", "doctor", "--project", tree, env=env, cwd=tree)
    said = done.stdout + done.stderr
    assert f"downloading nvcc 11.8 from {address}" in said
    assert "licence: its licence, https://example.org/licence" in said
    assert len(asked) == 3
    assert "to fetch" not in again.stdout, "it is in the cache"
    wheel = only_wheel(tmp_path / "dist")
    assert record_of(wheel)["toolkit"] == {"version": "11.8", "layout": "home", "origin": "archive"}
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    use = "import torch, tiny_cuda_ext as t; print(t.lines(3))"
    assert (
        run(python, "-c", use, env={**env, "PYTHONPATH": str(tmp_path / "site")}, cwd=tmp_path).stdout
        == "size 0 n 3\n\n"
    )


def test_stable_wheel_is_compiled_by_nvcc_of_the_archives_with_a_torch_for_another_cuda(project, env, tmp_path):
    home = cuda_toolkit("12.4", kept_folder())
    release, files = packed_toolkit(home, "12.4.1", tmp_path)
    env = {**env, "MAMBA_BUILD_CUDA_HOME": "redist", "MAMBA_BUILD_CACHE_DIR": str(tmp_path / "cache")}
    with mirror(files) as (address, asked):
        tree = project("tiny_stable", release, address)
        pip_wheel(tree, tmp_path / "dist", env, isolated=False)
    assert len(asked) == 3
    wheel = only_wheel(tmp_path / "dist")
    assert record_of(wheel)["toolkit"] == {"version": "12.4", "layout": "home", "origin": "archive"}
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    use = "import torch, tiny_stable_ext as t; print(t.doubled.__name__)"
    assert (
        run(sys.executable, "-c", use, env={**env, "PYTHONPATH": str(tmp_path / "site")}, cwd=tmp_path).stdout
        == "doubled\n"
    )
