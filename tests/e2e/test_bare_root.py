"""Only pip: Debian 12 and 11 with python3 and python3-venv, no compiler, no nvcc, no git, no Python header.

The root shares torch with the other tests by a bind mount; for CUDA 12, only its version file differs. nvcc 13 and zig
come from PyPI. A server on this machine has Debian's real CUDA tools in the layout of NVIDIA's archives.
"""

import os
import re

import pytest
from bare_root import BareRoot
from debian import cuda_toolkit
from redist import mirror, packed_toolkit, table_of
from support import HURRIED, copy_tiny, cut_kernels, kept_folder, old_torch, record_of, released_tree

FINE = "no problem found; not checked without a GPU: driver, GPU, kernels"
USE = "import torch, tiny_stable_ext as t; print(torch.__version__, t.doubled.__name__)"


@pytest.fixture(scope="module")
def env():
    return {key: value for key, value in os.environ.items() if not key.startswith(("MAMBA_", "PYTHON"))}


@pytest.fixture(scope="module")
def debian_12(tmp_path_factory, env, torch_site):
    root = BareRoot("bookworm", tmp_path_factory.mktemp("debian-12"), env)
    root.put_torch(torch_site)
    root.put_zigs_library()
    return root


def test_mamba_builds_installs_and_imports_with_pip_only(debian_12):
    cut = released_tree("mamba-ssm==2.3.2.post1", debian_12.out / "source")
    cut_kernels(cut)
    few = {
        **HURRIED,
        "MAMBA_BUILD_ARCH": "9.0",
        "MAMBA_BUILD_SOURCE": f"/out/{cut.relative_to(debian_12.out)}",
        "MAMBA_BUILD_ALLOW_UNVERIFIED": "true",
    }
    project = debian_12.put_project()
    told = debian_12.python("-m", "mamba_build_backend", "doctor", "-C", "arch=9.0", PYTHONPATH=project, **few).stdout
    assert f"The build can start:  MAMBA_BUILD_ARCH=9.0 python -m pip install {project}" in told, "its pip has no -C"
    done = debian_12.python("-m", "pip", "install", "-v", project, **few)
    said = done.stdout + done.stderr
    assert "CUDA 13.0, zig 0.13.0, GPUs 90" in said
    assert "Downloading torch" not in said
    lines = debian_12.python("-m", "mamba_ssm_portable").stdout.splitlines()
    assert lines[-1] == FINE
    assert "glibc                ok      2.36 here, the wheel needs 2.17" in lines
    assert debian_12.python("-c", "import mamba_ssm; print(mamba_ssm.__version__)").stdout == "2.3.2.post1\n"


def built_from_archives(root, release, number):
    """The tiny project with Debian's tools as NVIDIA's archives, despite an unsuitable nvcc and g++.

    Gives the output of pip and the record.
    """
    root.put_wrong_tools()
    release, files = packed_toolkit(cuda_toolkit(release, kept_folder()), number, root.out)
    tree = copy_tiny(root.out / "tiny", "tiny_stable")
    with mirror(files) as (address, asked):
        (tree / "mamba_build_backend" / "tables" / "redist.toml").write_text(table_of(release, address))
        done = root.python(
            "-m", "pip", "wheel", "-v", "--no-deps", "-w", "/out/dist", "/out/tiny", MAMBA_BUILD_ARCH="9.0"
        )
    assert len(asked) == 3
    (wheel,) = (root.out / "dist").iterdir()
    root.python("-m", "pip", "install", "--no-deps", f"/out/dist/{wheel.name}")
    return done.stdout + done.stderr, record_of(wheel)


def test_torch_for_cuda_12_gets_its_nvcc_despite_unsuitable_tools(debian_12):
    debian_12.rename_torch("2.8.0+cu128", "12.8")
    said, record = built_from_archives(debian_12, "12.4", "12.4.1")
    assert "CUDA 12.4, zig 0.12.1, GPUs 90" in said
    assert record["toolkit"]["origin"] == "archive"
    assert debian_12.python("-c", USE).stdout == "2.8.0+cu128 doubled\n"


def test_debian_11_with_python_3_9_and_a_torch_of_cuda_11(tmp_path, env):
    root = BareRoot("bullseye", tmp_path / "debian-11", env)
    (site,) = (old_torch(env).parent.parent / "lib").glob("python*/site-packages")
    root.put_torch(site)
    root.put_zigs_library()
    said, record = built_from_archives(root, "11.8", "11.8.0")
    assert "CUDA 11.8, zig 0.9.1, GPUs 90" in said
    assert record["toolkit"] == {"version": "11.8", "layout": "home", "origin": "archive"}
    assert root.python("-c", USE).stdout == "2.0.0+cu117 doubled\n"
    # Debian 11's pip carries nothing that the command line could use: it says what to type, and that works.
    doctor = ("-m", "mamba_build_backend", "doctor", "--project", "/out/tiny")
    refused = root.python(*doctor, check=False, PYTHONPATH="/out/tiny").stderr
    typed = re.search(r"fix:  \S+/python -m (pip install .+)", refused)
    assert typed is not None, refused
    root.python("-m", *typed[1].split())
    assert "zig, from PyPI" in root.python(*doctor, "-v", PYTHONPATH="/out/tiny").stdout
