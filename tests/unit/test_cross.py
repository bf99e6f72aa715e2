"""A wheel for the processor of another machine: its tools, and the messages if they are missing."""

import json
import zipfile
from dataclasses import replace

import pytest
from support import ROOT

from mamba_build_backend import plan, tables
from mamba_build_backend.core import facts, settings
from mamba_build_backend.core.facts import Compiler, CompilerKind, Origin
from mamba_build_backend.plan.report import plan_text
from mamba_build_backend.plan.types import Tool
from mamba_build_backend.probe import for_machine
from mamba_build_backend.toolchain import toolkit, wrappers, zig

ZIG = Compiler("/env/ziglang/zig", "ziglang", CompilerKind.ZIG, "0.13.0", "x86_64-linux-gnu", origin=Origin.INDEX)


def planned(recorded="debian12-torch2.11-cuda13.0", *compilers, fetched=(), **config):
    data = json.loads((ROOT / "tests" / "facts" / f"{recorded}.json").read_text())
    found = facts.from_json(data["facts"])
    found = replace(found, compilers=(*found.compilers, *compilers), fetched=(*found.fetched, *fetched))
    given = {key.replace("_", "-"): value for key, value in config.items()}
    chosen = settings.load_settings({**data["settings"], **given}, {}, {})
    found = for_machine(found, chosen.machine)
    return found, plan.decide(chosen, found, tables.load_tables())


def test_cross_build_uses_zig_and_the_runtime_of_the_target():
    found, made = planned("debian12-torch2.11-cuda13.0", ZIG, machine="aarch64")
    assert made.problems == ()
    assert (made.compiler.value.kind, made.compiler.value.target) == (CompilerKind.ZIG, "aarch64-linux-gnu")
    assert (made.runtime.cuda, made.runtime.machine) == (made.cuda, "aarch64")
    assert found.machine.runs_on == "x86_64"
    assert "x86_64, for aarch64" in " ".join(plan_text(found, made).split())


def test_cross_build_ignores_gxx_and_gpus_of_this_machine():
    here, own = planned("h100-ubuntu24.04")
    assert own.compiler.value.kind is CompilerKind.GCC
    assert here.gpus
    found, made = planned("h100-ubuntu24.04", machine="aarch64")
    assert (found.gpus, made.compiler.value, made.problems) == ((), None, ())
    assert made.installs_tool(Tool.COMPILER).requirements == ("ziglang==0.13.0.post1",)


def test_cross_build_uses_the_gpus_of_torch_on_the_target():
    _, there = planned("debian12-torch2.11-cuda13.0", ZIG, machine="aarch64")
    _, here = planned("debian12-torch2.11-cuda13.0", ZIG)
    assert set(here.gpu_code.value.codes) != set(there.gpu_code.value.codes)
    assert here.runtime is None


@pytest.mark.parametrize("machine", ["auto", "x86_64"])
def test_native_machine_setting_changes_nothing(machine):
    assert planned(machine=machine) == planned()


@pytest.mark.parametrize(
    ("config", "found", "way"),
    [
        ({"abi": "torch"}, "torch's C++ library", "-C abi=stable"),
        ({"upstream": "self"}, "torch's C++ library", "-C abi=stable"),
        ({"offline": "true"}, "nvidia_cuda_runtime-13.0.96", "-C offline=false"),
        ({"sysroot": "host"}, "zig brings its own glibc", "use an aarch64 machine"),
    ],
)  # fmt: skip
def test_obstacles_are_reported_once_with_a_fix(config, found, way):
    _, made = planned("debian12-torch2.11-cuda13.0", ZIG, machine="aarch64", **config)
    problems = [problem for problem in made.problems if problem.code == "machine"]
    assert len(problems) == 1, made.problems
    assert found in problems[0].found
    assert way in problems[0].fix[0]
    assert not [problem for problem in made.problems if problem.code in ("no-compiler", "host-compiler")]


def test_offline_the_runtime_may_be_in_the_cache():
    row = tables.load_tables().cross_runtime("13.0", "aarch64")
    _, made = planned("debian12-torch2.11-cuda13.0", ZIG, fetched=(row.index_file,), machine="aarch64", offline="true")
    assert not [problem for problem in made.problems if problem.code == "machine"]


def test_cuda_without_a_known_runtime_names_the_index():
    _, made = planned("debian12-torch2.11-cuda13.0", ZIG, machine="aarch64")
    kit = replace(made.toolkit.value, version="12.4", origin=Origin.SETTING)
    data = json.loads((ROOT / "tests" / "facts" / "debian12-torch2.11-cuda13.0.json").read_text())
    known = replace(facts.from_json(data["facts"]), toolkits=(kit,), compilers=(replace(ZIG, version="0.12.1"),))
    chosen = settings.load_settings({**data["settings"], "machine": "aarch64", "cuda-home": kit.home}, {}, {})
    (told,) = plan.decide(chosen, for_machine(known, "aarch64"), tables.load_tables()).problems
    assert told.found == "no CUDA 12.4 runtime for aarch64 is known"
    assert told.fix[0].startswith("-C cuda-home=pypi ")


def test_each_minor_version_of_nvcc_on_pypi_has_a_runtime():
    known = tables.load_tables()
    assert [
        row.version for row in known.cuda if row.index_nvcc and not known.cross_runtime(row.version, "aarch64")
    ] == []


def test_toolkit_view_replaces_only_the_runtime(tmp_path):
    home, view = tmp_path / "cuda", tmp_path / "work" / "toolchain" / "cuda"
    for name in ("bin/nvcc", "targets/x86_64-linux/include/cuda.h", "targets/x86_64-linux/lib/libcudart_static.a"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("here")
    (home / "include").symlink_to("targets/x86_64-linux/include")
    (home / "lib64").symlink_to("targets/x86_64-linux/lib")
    runtime = tmp_path / "runtime.whl"
    with zipfile.ZipFile(runtime, "w") as wheel:
        wheel.writestr("nvidia/cu13/lib/libcudart_static.a", "there")
        wheel.writestr("nvidia/cu13/lib/libcudart.so.13", "there")
        wheel.writestr("../../outside/libcudadevrt.a", "there")
    view.mkdir(parents=True)
    for name in ("bin", "include", "lib64", "targets"):
        (view / name).symlink_to(home / name)
    toolkit.aim(view, "aarch64", runtime, tmp_path / "work")
    assert (view / "lib64" / "libcudart_static.a").read_text() == "there"
    assert not (view / "lib64" / "libcudart.so.13").exists()
    for target in ("sbsa-linux", "aarch64-linux"):
        assert (view / "targets" / target / "lib" / "libcudart_static.a").read_text() == "there"
        assert (view / "targets" / target / "include" / "cuda.h").read_text() == "here"
    assert (home / "lib64" / "libcudart_static.a").read_text() == "here"
    assert not (tmp_path.parent / "outside").exists()


@pytest.mark.parametrize("machine", ["auto", "aarch64"])
def test_zig_sees_the_python_header_of_debian_only_for_the_native_processor(tmp_path, monkeypatch, machine):
    """Debian's pyconfig.h includes the file of the processor from a sibling folder that zig does not search."""
    headers = tmp_path / "usr" / "include"
    for folder in ("python3.11", "x86_64-linux-gnu/python3.11"):
        (headers / folder).mkdir(parents=True)
    monkeypatch.setattr(wrappers.sysconfig, "get_config_var", {"MULTIARCH": "x86_64-linux-gnu"}.get)
    monkeypatch.setattr(wrappers.sysconfig, "get_path", lambda name: str(headers / "python3.11"))
    _, made = planned("debian12-torch2.11-cuda13.0", ZIG, machine=machine, host_compiler="zig", strip="false")
    (tmp_path / "cache" / "zig").mkdir(parents=True)
    target = f"{made.compiler.value.target}.{made.floor.glibc}"
    (tmp_path / "cache" / "zig" / f"0.13.0-{target}.made").touch()
    _, cxx = zig.apply_zig(made.check(), tmp_path / "tools", tmp_path / "cache", {}, print)
    command = cxx.read_text()
    assert ("-DMAMBA_STABLE_OWN_PYTHON_H" in command) == (machine == "aarch64")
    assert ("-isystem'\"$tools\"'/include" in command or "/include" in command) == (machine == "auto")
    assert (tmp_path / "tools" / "include" / "x86_64-linux-gnu" / "python3.11").exists() == (machine == "auto")
