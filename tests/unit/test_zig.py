"""zig as nvcc's host compiler: when it is taken, which release, and the one header of CUDA that is changed for it."""

import json
from dataclasses import replace

import pytest
from support import ROOT

from mamba_build_backend import plan, tables
from mamba_build_backend.core import facts, settings
from mamba_build_backend.core.facts import Compiler, CompilerKind, Origin
from mamba_build_backend.plan.types import Tool
from mamba_build_backend.toolchain import zig
from mamba_build_backend.wheel import third_party

ZIG = Compiler("/env/ziglang/zig", "ziglang", CompilerKind.ZIG, "0.13.0", "x86_64-linux-gnu", origin=Origin.INDEX)


def made(machine, *compilers, **config):
    data = json.loads((ROOT / "tests" / "facts" / f"{machine}.json").read_text())
    found = facts.from_json(data["facts"])
    found = replace(found, compilers=(*found.compilers, *compilers))
    given = {key.replace("_", "-"): value for key, value in config.items()}
    return plan.decide(settings.load_settings({**data["settings"], **given}, {}, {}), found, tables.load_tables())


@pytest.mark.parametrize(
    ("cuda", "release"),
    [("11.6", ""), ("11.8", "0.9.1"), ("12.1", ""), ("12.4", "0.12.1"), ("12.9", "0.12.1"), ("13.0", "0.13.0"), ("14.0", "0.13.0")],
)  # fmt: skip
def test_each_cuda_has_its_tested_zig(cuda, release):
    row = tables.load_tables().zig_compiler(cuda)
    assert (row.version if row else "") == release
    assert row is None or row.requirement.startswith(f"ziglang=={release}")


def test_fitting_gxx_comes_before_zig():
    assert made("debian12-torch2.11-cuda13.0", ZIG).compiler.value.kind is CompilerKind.GCC
    assert made("debian12-torch2.11-cuda13.0", ZIG, host_compiler="zig").compiler.value == ZIG


def test_zig_brings_its_glibc_so_that_no_sysroot_is_made_or_installed():
    there = made("no-gxx", ZIG)
    assert (there.compiler.value, there.sysroot.value.provider, there.installs) == (ZIG, "zig", ())
    assert there.check().compiler == ZIG
    absent = made("no-gxx")
    assert absent.installs_tool(Tool.COMPILER).requirements == ("ziglang==0.13.0.post1",)
    assert absent.installs_tool(Tool.SYSROOT) is None
    assert absent.portable


def test_other_zig_release_is_ignored():
    other = replace(ZIG, version="0.12.1")
    assert made("no-gxx", other).installs_tool(Tool.COMPILER)


@pytest.mark.parametrize(
    ("machine", "config"),
    [
        ("no-gxx", {"abi": "torch"}),
        ("no-gxx", {"sysroot": "conda"}),
        ("no-gxx", {"host_compiler": "/opt/g++"}),
        ("unknown-distribution-aarch64-no-gxx", {}),
    ],
)
def test_gxx_is_required_if_zig_cannot_serve(machine, config):
    got = made(machine, ZIG, **config)
    assert "no-compiler" in [item.code for item in got.problems]
    assert got.compiler.value is None
    assert got.installs_tool(Tool.COMPILER) is None


def test_cxx_variable_is_only_a_hint_before_zig():
    data = json.loads((ROOT / "tests" / "facts" / "no-gxx.json").read_text())
    chosen = settings.load_settings({}, {"CXX": "g++-9"}, {})
    got = plan.decide(chosen, facts.from_json(data["facts"]), tables.load_tables())
    assert got.problems == ()
    assert got.installs_tool(Tool.COMPILER)


def test_statically_linked_parts_are_named():
    names = [item.name for item in third_party.materials(made("no-gxx", ZIG))]
    assert "libc++" in names
    assert "libstdc++" not in names


HEADER = """\
#elif defined(__HORIZON__)
extern __host__ __device__ __cudart_builtin__ void __assert_fail(
  const char *, const char *, int, const char *);
#elif defined(__GNUC__)
"""


@pytest.mark.parametrize("deep", ["include", "targets/x86_64-linux/include"])
def test_one_header_is_changed_in_the_view_and_not_in_the_toolkit(tmp_path, deep):
    home, view = tmp_path / "home", tmp_path / "view"
    for name, text in (("crt/common_functions.h", HEADER), ("crt/host_config.h", "host"), ("cuda.h", "cuda")):
        path = home / deep / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    view.mkdir()
    (view / deep.partition("/")[0]).symlink_to(home / deep.partition("/")[0])
    zig.mend_headers(view)
    assert "unsigned int, const char *) __THROW;" in (view / deep / "crt/common_functions.h").read_text()
    assert (home / deep / "crt/common_functions.h").read_text() == HEADER
    assert (view / deep / "cuda.h").read_text() == "cuda"
    assert (view / deep / "crt/host_config.h").read_text() == "host"


def test_toolkit_without_the_line_stays_unchanged(tmp_path):
    home, view = tmp_path / "home", tmp_path / "view"
    (home / "crt").mkdir(parents=True)
    (home / "crt/common_functions.h").write_text("nothing of it")
    view.mkdir()
    (view / "include").symlink_to(home)
    zig.mend_headers(view)
    assert (view / "include").is_symlink()


def test_driver_chooses_cuda_and_gxx_if_no_zig_serves():
    """A compiler can be installed by anybody, a driver cannot."""
    data = json.loads((ROOT / "tests" / "facts" / "debian12-torch2.11-cuda13.0.json").read_text())
    found = facts.from_json(data["facts"])
    only = replace(found.compilers[0], version="15.1.0", target="aarch64-linux-gnu")
    arm = replace(found.machine, arch="aarch64")
    torch = replace(found.torches[0], version="2.11.0+cu128", cuda="12.8")
    found = replace(found, machine=arm, torches=(torch,), compilers=(only,), driver="535.104.05", gpus=())
    planned = plan.decide(settings.load_settings({}, {}, {}), found, tables.load_tables())
    assert planned.cuda.startswith("12.")
    assert [item.code for item in planned.problems] == ["no-compiler"]
