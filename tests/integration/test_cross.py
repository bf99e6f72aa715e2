"""A wheel for aarch64, compiled here by zig and nvcc with PyPI's CUDA runtime.

A Python for aarch64 imports it in qemu.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support import copy_tiny, kept_folder, lacking, nvcc_home, only_wheel, pip_wheel, record_of, run

from mamba_build_backend.audit import check as audit
from mamba_build_backend.symbols.elf import read_needs

pytestmark = [
    pytest.mark.xdist_group("zig"),
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="cross-compiles from x86_64"),
]
PARTS = ("python3", "libpython3", "libc6_", "libgcc", "zlib1g_", "libexpat1_", "libstdc++6_", "gcc-12-base")
"""The packages that a Python for another processor is made of."""


@pytest.fixture(scope="module")
def cross(cache, tmp_path_factory):
    """The variables of a build, with a cache whose zig is kept: its C++ library takes minutes."""
    kept = kept_folder() / "zig"
    kept.mkdir(parents=True, exist_ok=True)
    if not (cache / "zig").exists():
        (cache / "zig").symlink_to(kept)
    return {
        **os.environ,
        "CUDA_HOME": str(nvcc_home()),
        "MAMBA_BUILD_CACHE_DIR": str(cache),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


@pytest.fixture(scope="module")
def wheel(cross, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cross")
    project = copy_tiny(folder / "tiny", "tiny_stable")
    pip_wheel(project, folder / "dist", cross, "-C", "machine=aarch64", isolated=False)
    return only_wheel(folder / "dist")


@pytest.fixture(scope="module")
def python_there(tmp_path_factory):
    """The command that starts a Python for aarch64: Debian's Python, unpacked, in qemu."""
    emulator, unpack = shutil.which("qemu-aarch64"), shutil.which("dpkg-deb")
    maker = shutil.which("debootstrap", path=f"{os.environ['PATH']}:/usr/sbin")
    if not (emulator and maker and unpack and os.geteuid() == 0):
        lacking("root, debootstrap and an aarch64 emulator (apt-get install debootstrap qemu-user)")
    root = kept_folder() / "bookworm-aarch64-python"
    if not (root / "usr" / "bin" / "python3").exists():
        made = tmp_path_factory.mktemp("root") / "root"
        packages = ["--foreign", "--arch=arm64", "--variant=minbase", "--include=python3-minimal"]
        run(maker, *packages, "bookworm", made, env=dict(os.environ), cwd=made.parent)
        small = made.parent / "small"
        for archive in sorted((made / "var" / "cache" / "apt" / "archives").glob("*.deb")):
            if archive.name.startswith(PARTS):
                subprocess.run([unpack, "-x", archive, small], check=True)
        shutil.rmtree(made)
        shutil.move(small, root)
    return [emulator, "-L", str(root), str(root / "usr" / "bin" / "python3")]


def test_cross_wheel_is_for_the_target_and_keeps_its_floor(wheel, tmp_path):
    assert wheel.name.endswith("-cp39-abi3-manylinux2014_aarch64.manylinux_2_17_aarch64.whl")
    report = audit.audit_wheel(wheel)
    assert report.problems == ()
    (extension,) = report.extensions
    assert (extension.machine, extension.abi.exports) == ("aarch64", ("PyInit_tiny_stable_ext",))
    with zipfile.ZipFile(wheel) as archive:
        needs = read_needs(Path(archive.extract("tiny_stable_ext.abi3.so", tmp_path)))
    assert not [name for name in needs.needed if "cudart" in name or "c++" in name]
    assert record_of(wheel)["compiler"]["target"] == "aarch64-linux-gnu"


def test_python_of_the_target_loads_the_wheel_and_reports_missing_torch(wheel, python_there, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    done = run(*python_there, "-S", "-c", "import tiny_stable_ext", env=dict(os.environ), cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "ImportError: tiny_stable_ext needs torch" in done.stderr, done.stderr


def test_an_editable_installation_for_another_processor_is_refused(cross, tmp_path):
    project = copy_tiny(tmp_path / "tiny", "tiny_stable")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-build-isolation",
        "--no-deps",
        "--target",
        tmp_path / "into",
        "-e",
        project,
    ]
    done = run(*command, "-C", "machine=aarch64", env=cross, cwd=tmp_path, check=False)
    assert done.returncode != 0
    assert "machine=aarch64 is set" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
