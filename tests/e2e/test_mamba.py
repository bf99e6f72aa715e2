"""The real wheel, as a user builds it: mamba-ssm with its causal-conv1d for one architecture, for every torch.

The wheel is built once, with torch 2.11.0, and used with the oldest known torch, with 2.11.0 and with the newest.
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support import (
    HURRIED,
    ROOT,
    empty_environment,
    environment_with_torch,
    lacking,
    old_torch,
    only_wheel,
    record_of,
    run,
    uv_program,
)

INFO = "mamba_ssm_portable-2.3.2.post1.dist-info"
FINE = ("all systems go", "no problem found; not checked without a GPU: driver, GPU, kernels")


@pytest.fixture(scope="module")
def env():
    dropped = ("VIRTUAL_ENV", "PYTHONPATH", "CUDA_HOME", "CXX", "CC", "TORCH_CUDA_ARCH_LIST", "MAX_JOBS")
    return {key: value for key, value in os.environ.items() if key not in dropped and not key.startswith("MAMBA_")}


@pytest.fixture(scope="module")
def python(tmp_path_factory, torch_site):
    """A virtual environment that shares the tests' torch and holds nothing of ours yet."""
    return environment_with_torch(tmp_path_factory.mktemp("first") / "venv", torch_site)


@pytest.fixture(scope="module")
def wheel(python, tmp_path_factory, env):
    """The README's command, with isolation on, cut to one architecture and hurried, both projects in one file."""
    out = tmp_path_factory.mktemp("dist")
    log = tmp_path_factory.mktemp("log") / "pip.log"
    command = [python, "-m", "pip", "wheel", ".", "-w", out, "--no-deps", "-v", "-C", "arch=9.0"]
    command += ["-C", "with-causal-conv1d=true"]
    with log.open("w") as file:
        status = subprocess.run(
            [str(part) for part in command], env={**env, **HURRIED}, cwd=ROOT, stdout=file, stderr=file, check=False
        ).returncode
    assert status == 0, log.read_text()[-6000:]
    return only_wheel(out)


def test_wheel_has_the_promised_name_and_size(wheel):
    assert wheel.name == "mamba_ssm_portable-2.3.2.post1-cp39-abi3-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
    # Hurried kernels are small ones; benchmarks/README.md has the size of those that are shipped.
    assert wheel.stat().st_size <= 5_000_000


def test_audit_finds_the_promised_floors_and_no_torch_symbol(wheel, python, env):
    run(python, "-m", "pip", "install", "-q", "packaging", env=env, cwd=ROOT)
    data = json.loads(run(python, "-m", "mamba_build_backend", "audit", "--json", wheel, env=env, cwd=ROOT).stdout)
    assert data["ok"] is True
    names = [item["path"].partition(".")[0] for item in data["extensions"]]
    assert sorted(names) == ["causal_conv1d_cuda", "selective_scan_cuda"]
    for extension in data["extensions"]:
        floor = extension["floor"]
        numbers = {name: tuple(map(int, floor[name].split("."))) for name in ("glibc", "glibcxx", "cxxabi")}
        assert numbers["glibc"] <= (2, 17)
        assert numbers["glibcxx"] <= (3, 4, 19)
        assert numbers["cxxabi"] <= (1, 3, 7)
        assert (extension["unresolved"], extension["rpath"]) == ([], [])
        assert [arch for arch, _ in extension["sass"]] == ["90"]
        abi = extension["abi"]
        assert (abi["python_outside"], abi["torch_outside"]) == ([], [])
        assert tuple(map(int, abi["python"].split("."))) <= (3, 9)
        assert not [name for name in extension["needed"] if "cudart" in name]


def test_wheel_holds_both_packages_licences_and_record(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(f"{INFO}/METADATA").decode()
        licence = archive.read(f"{INFO}/licenses/LICENSE").decode()
    tops = {name.split("/")[0].split(".")[0] for name in names}
    assert {"mamba_ssm", "mamba_ssm_portable", "selective_scan_cuda", "causal_conv1d", "causal_conv1d_cuda"} <= tops
    assert {
        "selective_scan_cuda.abi3.so",
        "causal_conv1d_cuda.abi3.so",
        f"{INFO}/licenses/causal-conv1d/LICENSE",
    } <= set(names)
    assert "Requires-Dist: torch>=2.4\n" in metadata, "causal-conv1d's Python needs it"
    assert 'Requires-Dist: tilelang==0.1.8; extra == "mamba3"' in metadata
    assert "Requires-Dist: einops" in metadata
    assert "Requires-Dist: triton\n" in metadata
    assert "Requires-Dist: causal" not in metadata
    assert "License-Expression: Apache-2.0 AND BSD-3-Clause\n" in metadata
    assert "Apache License" in licence
    record = record_of(wheel)
    assert record["upstream"]["sha256"] == "104cc47e9101e5401a675fa2b784f2952b9b037f3b1dd83b5ac544394e95d028"
    assert [item["name"] for item in record["companions"]] == ["causal-conv1d"]
    assert {item["kind"] for item in record["companions"][0]["patches"]} == {"fix"}
    assert str(Path.home()) not in json.dumps(record)


def test_metadata_hook_gives_the_metadata_of_the_wheel(wheel, python, env, tmp_path):
    code = f"import mamba_build_backend as b; print(b.prepare_metadata_for_build_wheel({str(tmp_path)!r}))"
    given = {**env, "MAMBA_BUILD_ARCH": "9.0", "MAMBA_BUILD_WITH_CAUSAL_CONV1D": "true"}
    run(python, "-c", code, env=given, cwd=ROOT)
    with zipfile.ZipFile(wheel) as archive:
        assert (tmp_path / INFO / "METADATA").read_bytes() == archive.read(f"{INFO}/METADATA")


def answers(python, env, folder):
    """The wheel in this environment imports, and answers to the recorded calls as upstream's own bindings."""
    done = run(python, "-m", "mamba_ssm_portable", env=env, cwd=folder)
    rows = dict(line.split(None, 1) for line in done.stdout.splitlines()[:-1] if not line.startswith(" "))
    assert all(rows[name].startswith("ok") for name in ("selective_scan_cuda", "causal_conv1d_cuda", "mamba_ssm"))
    assert done.stdout.splitlines()[-1] in FINE
    (site,) = python.parent.parent.glob("lib/python*/site-packages")
    fast = "from mamba_ssm.ops import selective_scan_interface as s; assert s.causal_conv1d_fn and s.causal_conv1d_fwd_function"
    run(python, "-c", fast, env=env, cwd=folder)
    said = run(python, ROOT / "tests" / "stable" / "calls.py", "check", site, env=env, cwd=folder).stdout
    assert said.splitlines()[-1] == "2631 compared, 0 differ"


def test_wheel_answers_as_upstream_with_the_newest_torch(wheel, env, tmp_path):
    with empty_environment(tmp_path / "venv", env) as clean:
        # pip brings torch itself, and all else that the wheel asks for: nothing is there, and nothing is linked.
        run(clean, "-m", "pip", "install", "-q", wheel, env=env, cwd=ROOT)
        answers(clean, env, tmp_path)
        code = "import mamba_ssm_portable as m; print(m.build_info()['upstream']['version'])"
        assert run(clean, "-c", code, env=env, cwd=tmp_path).stdout == "2.3.2.post1\n"
        run(clean, "-m", "pip", "check", env=env, cwd=ROOT)


def test_wheel_answers_as_upstream_with_the_torch_of_its_build(wheel, env, tmp_path, torch_site):
    python = environment_with_torch(tmp_path / "venv", torch_site)
    run(uv_program(), "pip", "install", "-q", "--python", python, wheel, env=env, cwd=tmp_path)
    answers(python, env, tmp_path)


def test_extensions_import_on_an_old_linux_with_the_oldest_torch_and_python(wheel, env):
    """Debian 11, Python 3.9, torch 2.0.0 for CUDA 11.7: the same file that pip installed under the newest torch."""
    if os.geteuid() != 0 or not shutil.which("debootstrap", path=f"{env['PATH']}:/usr/sbin"):
        lacking("root, and debootstrap")
    (site,) = (old_torch(env).parent.parent / "lib").glob("python*/site-packages")
    said = run(ROOT / "manylinux" / "check-root", "--torch", site, "--wheel", wheel, env=env, cwd=ROOT).stdout
    assert "selective_scan_cuda: imported from /wheel/" in said
    assert "glibc 2.31: 2 extension modules imported" in said


def test_wheel_answers_as_upstream_with_the_oldest_torch(wheel, env, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    said = run(old_torch(env), ROOT / "tests" / "stable" / "calls.py", "check", tmp_path, env=env, cwd=tmp_path).stdout
    # One of the calls cannot be made there without a driver.
    assert said.splitlines()[-1] == "2630 compared, 0 differ"


def test_sdist_carries_the_source_and_is_reproducible(python, env, tmp_path):
    """build makes it with no torch in the build environment; what it holds is what a wheel is made of, offline."""
    import tarfile

    from mamba_build_backend.source.locate import sha256

    found = []
    # Twice in the same build folder: the second finds what the first left.
    kept = {**env, "MAMBA_BUILD_BUILD_DIR": str(tmp_path / "work")}
    for number in range(2):
        out = tmp_path / str(number)
        run(sys.executable, "-m", "build", "--sdist", "-o", out, ".", env=kept, cwd=ROOT)
        found.append(out / "mamba_ssm_portable-2.3.2.post1.tar.gz")
    assert sha256(found[0]) == sha256(found[1])
    with tarfile.open(found[0]) as tar:
        tar.extractall(tmp_path, filter="data")
    tree = tmp_path / "mamba_ssm_portable-2.3.2.post1"
    offline = {
        **env,
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "MAMBA_BUILD_CACHE_DIR": str(tmp_path / "cache"),
        "MAMBA_BUILD_SYSROOT": "host",
    }
    code = "import mamba_build_backend as b; print(b.prepare_metadata_for_build_wheel('meta'))"
    assert run(python, "-c", code, env=offline, cwd=tree).stdout.strip() == INFO
