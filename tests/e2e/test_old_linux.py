"""Files built here and loaded on an old Linux: Debian 11 (glibc 2.31, libstdc++ 3.4.28).

manylinux/check-root makes and enters the Debian root.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from debian import cuda_toolkit
from support import (
    PACKAGES,
    ROOT,
    cut_kernels,
    kept_folder,
    lacking,
    old_torch,
    only_wheel,
    released_tree,
    run,
    uv_program,
)

from mamba_build_backend.audit import check as audit
from mamba_build_backend.tables import load_tables

CHECK_ROOT = ROOT / "manylinux" / "check-root"
SAMPLE = PACKAGES / "link_sample"
POLICIES = {"old": "2.17", "new": "2.24"}
"""By the C++ ABI: that of torch before 2.6 and that of torch from 2.7 on, which needs GLIBCXX_3.4.21."""

LOAD = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
assert library.sample(3) == 1006, "it does not work"
assert library.streams_are_shared() == 1, "it has streams of its own"
"""


@pytest.fixture(scope="session")
def env():
    dropped = ("VIRTUAL_ENV", "PYTHONPATH", "CUDA_HOME", "CXX", "CC", "TORCH_CUDA_ARCH_LIST", "MAX_JOBS")
    return {key: value for key, value in os.environ.items() if key not in dropped and not key.startswith("MAMBA_")}


@pytest.fixture(scope="session", autouse=True)
def root(env):
    """The old Linux."""
    if os.geteuid() != 0 or not shutil.which("debootstrap", path=f"{env['PATH']}:/usr/sbin"):
        lacking("root, and debootstrap")
    return Path(run(CHECK_ROOT, "--make", env=env, cwd=ROOT).stdout.strip())


def on_old_linux(*arguments, env, check=True):
    return run(CHECK_ROOT, *arguments, env=env, cwd=ROOT, check=check)


# --- the recipe ---


@pytest.fixture(scope="session")
def libraries(tmp_path_factory, env):
    """The sample by each compiler: a folder with ``old.so``, ``new.so`` and ``plain.so`` for each."""
    out = tmp_path_factory.mktemp("samples")
    site = Path(__import__("ziglang").__file__).parent.parent
    for suite, python, compilers in (
        ("bullseye", "3.9", ("g++-9", "g++-10")),
        ("trixie", "3.13", ("g++-13", "g++-14")),
    ):
        packages = tmp_path_factory.mktemp(suite)
        command = [uv_program(), "pip", "install", "-q", "--python", sys.executable, "--python-version", python]
        run(
            *command,
            "--target",
            packages,
            "pyelftools",
            "packaging",
            "platformdirs",
            "tomli",
            env=env,
            cwd=out,
        )
        path = f"PYTHONPATH={ROOT}:{packages}:{site}"
        binds = [part for folder in (ROOT, packages, site) for part in ("--bind", folder)]
        names = [part for name in compilers for part in ("--package", name)]
        programs = [f"/usr/bin/{name}" for name in compilers]
        command = [
            "--suite",
            suite,
            *names,
            *binds,
            "--out",
            out,
            "--",
            "env",
            path,
            "python3",
            SAMPLE / "build.py",
            "/out",
        ]
        on_old_linux(*command, *programs, env=env)
    for name in ("g++-11", "g++-12"):
        if shutil.which(name) is None:
            lacking(f"{name} (apt-get install {name})")
    run(
        sys.executable,
        SAMPLE / "build.py",
        out,
        "/usr/bin/g++-11",
        "/usr/bin/g++-12",
        env={**env, "PYTHONPATH": str(ROOT)},
        cwd=out,
    )
    return out


@pytest.mark.parametrize("abi", ["old", "new"])
@pytest.mark.parametrize("number", [9, 10, 11, 12, 13, 14])
def test_the_recipe_holds_for_every_gxx(libraries, env, number, abi):
    folder = libraries / f"g++-{number}"
    assert json.loads((folder / "compiler.json").read_text())["version"].startswith(f"{number}.")
    library = folder / f"{abi}.so"
    measured, floor = audit.measure(library), load_tables().floor_row(POLICIES[abi])
    for field, most in (("glibc", "2.17"), ("glibcxx", floor.glibcxx), ("cxxabi", floor.cxxabi)):
        assert tuple(map(int, getattr(measured, field).split("."))) <= tuple(map(int, most.split("."))), measured
    on_old_linux("--bind", folder, "--", "python3", "-c", LOAD, library, env=env)
    inside = subprocess.run(["nm", "-C", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    for state in ("std::cout", "std::locale::classic()", "std::ios_base::Init::Init()"):
        assert f" {state}\n" not in inside, f"{state} must stay the shared library's"
    assert ("std::ios_base_library_init()" in inside) == (number >= 13)


@pytest.mark.parametrize("number", [12, 13, 14])
def test_program_linked_without_the_recipe_does_not_load(libraries, env, number):
    """The test of the test."""
    folder = libraries / f"g++-{number}"
    said = on_old_linux("--bind", folder, "--", "python3", "-c", LOAD, folder / "plain.so", env=env, check=False)
    assert said.returncode != 0
    assert "not found (required by" in said.stderr


# --- the real wheel ---


@pytest.fixture(scope="session")
def python(env):
    return old_torch(env)


@pytest.fixture(scope="session")
def site(python):
    (site,) = (python.parent.parent / "lib").glob("python*/site-packages")
    return site


@pytest.fixture(scope="session")
def built(tmp_path_factory, env, python):
    """mamba-ssm 2.3.0 with torch's ABI, nvcc 11.8 and g++ 11, with the recipe and without. Only host code matters."""
    if shutil.which("g++-11") is None:
        lacking("g++-11 (apt-get install g++-11)")
    home, wheels = cuda_toolkit("11.8", kept_folder()), {}
    tree = released_tree("mamba-ssm==2.3.0", tmp_path_factory.mktemp("few-kernels"))
    cut_kernels(tree)
    for name, more in (("portable", []), ("plain", ["-C", "repair=false"])):
        out = tmp_path_factory.mktemp(name)
        command = [python, "-m", "pip", "wheel", ".", "-w", out, "--no-deps", "-v", "-C", "upstream-version=2.3.0"]
        command += ["-C", "abi=torch"]
        command += [
            "-C",
            f"source={tree}",
            "-C",
            "allow-unverified=true",
            "-C",
            f"cuda-home={home}",
            "-C",
            "host-compiler=g++-11",
            "-C",
            "arch=8.0",
        ]
        run(*command, *more, env=env, cwd=ROOT)
        wheels[name] = only_wheel(out)
    return wheels


def test_wheel_name_and_audit_agree(built, site, env):
    assert built["portable"].name == (
        "mamba_ssm_portable-2.3.0-cp39-cp39-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
    )
    command = [
        sys.executable,
        "-m",
        "mamba_build_backend",
        "audit",
        "--json",
        "--torch",
        site,
        "--require",
        "glibc=2.17",
    ]
    data = json.loads(run(*command, built["portable"], env=env, cwd=ROOT).stdout)
    (extension,) = data["extensions"]
    floor = {name: tuple(map(int, extension["floor"][name].split("."))) for name in ("glibc", "glibcxx", "cxxabi")}
    assert floor["glibc"] <= (2, 17)
    assert floor["glibcxx"] <= (3, 4, 19)
    assert floor["cxxabi"] <= (1, 3, 7)
    # The same verdict, from reading the file, as the old Linux gives below.
    refused = run(*command, built["plain"], env=env, cwd=ROOT, check=False)
    assert refused.returncode == 6
    assert "GLIBCXX_3.4" in refused.stdout


def test_import_works_and_a_torch_error_crosses_the_binding(built, site, env):
    said = on_old_linux("--torch", site, "--wheel", built["portable"], env=env).stdout
    assert "selective_scan_cuda: imported from /wheel/" in said
    assert "glibc 2.31: 1 extension modules imported" in said
    code = (
        "import torch, selective_scan_cuda as s\n"
        "x = torch.ones(1, 2, 3); w = torch.ones(2, 4); b = torch.ones(2, 4)\n"
        "try:\n    s.fwd(x, x, w, b, b, None, None, None, False)\n"
        "except RuntimeError as error:\n    print('caught:', str(error).splitlines()[0])\n"
    )
    command = ["--torch", site, "--wheel", built["portable"], "--", "python3", "-c", code]
    assert on_old_linux(*command, env=env).stdout.startswith("caught: Expected u.is_cuda() to be true")


def test_source_built_without_the_recipe_does_not_load(built, site, env):
    """The test of the test."""
    said = on_old_linux("--torch", site, "--wheel", built["plain"], env=env, check=False)
    assert said.returncode != 0
    assert "ImportError: /lib/x86_64-linux-gnu/lib" in said.stderr
    assert "not found (required by /wheel/selective_scan_cuda" in said.stderr
