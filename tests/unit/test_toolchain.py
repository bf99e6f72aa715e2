import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from mamba_build_backend.core.errors import ToolError
from mamba_build_backend.core.facts import Toolkit, ToolkitLayout
from mamba_build_backend.core.shared_folder import stand_in
from mamba_build_backend.symbols.elf import DynamicSymbol
from mamba_build_backend.tables import Floor, load_tables
from mamba_build_backend.toolchain import compiler_cache, probe_options, toolkit
from mamba_build_backend.toolchain.libstdcxx import select_symbols
from mamba_build_backend.toolchain.shims import nvcc_steps
from mamba_build_backend.toolchain.shims.protocol import NVCC_STEPS_SHIM, PYTHON
from mamba_build_backend.toolchain.types import Launcher, Toolchain


def symbol(name, version, kind="function"):
    return DynamicSymbol(name, version, kind, False, False, 8)


def test_each_symbol_keeps_its_newest_allowed_version_and_newer_symbols_are_left_out():
    given = [
        symbol("a", "GLIBCXX_3.4"),
        symbol("a", "GLIBCXX_3.4.11"),
        symbol("a", "GLIBCXX_3.4.30"),
        symbol("b", "GLIBCXX_3.4.9"),
        symbol("new", "GLIBCXX_3.4.29"),
        symbol("addref", "CXXABI_1.3.13"),
        symbol("old", "CXXABI_1.3"),
        symbol("once", "GLIBCXX_3.4.11", "tls"),
        symbol("GLIBCXX_3.4", "GLIBCXX_3.4", "object"),
        symbol("tm", "CXXABI_TM_1"),
        symbol("ldbl", "GLIBCXX_LDBL_3.4"),
        symbol("bare", ""),
    ]
    kept = select_symbols(given, Floor("2.17", "3.4.19", "1.3.7"))
    assert [(item.name, item.version) for item in kept] == [
        ("a", "GLIBCXX_3.4.11"),
        ("b", "GLIBCXX_3.4.9"),
        ("old", "CXXABI_1.3"),
        ("once", "GLIBCXX_3.4.11"),
    ]
    assert kept[3].kind == "tls"


def test_nvcc_of_pypi_and_headers_of_torch_become_one_folder(tmp_path):
    build, torch = tmp_path / "build" / "nvidia" / "cu13", tmp_path / "site" / "nvidia" / "cu13"
    for path in (build / "bin/nvcc", build / "bin/crt/link.stub", build / "nvvm/bin/cicc", build / "include/crt/host_config.h",
                 torch / "include/cuda_runtime.h", torch / "include/crt/host_config.h", torch / "lib/libcudart.so.13"):  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(path))
    found = Toolkit(
        str(build), "test", ToolkitLayout.PYPI, "13.0", includes=(str(build / "include"),), missing=("cuda_runtime.h",)
    )
    view = toolkit.apply_toolkit(found, tmp_path / "site", tmp_path / "work")
    assert (view / "bin/nvcc").read_text() == str(build / "bin/nvcc")
    assert (view / "nvvm/bin/cicc").exists()
    assert (view / "include/cuda_runtime.h").exists()
    assert (view / "include/crt/host_config.h").read_text() == str(build / "include/crt/host_config.h"), (
        "nvcc's own win"
    )
    assert (view / "lib64/libcudart.so").read_text() == str(torch / "lib/libcudart.so.13")
    assert toolkit.apply_toolkit(found, tmp_path / "site", tmp_path / "work") == view


@pytest.fixture
def cuda(tmp_path):
    """A toolkit whose programs say their names."""
    home = tmp_path / "cuda-13.0"
    programs = ("bin/nvcc", "bin/fatbinary", "nvvm/bin/cicc", "nvvm/libdevice/libdevice.10.bc")
    for name in (*programs, "include/cuda.h", "targets/x/lib/libcudart.so", "version.json"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(f"#!/bin/sh\necho {name} $1\n")
        (home / name).chmod(0o755)
    return home


def test_toolkit_programs_run_without_stand_ins(cuda, tmp_path):
    view = toolkit.apply_toolkit(Toolkit(str(cuda), "test"), tmp_path, tmp_path / "work")
    files = [path for path in cuda.rglob("*") if path.is_file()]
    assert len(files) == 7
    for path in files:
        assert (view / path.relative_to(cuda)).samefile(path)
    assert not [path for path in view.rglob("*") if path.is_file() and not path.is_symlink()]


def test_compact_replaces_two_steps_of_nvcc(cuda, tmp_path):
    home = cuda
    shims = {PYTHON: sys.executable, NVCC_STEPS_SHIM: str(nvcc_steps.__file__)}
    for _ in range(2):  # as in a build folder that stays
        view = toolkit.apply_toolkit(Toolkit(str(home), "test"), tmp_path, tmp_path / "work", compact=True)
        real = {path.name for path in view.iterdir() if path.name != "bin"}
        assert real == {"include", "targets", "version.json", "nvvm"}
        assert (view / "nvvm/libdevice/libdevice.10.bc").samefile(home / "nvvm/libdevice/libdevice.10.bc")
        command = [view / "nvvm/bin/cicc", "-arch"]
        done = subprocess.run(command, env={}, capture_output=True, text=True, check=True)
        assert done.stdout == "nvvm/bin/cicc -arch\n", "itself, outside a build"
        done = subprocess.run(command, env=shims, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith("mamba-build-backend: _MAMBA_BACKEND_STEP_FILE is not set")
        assert str(tmp_path) not in (view / "nvvm/bin/cicc").read_text(), "sccache looks at it"
        assert (view / "bin/nvcc").samefile(home / "bin/nvcc")
        ptx = tmp_path / "k.ptx"
        ptx.write_text(".target sm_80\n.visible .entry b()\n{\n}\n.visible .entry a()\n{\n}\n")
        command = [view / "bin/fatbinary", f"--image3=kind=ptx,sm=80,file={ptx}"]
        done = subprocess.run(command, env=shims, capture_output=True, text=True, check=True)
        assert done.stdout == f"bin/fatbinary --image3=kind=ptx,sm=80,file={ptx}\n"
        assert ptx.read_text() == ".target sm_80\n.visible .entry a()\n{\n}\n.visible .entry b()\n{\n}\n"


@pytest.mark.parametrize(("known", "takes"), [("--orig_src_path_name=*|--version", True), ("--version", False)])
def test_undocumented_option_of_cudafe_is_probed(tmp_path, known, takes):
    program(tmp_path / "cudafe++", f'for word in "$@"; do case $word in {known}) ;; *) exit 4 ;; esac; done')
    assert probe_options.takes_source_path(tmp_path / "nvcc", dict(os.environ)) == takes


def test_missing_cudafe_accepts_no_option(tmp_path):
    assert not probe_options.takes_source_path(tmp_path / "nvcc", dict(os.environ))


@pytest.mark.parametrize(("said", "takes"), [("--frandom-seed <seed>   (-frandom-seed)", True), ("--threads", False)])
def test_help_of_nvcc_shows_its_new_options(tmp_path, said, takes):
    program(tmp_path / "nvcc", f"echo '{said}'")
    assert probe_options.takes_seed(tmp_path / "nvcc", dict(os.environ)) == takes


def program(path, script):
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_newer_version_is_planned_by_the_nearest_row():
    loaded = load_tables()
    assert loaded.cuda_row("14.7") == loaded.cuda[-1]
    assert loaded.cuda_row("12.7").version == "12.6"
    assert loaded.cuda_row("10.1") == loaded.cuda[0]
    assert loaded.floor_row("2.17").glibcxx == "3.4.19"
    assert loaded.floor_row("2.26").glibc == "2.24"


@pytest.mark.parametrize("asked", [False, True])
def test_sccache_is_skipped_while_another_build_holds_its_folder(asked, tmp_path):
    launcher = Launcher("sccache", ("/bin/false",), {}, asked=asked)
    tools = Toolchain(
        tmp_path, tmp_path, tmp_path, tmp_path, seed_option=True, source_path_option=True, launcher=launcher
    )
    label, said = f"test-{os.getpid()}", []
    with stand_in(f"mamba-build-cached-{label}"), ExitStack() as stack:
        used = compiler_cache.in_use(tools, label, tmp_path, {}, said.append)
        if asked:
            with pytest.raises(ToolError, match="another build of the same project uses"):
                stack.enter_context(used)
        else:
            assert stack.enter_context(used).launcher is None
            assert said == [
                f"note: building without a compiler cache: another build of the same project uses the folder /tmp/mamba-build-cached-{label}"
            ]
    Path(f"/tmp/mamba-build-cached-{label}.lock").unlink()
