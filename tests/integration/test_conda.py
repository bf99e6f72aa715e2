"""conda's compilers and sysroot: an environment laid out as conda does it, since no channel of it can be reached here.

Its compiler is this machine's g++ under conda's name and target; its sysroot is glibc 2.17, in the folders that conda's
``sysroot_linux-64`` uses; and what activation sets is set, the flags that lead into the environment included.
"""

import ctypes
import os
import platform
import shutil
import sys

import pytest
from support import PACKAGES, ROOT, only_wheel, pip_wheel, record_of, run

from mamba_build_backend.audit import check as audit
from mamba_build_backend.core.facts import Sysroot, SysrootProvider
from mamba_build_backend.toolchain.sysroot import prepared_zig

TRIPLE = f"{platform.machine()}-conda-linux-gnu"


@pytest.fixture
def conda(tmp_path, gxx, zig_package, cache, clean_env):
    """The prefix of such an environment."""
    prefix = tmp_path / "miniforge" / "envs" / "train"
    made = prepared_zig(
        Sysroot(SysrootProvider.ZIG, str(zig_package), "ziglang"), "2.17", TRIPLE, cache, clean_env, print
    )
    root = prefix / TRIPLE / "sysroot" / "usr"
    shutil.copytree(made / "usr" / "include", root / "include")
    shutil.copytree(made / "usr" / "lib", root / "lib64", symlinks=True)
    features = root / "include" / "features.h"
    features.write_text("#define __GLIBC_MINOR__ 17\n" + features.read_text())
    (prefix / "conda-meta").mkdir()
    for folder in ("bin", "lib", "include"):
        (prefix / folder).mkdir()
    for names, real in ((("g++", "c++"), gxx), (("gcc", "cc"), shutil.which("gcc"))):
        for name in names:
            tool = prefix / "bin" / f"{TRIPLE}-{name}"
            tool.write_text(f'#!/bin/sh\n[ "$*" != -dumpmachine ] || exec echo {TRIPLE}\nexec {real} "$@"\n')
            tool.chmod(0o755)
    return prefix


def activated(env, prefix):
    return {
        **env,
        "PATH": f"{prefix / 'bin'}{os.pathsep}{env['PATH']}",
        "CONDA_PREFIX": str(prefix),
        "CC": f"{prefix}/bin/{TRIPLE}-cc",
        "CXX": f"{prefix}/bin/{TRIPLE}-c++",
        "CFLAGS": f"-march=nocona -isystem {prefix}/include",
        "CXXFLAGS": f"-fvisibility-inlines-hidden -isystem {prefix}/include",
        "LDFLAGS": f"-Wl,-rpath,{prefix}/lib -L{prefix}/lib",
        "NVCC_PREPEND_FLAGS": f" -ccbin={prefix}/bin/{TRIPLE}-c++",
    }


def test_an_active_environment_with_condas_compilers_builds_with_them_and_their_sysroot(tiny, env, conda, tmp_path):
    pip_wheel(tiny, tmp_path / "dist", activated(env, conda))
    wheel = only_wheel(tmp_path / "dist")
    assert wheel.name.endswith("manylinux_2_24_x86_64.whl")
    record = record_of(wheel)
    assert record["compiler"]["origin"] == "variable", "the activation's CXX"
    assert record["compiler"]["target"] == TRIPLE
    assert record["sysroot"] == {"provider": "conda", "glibc": "2.17", "origin": "conda"}
    assert record["floor"]["measured"]["glibc"] == "2.14"
    assert set(record["cleaned"]) >= {"CFLAGS", "CXXFLAGS", "LDFLAGS", "NVCC_PREPEND_FLAGS"}


def test_conda_environment_is_found_without_its_variables(tiny, env, conda):
    said = run(sys.executable, "-m", "mamba_build_backend", "doctor", cwd=tiny, env={**env, "CONDA_PREFIX": str(conda)})
    assert f"{TRIPLE}-" in said.stdout
    assert "conda's compiler uses its own sysroot" in run(
        sys.executable, "-m", "mamba_build_backend", "doctor", "-v", cwd=tiny, env={**env, "CONDA_PREFIX": str(conda)}
    ).stdout.replace("\n", " ")


def test_conda_recipe_uses_the_compilers_of_the_build_prefix(tiny, env, conda, tmp_path):
    """conda-build and rattler-build: BUILD_PREFIX has the compilers, and the environment in use is another one."""
    other = tmp_path / "host-prefix"
    (other / "conda-meta").mkdir(parents=True)
    inside = {**activated(env, conda), "CONDA_BUILD": "1", "BUILD_PREFIX": str(conda), "PREFIX": str(other)}
    inside["CONDA_PREFIX"] = str(other)
    options = ["--no-build-isolation", "-C", "sysroot=conda", "-C", "repair=false"]
    pip_wheel(tiny, tmp_path / "dist", inside, *options)
    record = record_of(only_wheel(tmp_path / "dist"))
    assert record["sysroot"]["origin"] == "conda", "there is no compiler in CONDA_PREFIX: it is BUILD_PREFIX's"
    assert (record["compiler"]["origin"], record["compiler"]["target"]) == ("variable", TRIPLE)


@pytest.mark.parametrize(("abi", "glibcxx"), [("old", "3.4.18"), ("new", "3.4.21")])
def test_libstdcxx_recipe_works_with_gxx_of_conda(conda, env, tmp_path, abi, glibcxx):
    """conda's g++ has its own name, target and archiver, and no libstdc++ in the system's layout next to it."""
    build = PACKAGES / "link_sample" / "build.py"
    python_path = {**env, "PYTHONPATH": str(ROOT)}
    run(sys.executable, build, tmp_path / "out", conda / "bin" / f"{TRIPLE}-g++", env=python_path, cwd=tmp_path)
    library = tmp_path / "out" / f"{TRIPLE}-g++" / f"{abi}.so"
    measured = audit.measure(library)
    assert (measured.glibc, measured.glibcxx) == ("2.14", glibcxx)
    assert ctypes.CDLL(str(library)).sample(3) == 1006
