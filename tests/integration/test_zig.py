"""No g++, no torch: a wheel by zig and PyPI, and the answers of its binding."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from support import (
    HURRIED,
    ROOT,
    copy_tiny,
    empty_environment,
    kept_folder,
    lacking,
    nvcc_home,
    only_wheel,
    pip_wheel,
    record_of,
    released_tree,
    run,
    wrong_calls_are_answered,
)

from mamba_build_backend.audit import check as audit
from mamba_build_backend.compile import stable_abi
from mamba_build_backend.symbols.elf import read_needs

pytestmark = pytest.mark.xdist_group("zig")
HERE = ROOT / "tests" / "stable"
_PROGRAMS = (
    "sh",
    "env",
    "cat",
    "rm",
    "mv",
    "cp",
    "mkdir",
    "ls",
    "ln",
    "chmod",
    "uname",
    "tr",
    "sed",
    "grep",
    "dirname",
)


@pytest.fixture(scope="module")
def bare(tmp_path_factory, cache):
    """The variables of a machine with a shell, the usual small programs and nvcc: no compiler and none of binutils."""
    folder = tmp_path_factory.mktemp("bare")
    for name in _PROGRAMS:
        program = shutil.which(name)
        assert program is not None
        (folder / name).symlink_to(program)
    # zig's C++ library takes minutes, and is the same for all runs.
    kept = kept_folder() / "zig"
    kept.mkdir(parents=True, exist_ok=True)
    if not (cache / "zig").exists():
        (cache / "zig").symlink_to(kept)
    passed = {
        key: value for key, value in os.environ.items() if key.startswith(("PIP_", "HOME", "XDG_", "SSL_", "HTTP"))
    }
    # What a Python's own compiler knew, and zig's linker does not.
    odd = "-Wl,--sort-common -Wl,--exclude-libs,ALL -Wl,-rpath,/opt/conda/lib"
    return {
        **passed,
        "PATH": str(folder),
        "CUDA_HOME": str(nvcc_home()),
        "MAMBA_BUILD_CACHE_DIR": str(cache),
        "LDFLAGS": odd,
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory, bare):
    folder = tmp_path_factory.mktemp("zig")
    project = copy_tiny(folder / "tiny", "tiny_stable")
    with empty_environment(folder / "env", dict(os.environ)) as python:
        env = {**bare, "PATH": f"{bare['PATH']}{os.pathsep}{python.parent}"}
        done = run(python, "-m", "pip", "wheel", "-v", "--no-deps", "-w", folder / "dist", project, env=env, cwd=folder)
    said = done.stdout + done.stderr
    assert "no torch was found; the wheel is built without torch" in said
    assert "zig 0.13.0, GPUs 90" in said
    assert "Collecting torch" not in said
    return only_wheel(folder / "dist")


def test_it_needs_glibc_2_17_and_no_cpp_library(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        library = Path(archive.extract("tiny_stable_ext.abi3.so", tmp_path))
    needs = read_needs(library)
    assert not [name for name in needs.needed if "c++" in name or "gcc" in name or "cudart" in name]
    report = audit.audit_wheel(wheel)
    assert report.problems == ()
    (extension,) = report.extensions
    assert extension.floor.glibcxx == extension.floor.cxxabi == ""
    assert tuple(map(int, extension.floor.glibc.split("."))) <= (2, 17)
    assert extension.abi.exports == ("PyInit_tiny_stable_ext",)
    assert "manylinux_2_17_" in wheel.name


def test_the_record_has_the_compiler_and_no_torch(wheel):
    record = record_of(wheel)
    assert record["compiler"] == {
        "kind": "zig",
        "origin": "index",
        "target": f"{os.uname().machine}-linux-gnu",
        "version": "0.13.0",
    }
    assert record["sysroot"]["provider"] == "zig"
    assert record["torch"]["version"] == ""
    assert record["torch"]["requirement"] == "torch>=2.0"
    assert "-D__HORIZON__" in record["flags"]["nvcc"]


def test_zig_wheel_imports_and_answers_as_a_gxx_wheel(wheel, torch_site, tmp_path, clean_env):
    wrong_calls_are_answered(wheel, tmp_path, clean_env)


def test_compiler_cache_hits_regardless_of_the_folder_of_zig(tmp_path, bare, zig_package, clean_env):
    """Each isolated build has its own zig, which it removes afterwards."""
    if shutil.which("ccache") is None:
        lacking("ccache")
    programs, said = tmp_path / "programs", []
    programs.mkdir()
    (programs / "ccache").symlink_to(shutil.which("ccache"))
    project = copy_tiny(tmp_path / "tiny", "tiny_stable")
    for number in (1, 2):
        site = tmp_path / f"environment-{number}"
        site.mkdir()
        for folder in (zig_package, *zig_package.parent.glob("ziglang-*.dist-info")):
            shutil.copytree(folder, site / folder.name, copy_function=os.link)
        path = os.pathsep.join([bare["PATH"], str(programs), str(Path(sys.executable).parent)])
        env = {**bare, "PATH": path, "PYTHONPATH": str(site), "CCACHE_DIR": str(tmp_path / "objects")}
        env |= {"MAMBA_BUILD_HOST_COMPILER": "zig", **HURRIED}
        done = pip_wheel(project, tmp_path / f"dist-{number}", env, isolated=False)
        said += [
            line.partition("ccache: ")[2] for line in (done.stdout + done.stderr).splitlines() if "ccache: " in line
        ]
        shutil.rmtree(site)
    assert said == ["0 of 2 found in the cache", "2 of 2 found in the cache"]
    first, second = (only_wheel(tmp_path / f"dist-{number}").read_bytes() for number in (1, 2))
    assert first == second


def test_zig_bindings_answer_as_gxx_bindings(torch_site, zig_package, tmp_path, clean_env):
    """Thrown in one module, caught in it: exceptions become Python's by the same code, with another C++ library."""
    cuda, modules = next(torch_site.glob("nvidia/cu1*")), tmp_path / "modules"
    modules.mkdir()
    kept = kept_folder() / "zig"
    kept.mkdir(parents=True, exist_ok=True)
    environ = {**clean_env, "ZIG_GLOBAL_CACHE_DIR": str(kept), "ZIG_LOCAL_CACHE_DIR": str(tmp_path / "zig")}
    for title, module, folder, binding, launchers in (
        (
            "mamba-ssm==2.3.2.post1",
            "selective_scan_cuda",
            "csrc/selective_scan",
            "selective_scan.cpp",
            "scan_launchers.cpp",
        ),
        ("causal-conv1d==1.6.1", "causal_conv1d_cuda", "csrc", "causal_conv1d.cpp", "conv_launchers.cpp"),
    ):
        tree = released_tree(title, tmp_path / module)
        shared = [
            "-target",
            f"{os.uname().machine}-linux-gnu.2.17",
            "-O2",
            "-fno-sanitize=undefined",
            "-fPIC",
            "-std=c++17",
        ]
        shared += [
            f"-I{item}" for item in (stable_abi.INCLUDE, tree / folder, cuda / "include", sysconfig.get_path("include"))
        ]
        shared += [
            f"-DTORCH_EXTENSION_NAME={module}",
            "-DMAMBA_STABLE_DRIVER=12000",
            "-DMAMBA_STABLE_PROJECT=causal-conv1d",
        ]
        objects = []
        for source in (tree / folder / binding, HERE / launchers):
            objects.append(tmp_path / f"{module}-{source.stem}.o")
            subprocess.run(
                [zig_package / "zig", "c++", *shared, "-c", source, "-o", objects[-1]], env=environ, check=True
            )
        extension = stable_abi.extension(tmp_path / module)
        link = [f"-L{cuda / 'lib'}", *(f"-l{name}" for name in extension.libraries), *extension.link_flags, "-s"]
        target = [
            "-target",
            shared[1],
            "-O2",
            "-fno-sanitize=undefined",
            "-shared",
            *objects,
            "-o",
            modules / f"{module}.abi3.so",
        ]
        subprocess.run([zig_package / "zig", "c++", *target, *link], env=environ, check=True)
    said = run(sys.executable, HERE / "calls.py", "check", modules, env=clean_env, cwd=tmp_path).stdout
    assert said.splitlines()[-1] == "2631 compared, 0 differ"
