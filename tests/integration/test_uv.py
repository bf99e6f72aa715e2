"""uv, as its users type it: each command for real, on a project of two files."""

import json
import sys

import pytest
from snippets import blocks
from support import activated, copy_tiny, environment_with_torch, only_wheel, record_of, run, served, uv_program

USE = "import torch, tiny_cuda_ext as t; print(t.lines(3), end='')"


@pytest.fixture(scope="module")
def python(tmp_path_factory, torch_site):
    return environment_with_torch(tmp_path_factory.mktemp("uv") / "venv", torch_site)


@pytest.fixture
def uv(env, tmp_path):
    """Run uv, which is on no PATH of the user's environment here."""

    def call(*arguments, cwd=tmp_path, check=True, **variables):
        return run(uv_program(), *arguments, env={**env, **variables}, cwd=cwd, check=check)

    return call


def test_uv_pip_install_builds_for_the_torch_of_the_active_environment(tiny, uv, env, python):
    """uv exposes only its temporary environment to a backend. Without uv's command line, the newest torch would win."""
    active = activated(env, python)
    said = uv("pip", "install", "--no-deps", ".", cwd=tiny, **active).stderr
    assert "+ tiny-cuda==1.2.3" in said
    assert "torch" not in said
    (record,) = python.parent.parent.glob("lib/python*/site-packages/tiny_cuda-1.2.3.dist-info/mamba-build-record.json")
    torch_ = json.loads(record.read_text())["torch"]
    assert torch_["origin"] == "caller", "the environment that uv works for"
    assert torch_["version"].startswith("2.11.0")
    assert run(python, "-c", USE, env=env, cwd=tiny.parent).stdout == "size 0 n 3\n"


def test_uv_build_makes_both_files_in_a_project_whose_venv_is_not_active(tiny, uv, python):
    (tiny / ".venv").symlink_to(python.parent.parent)
    said = uv("build", "--python", sys.executable, cwd=tiny)
    assert "Successfully built" in said.stderr
    assert (tiny / "dist" / "tiny_cuda-1.2.3.tar.gz").is_file()
    record = record_of(only_wheel(tiny / "dist"))
    assert record["torch"]["version"].startswith("2.11.0")


def test_uv_sync_gives_the_build_the_torch_of_the_lock(tmp_path, uv, torch_site, gxx):
    """The snippet of docs/researcher.md with the tiny project: uv resolves it without a build, then builds it once."""
    (text,) = [block.text for block in blocks("docs/researcher.md") if "match-runtime" in block.text]
    assert 'mamba-ssm-portable = [{ requirement = "torch", match-runtime = true }]' in text
    copy_tiny(tmp_path / "tiny")
    app = tmp_path / "app"
    app.mkdir()
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    text = text.replace("../mamba-ssm-portable", "../tiny").replace("mamba-ssm-portable", "tiny-cuda")
    lines = [line for line in text.splitlines() if not line.startswith(("version = ", "requires-", "name = "))]
    assert len(text.splitlines()) - len(lines) == 6
    text = "\n".join(lines).replace(
        "[project]", f'[project]\nname = "app"\nversion = "1"\nrequires-python = "=={python}.*"'
    )
    table = '[[tool.uv.dependency-metadata]]\nname = "tiny-cuda"\nversion = "1.2.3"\nrequires-dist = ["torch"]'
    (app / "pyproject.toml").write_text(text.replace("[[tool.uv.dependency-metadata]]", table))
    said = uv("lock", "-v", "--python", sys.executable, cwd=app).stderr
    assert "Building" not in said, "static metadata: nothing is built to resolve"
    uv("sync", "--python", sys.executable, cwd=app)
    (record,) = app.glob(".venv/lib/python*/site-packages/tiny_cuda-1.2.3.dist-info/mamba-build-record.json")
    torch_ = json.loads(record.read_text())["torch"]
    assert torch_["version"].startswith("2.11."), "the lock's, though newer ones are known"
    assert torch_["origin"] == "python"
    done = uv("run", "--no-sync", "python", "-c", USE, cwd=app)
    assert done.stdout == "size 0 n 3\n"


def test_a_list_of_settings_is_one_setting(tiny, uv, env, python, tmp_path):
    options = ["-C", "arch=8.0", "-C", "arch=9.0", "-C", "repair=false"]
    uv("build", "--wheel", *options, "-o", tmp_path / "dist", cwd=tiny, **activated(env, python))
    record = record_of(only_wheel(tmp_path / "dist"))
    codes = [code for item in record["gpu_code"]["passes"] for code in item["codes"]]
    assert codes == ["80", "90"]


def test_uv_installs_a_variant_if_the_driver_runs_its_cuda(tiny, uv, env, python, tmp_path):
    """The drafts of PEP 817 and 825. This machine has no driver, so a variable of uv's provider names one."""
    active = activated(env, python)
    uv("build", "--wheel", "-C", "variant=auto", "-C", "repair=false", "-o", tmp_path / "plain", cwd=tiny, **active)
    plain = only_wheel(tmp_path / "plain")
    assert plain.name.endswith("-linux_x86_64.whl"), "a hook gives a wheel the name that every frontend takes"
    major = record_of(plain)["torch"]["cuda"].split(".")[0]
    options = ["-C", "variant=auto", "-C", "repair=false", "--no-isolation", "-w", tmp_path / "dist"]
    run(sys.executable, "-m", "mamba_build_backend", "build", *options, env=env, cwd=tiny)
    wheel = only_wheel(tmp_path / "dist")
    assert wheel.name.endswith(f"-linux_x86_64-cu{major}.whl")
    install = ["pip", "install", "--preview-features", "wheel-variants", "--no-deps", "--target", tmp_path / "t", wheel]
    driver = "NV_VARIANT_PROVIDER_FORCE_CUDA_DRIVER_VERSION"
    gpu = {"NV_VARIANT_PROVIDER_FORCE_SM_ARCH": "9.0"}
    old = uv(*install, check=False, **active, **gpu, **{driver: "11.4"})
    assert old.returncode != 0
    assert "wheel variant" in old.stderr
    assert "+ tiny-cuda==1.2.3" in uv(*install, **active, **gpu, **{driver: f"{major}.1"}).stderr
    audited = run(sys.executable, "-m", "mamba_build_backend", "audit", wheel, env=env, cwd=tiny)
    assert wheel.name in audited.stdout
    # From an index of ours, which tells what the label stands for.
    run(sys.executable, "-m", "mamba_build_backend", "index", wheel.parent, env=env, cwd=tiny)
    with served(wheel.parent) as address:
        target = ["--no-cache", "--target", tmp_path / "t2", "--index-url", address, "tiny-cuda"]
        install = ["pip", "install", "--preview-features", "wheel-variants", "--no-deps", *target]
        assert "unsupported wheel variants" in uv(*install, check=False, **active, **gpu, **{driver: "11.4"}).stderr
        assert "+ tiny-cuda==1.2.3" in uv(*install, **active, **gpu, **{driver: f"{major}.1"}).stderr
