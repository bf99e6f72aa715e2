"""The sysroot, the compiler wrapper and the libstdc++ recipe, with this machine's own g++."""

import ctypes
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import PACKAGES, ROOT, lacking, packed_wheel, run

from mamba_build_backend.audit import check as audit
from mamba_build_backend.core.facts import Sysroot, SysrootProvider
from mamba_build_backend.probe.compilers import read_compiler
from mamba_build_backend.probe.sysroots import read_sysroot
from mamba_build_backend.symbols.elf import not_defined, read_needs
from mamba_build_backend.tables import load_tables
from mamba_build_backend.toolchain import libstdcxx, sysroot, wrappers

SAMPLE = (PACKAGES / "link_sample" / "sample.cpp").read_text()


@pytest.fixture(scope="session")
def compiler(gxx):
    found = read_compiler(Path(gxx), "test", os.environ)
    assert found.problem is None
    return found


@pytest.fixture(scope="session")
def root(compiler, zig_package, cache):
    chosen = Sysroot(SysrootProvider.ZIG, str(zig_package), "ziglang 0.13.0.post1")
    return sysroot.apply_sysroot(chosen, "2.17", compiler.target, cache, os.environ, print)


def portable(compiler, root, folder, glibc):
    floor = load_tables().floor_row(glibc)
    runtime = libstdcxx.apply_libstdcxx(compiler, floor, root, folder / "libstdc++", os.environ)
    return floor, wrappers.apply_wrappers(compiler, root, runtime, folder)[1]


def compiled(cxx, folder, *options, source=SAMPLE, name="sample.so"):
    (folder / "sample.cpp").write_text(source)
    done = subprocess.run(
        [cxx, "-O2", *options, "sample.cpp", "-o", name], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / name


@pytest.mark.parametrize(("abi", "glibc", "runtime"), [(0, "2.17", "2.17"), (1, "2.17", "2.24")])
def test_a_library_keeps_the_floor_of_its_abi_and_runs(compiler, root, tmp_path, abi, glibc, runtime):
    floor, cxx = portable(compiler, root, tmp_path, runtime)
    # Debian's Python adds the folder of the host's glibc to every link.
    said = subprocess.run(
        [compiler.path, "-print-file-name=libc.so"], capture_output=True, text=True, check=True
    ).stdout
    folder = f"-L{Path(said.strip()).resolve().parent}"
    library = compiled(cxx, tmp_path, "-shared", "-fPIC", folder, f"-D_GLIBCXX_USE_CXX11_ABI={abi}", "-pthread")
    measured = audit.measure(library)
    for field in ("glibc", "glibcxx", "cxxabi", "gcc"):
        most = glibc if field == "glibc" else getattr(floor, field)
        assert not getattr(measured, field) or tuple(map(int, getattr(measured, field).split("."))) <= tuple(
            map(int, most.split("."))
        ), measured
    loaded = ctypes.CDLL(str(library))
    assert loaded.sample(3) == 1006
    assert loaded.streams_are_shared() == 1


LOADER = """
#include <dlfcn.h>
#include <stdio.h>
int main(int count, char** words) {
    void* library = dlopen(words[1], RTLD_NOW);
    if (!library) return puts(dlerror()), 1;
    int (*sample)(int) = (int (*)(int))dlsym(library, "sample");
    int (*shared)(void) = (int (*)(void))dlsym(library, "streams_are_shared");
    printf("%d %d", sample(3), shared());
}
"""


@pytest.mark.parametrize(("abi", "runtime", "glibcxx"), [(0, "2.17", "3.4.18"), (1, "2.24", "3.4.21")])
def test_aarch64_library_keeps_the_same_floor(zig_package, cache, tmp_path, abi, runtime, glibcxx):
    """Debian's cross compiler and zig's sysroot for it; run by qemu, with the libraries of the cross compiler."""
    program, emulator = shutil.which("aarch64-linux-gnu-g++"), shutil.which("qemu-aarch64")
    if program is None or emulator is None:
        lacking("an aarch64 compiler and emulator (apt-get install g++-aarch64-linux-gnu qemu-user)")
    cross = read_compiler(Path(program), "test", os.environ)
    assert (cross.problem, cross.target) == (None, "aarch64-linux-gnu")
    chosen = Sysroot(SysrootProvider.ZIG, str(zig_package), "ziglang 0.13.0.post1")
    root = sysroot.apply_sysroot(chosen, "2.17", cross.target, cache, os.environ, print)
    _, cxx = portable(cross, root, tmp_path, runtime)
    library = compiled(cxx, tmp_path, "-shared", "-fPIC", f"-D_GLIBCXX_USE_CXX11_ABI={abi}", "-pthread")
    tag = f"manylinux_{runtime.replace('.', '_')}_aarch64"
    wheel = packed_wheel(tmp_path, {"sample.so": library.read_bytes()}, f"sample-1-cp312-cp312-{tag}.whl")
    command = [sys.executable, "-m", "mamba_build_backend", "audit", "--json", "--require", "glibc=2.17", wheel]
    report = json.loads(run(*command, env=dict(os.environ), cwd=ROOT).stdout)
    (extension,) = report["extensions"]
    assert (extension["machine"], report["problems"]) == ("aarch64", [])
    assert (extension["floor"]["glibc"], extension["floor"]["glibcxx"]) == ("2.17", glibcxx)
    (tmp_path / "loader.c").write_text(LOADER)
    loader = tmp_path / "loader"
    subprocess.run([program.replace("g++", "gcc"), tmp_path / "loader.c", "-o", loader], check=True)
    said = run(emulator, "-L", "/usr/aarch64-linux-gnu", loader, library, env=dict(os.environ), cwd=tmp_path).stdout
    assert said == "1006 1"


def test_functions_that_moved_into_libc_link_to_their_old_library(compiler, root, tmp_path):
    """torch 2.15's headers call dlsym; builds no longer link libdl, since glibc 2.34 has dlsym in libc."""
    _, cxx = portable(compiler, root, tmp_path, "2.17")
    source = """#include <dlfcn.h>
#include <pthread.h>
#include <time.h>
extern "C" int sample(int n) {
    timespec t;
    return dlsym(RTLD_DEFAULT, "malloc") && !clock_gettime(CLOCK_MONOTONIC, &t) && pthread_self() ? n : -1;
}
"""
    library = compiled(cxx, tmp_path, "-shared", "-fPIC", source=source)
    needs = read_needs(library)
    assert needs.unversioned == ()
    assert "libdl.so.2" in needs.needed
    assert "libutil.so.1" not in needs.needed, "only what is used"
    assert ctypes.CDLL(str(library)).sample(3) == 3


def test_source_without_the_recipe_breaks_the_floor(compiler, root, tmp_path):
    """The test of the test."""
    library = compiled(compiler.path, tmp_path, "-shared", "-fPIC")
    measured = audit.measure(library)
    assert tuple(map(int, measured.cxxabi.split("."))) > (1, 3, 10)
    assert tuple(map(int, measured.glibc.split("."))) > (2, 17)


def test_only_newer_functions_are_linked_statically(compiler, root, tmp_path):
    # A stand-in for libtorch: a shared library that leaves new symbols of libstdc++ undefined, locale's among them.
    newer = '#include <fstream>\n#include <sstream>\n#include <filesystem>\nint other() { std::ostringstream o; std::istringstream i; std::fstream f("x"); return int(std::filesystem::exists("/")) + int(o.str().size()); }\n'
    compiled(compiler.path, tmp_path, "-std=c++17", "-shared", "-fPIC", source=newer, name="libother.so")
    _, cxx = portable(compiler, root, tmp_path, "2.24")
    library = compiled(cxx, tmp_path, "-shared", "-fPIC", "-Wl,--no-as-needed", "-L.", "-lother")
    needs = read_needs(library)
    assert "libother.so" in needs.needed
    assert [name for name in needs.unversioned if not name.startswith(("sample", "_Z5other"))] == []
    inside = subprocess.run(["nm", "-C", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    assert "std::__throw_bad_array_new_length()" in inside
    for state in ("std::locale::classic()", "std::cout", "std::locale::locale()"):
        assert state not in inside, f"{state} must stay the shared library's"


def test_object_of_gxx_13_initialises_its_streams_once(compiler, root, tmp_path):
    """g++ 13's <iostream> refers to std::ios_base_library_init; here the reference is written by hand."""
    _, cxx = portable(compiler, root, tmp_path, "2.24")
    source = '#include <ostream>\nnamespace std { extern ostream cout; }\n__asm(".globl _ZSt21ios_base_library_initv");\nint main() { std::cout << "streams work" << std::endl; }\n'
    program = compiled(cxx, tmp_path, source=source, name="program")
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == "streams work\n"
    inside = subprocess.run(["nm", "-C", "--defined-only", program], capture_output=True, text=True, check=True).stdout
    assert "std::ios_base_library_init()" in inside
    assert "std::locale::classic()" not in inside


def test_a_program_runs_and_sees_an_old_glibc(compiler, root, tmp_path):
    _, cxx = portable(compiler, root, tmp_path, "2.24")
    source = '#include <features.h>\n#include <cstdio>\n#if __has_include(<sys/single_threaded.h>)\n#error host header\n#endif\nint main() { std::printf("%d.%d", __GLIBC__, __GLIBC_MINOR__); }\n'
    program = compiled(cxx, tmp_path, source=source, name="program")
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == "2.17"


def test_wrapper_answers_queries_as_the_compiler_does(compiler, root, tmp_path):
    _, cxx = portable(compiler, root, tmp_path, "2.24")
    for question in (["--version"], ["-dumpversion"], ["-dumpmachine"], ["-v"]):
        answers = [
            subprocess.run([tool, *question], capture_output=True, text=True, check=False)
            for tool in (cxx, compiler.path)
        ]
        assert answers[0].returncode == answers[1].returncode == 0
        assert answers[0].stdout == answers[1].stdout


def test_rpath_holds_origin_but_no_build_folder(compiler, root, tmp_path):
    _, cxx = portable(compiler, root, tmp_path, "2.24")
    spellings = [
        "-Wl,-rpath,/opt/a",
        "-Wl,-rpath=/opt/b",
        "-Wl,--enable-new-dtags,-rpath,/opt/c",
        "-Wl,-rpath,$ORIGIN/../lib",
    ]
    library = compiled(cxx, tmp_path, "-shared", "-fPIC", *spellings)
    assert read_needs(library).rpath == ("$ORIGIN/../lib",)


def test_sysroot_of_the_user_is_accepted(compiler, tmp_path):
    """This machine's own root, with the promise set to its own glibc: Debian's folders are found."""
    here = read_sysroot(Path("/"), "path", "test")
    if here.problem:
        lacking("libc6-dev in /usr/include")
    own = sysroot.apply_sysroot(here, here.glibc, compiler.target, tmp_path, os.environ, print)
    assert own.defines == ()
    _, cxx = portable(compiler, own, tmp_path, "2.24")
    assert ctypes.CDLL(str(compiled(cxx, tmp_path, "-shared", "-fPIC"))).sample(3) == 1006


def test_folder_that_is_not_a_sysroot_is_named(tmp_path):
    assert read_sysroot(tmp_path, "path", "test").problem == f"there is no {tmp_path}/usr/include/features.h"


def test_the_sysroot_is_made_once(compiler, zig_package, tmp_path):
    chosen, said = Sysroot(SysrootProvider.ZIG, str(zig_package), "ziglang 0.13.0.post1"), []
    start = time.monotonic()
    for _ in range(2):
        sysroot.apply_sysroot(chosen, "2.17", compiler.target, tmp_path, os.environ, said.append)
    assert len(said) == 1
    assert time.monotonic() - start < 300
    assert [path.name for path in (tmp_path / "sysroots").iterdir() if not path.name.startswith(".")] == [
        f"zig-0.13.0-{compiler.target.partition('-')[0]}-glibc-2.17"
    ]


def test_missing_symbol_is_found(compiler, tmp_path):
    library = compiled(
        compiler.path,
        tmp_path,
        "-shared",
        "-fPIC",
        source='extern "C" void nobody_has_this(); extern "C" void f() { nobody_has_this(); }',
    )
    needs = read_needs(library)
    assert "nobody_has_this" in needs.unversioned
    assert not_defined(["f", "nobody_has_this"], [library]) == ["nobody_has_this"]


def test_gpu_code_is_read_as_cuobjdump_reads_it(torch_site, tmp_path):
    nvcc, cuobjdump = shutil.which("nvcc"), next(torch_site.glob("triton/backends/nvidia/bin/cuobjdump"), None)
    if nvcc is None or cuobjdump is None:
        lacking("nvcc, and the cuobjdump of triton")
    (tmp_path / "k.cu").write_text("__global__ void k(float* x) { *x *= 2; }\nvoid f(float* x) { k<<<1, 1>>>(x); }\n")
    (tmp_path / "l.cu").write_text("__global__ void l(float* x) { *x *= 3; }\nvoid g(float* x) { l<<<1, 1>>>(x); }\n")
    codes = ["-gencode=arch=compute_75,code=[sm_75]", "-gencode=arch=compute_80,code=[sm_80,sm_90,sm_120,compute_80]"]
    for extra in ([], ["-Xfatbin", "-compress-all"]):
        subprocess.run(
            [nvcc, "-shared", "-Xcompiler", "-fPIC", *codes, *extra, "k.cu", "l.cu", "-o", "k.so"],
            cwd=tmp_path,
            check=True,
        )
        mine = sorted((item.kind, item.arch) for item in read_needs(tmp_path / "k.so").gpu)
        assert set(mine) == {*(("sass", arch) for arch in ("75", "80", "90", "120")), ("ptx", "80")}
        listed = subprocess.run(
            [cuobjdump, "--list-elf", "--list-ptx", "k.so"], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout
        theirs = sorted(
            ("ptx" if line.startswith("PTX") else "sass", line.split("sm_")[1].split(".")[0])
            for line in listed.splitlines()
            if "sm_" in line
        )
        assert mine == theirs
