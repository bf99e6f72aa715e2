"""The real wheel: mamba-ssm for one architecture, built as a user builds it, in environments that hold only torch."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support import HURRIED, ROOT, empty_environment, environment_with_torch, run

TAG = f"cp{sys.version_info.major}{sys.version_info.minor}"


@pytest.fixture(scope="module")
def env():
    import os

    dropped = ("VIRTUAL_ENV", "PYTHONPATH", "CUDA_HOME", "CXX", "CC", "TORCH_CUDA_ARCH_LIST", "MAX_JOBS")
    return {key: value for key, value in os.environ.items() if key not in dropped and not key.startswith("MAMBA_")}


@pytest.fixture(scope="module")
def python(tmp_path_factory, torch_site):
    """A virtual environment that shares the tests' torch and holds nothing of ours yet."""
    return environment_with_torch(tmp_path_factory.mktemp("first") / "venv", torch_site)


@pytest.fixture(scope="module")
def wheel(python, tmp_path_factory, env):
    """The README's command, with isolation on, cut to one architecture and hurried."""
    out = tmp_path_factory.mktemp("dist")
    log = tmp_path_factory.mktemp("log") / "pip.log"
    command = [python, "-m", "pip", "wheel", ".", "-w", out, "--no-deps", "-v", "-C", "arch=9.0"]
    with log.open("w") as file:
        status = subprocess.run(
            [str(part) for part in command], env={**env, **HURRIED}, cwd=ROOT, stdout=file, stderr=file, check=False
        ).returncode
    assert status == 0, log.read_text()[-6000:]
    (made,) = out.glob("*.whl")
    return made


def test_the_wheel_has_the_name_and_the_size_that_were_promised(wheel):
    assert wheel.name == f"mamba_ssm_portable-2.3.2.post1-{TAG}-{TAG}-manylinux_2_24_x86_64.whl"
    # Hurried kernels are small ones; benchmarks/README.md has the size of those that are shipped. Uncompressed, it is 6.8 MB.
    assert wheel.stat().st_size <= 2_500_000


def test_the_audit_finds_the_promised_floors_and_every_symbol(wheel, python, env):
    run(python, "-m", "pip", "install", "-q", "pyelftools", "packaging", env=env, cwd=ROOT)
    data = json.loads(run(python, "-m", "mamba_build_backend", "audit", "--json", wheel, env=env, cwd=ROOT).stdout)
    assert data["ok"] is True
    (extension,) = data["extensions"]
    numbers = {name: tuple(map(int, extension["floor"][name].split("."))) for name in ("glibc", "glibcxx", "cxxabi")}
    assert numbers["glibc"] <= (2, 17)
    assert numbers["glibcxx"] <= (3, 4, 22)
    assert numbers["cxxabi"] <= (1, 3, 10)
    assert extension["unresolved"] == []
    assert extension["rpath"] == []
    assert [arch for arch, _ in extension["sass"]] == ["90"]


def test_the_wheel_holds_upstreams_packages_ours_the_licence_and_the_record(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        tops = {name.split("/")[0].split(".")[0] for name in names}
        info = "mamba_ssm_portable-2.3.2.post1.dist-info"
        metadata = archive.read(f"{info}/METADATA").decode()
        record = json.loads(archive.read(f"{info}/mamba-build-record.json"))
        licence = archive.read(f"{info}/licenses/LICENSE").decode()
    assert {"mamba_ssm", "mamba_ssm_portable", "selective_scan_cuda"} <= tops
    assert "Requires-Dist: torch==2.11.*\n" in metadata
    assert 'Requires-Dist: tilelang==0.1.8; extra == "mamba3"' in metadata
    assert "Requires-Dist: einops" in metadata
    assert "Requires-Dist: triton" in metadata
    assert "Apache License" in licence
    assert record["upstream"]["sha256"] == "104cc47e9101e5401a675fa2b784f2952b9b037f3b1dd83b5ac544394e95d028"
    assert str(Path.home()) not in json.dumps(record)


def test_the_metadata_hook_equals_the_wheels_metadata(wheel, python, env, tmp_path):
    code = f"import mamba_build_backend as b; print(b.prepare_metadata_for_build_wheel({str(tmp_path)!r}))"
    run(python, "-c", code, env={**env, "MAMBA_BUILD_ARCH": "9.0"}, cwd=ROOT)
    info = "mamba_ssm_portable-2.3.2.post1.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        assert (tmp_path / info / "METADATA").read_bytes() == archive.read(f"{info}/METADATA")


def test_in_a_clean_environment_it_installs_imports_and_says_so(wheel, env, tmp_path):
    with empty_environment(tmp_path / "venv", env) as clean:
        # pip brings torch itself, and all else that the wheel asks for: nothing is there, and nothing is linked.
        run(clean, "-m", "pip", "install", "-q", wheel, env=env, cwd=ROOT)
        done = run(clean, "-m", "mamba_ssm_portable", env=env, cwd=tmp_path)
        rows = dict(line.split(None, 1) for line in done.stdout.splitlines()[:-1] if not line.startswith(" "))
        assert rows["selective_scan_cuda"].startswith("ok")
        assert rows["mamba_ssm"].startswith("ok")
        assert done.stdout.splitlines()[-1] in (
            "all systems go",
            "all that can be checked here is fine; unchecked without a GPU: driver, GPU, kernels",
        )
        info = run(
            clean,
            "-c",
            "import mamba_ssm_portable as m; print(m.build_info()['upstream']['version'])",
            env=env,
            cwd=tmp_path,
        )
        assert info.stdout == "2.3.2.post1\n"
        run(clean, "-m", "pip", "check", env=env, cwd=ROOT)


def test_an_sdist_carries_the_source_and_is_the_same_twice(python, env, tmp_path):
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
    hook = run(
        python,
        "-c",
        "import mamba_build_backend as b; print(b.prepare_metadata_for_build_wheel('meta'))",
        env=offline,
        cwd=tree,
    )
    assert hook.stdout.strip() == "mamba_ssm_portable-2.3.2.post1.dist-info"
