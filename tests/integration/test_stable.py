"""abi=stable: upstream's bindings compiled against our headers, called as upstream's own is, and wheels through pip."""

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import replace

import pytest
from support import (
    ROOT,
    compile_binding,
    copy_tiny,
    only_wheel,
    packed_wheel,
    pip_wheel,
    record_of,
    run,
    wrong_calls_are_answered,
)

from mamba_build_backend.audit import abi as audit_abi
from mamba_build_backend.audit import check as audit
from mamba_build_backend.audit.types import Promise
from mamba_build_backend.compile import stable_abi
from mamba_build_backend.core._compat import version
from mamba_build_backend.core.work import BuildContext
from mamba_build_backend.core.work_folder import work_folder
from mamba_build_backend.job import make_job
from mamba_build_backend.plan import decide
from mamba_build_backend.plan.abi import STABLE_ABI
from mamba_build_backend.plan.stable_names import (
    SCALAR_TYPES,
    STABLE_HEADERS,
    STABLE_MACROS,
    STABLE_METHODS,
    STABLE_NAMES,
    beyond_stable,
)
from mamba_build_backend.probe.torch_use import torch_headers, torch_names
from mamba_build_backend.source import prepare
from mamba_build_backend.symbols.elf import read_needs
from mamba_build_backend.tables import load_tables

# One process compiles the bindings and the wheel that these tests look at.
pytestmark = pytest.mark.xdist_group("stable")
HERE = ROOT / "tests" / "stable"
reading_tensors = pytest.mark.parametrize("reading", ["table", "aoti", "methods"])
BINDINGS = {
    "mamba-ssm": ("selective_scan_cuda", "csrc/selective_scan", "selective_scan.cpp", "scan_launchers.cpp"),
    "causal-conv1d": ("causal_conv1d_cuda", "csrc", "causal_conv1d.cpp", "conv_launchers.cpp"),
}


@pytest.fixture(scope="session")
def trees(cache, tmp_path_factory):
    """The sources of the ported versions: from PyPI, or with MAMBA_BUILD_SOURCE=MIRRORS from the tags."""
    environ = {**os.environ, "MAMBA_BUILD_CACHE_DIR": str(cache)}
    job = make_job(ROOT, {"abi": "stable"}, environ)
    tables, found = load_tables(), {}
    with work_folder(job.settings) as folder:
        shop = BuildContext(folder, folder / "log", environ, lambda _line: None)
        for row in tables.versions:
            if row.stable and (row.index_sha256 if job.settings.source == "auto" else row.git_commit):
                settings = replace(job.settings, upstream=row.name, upstream_version=row.version)
                place = tmp_path_factory.mktemp(row.title.replace(" ", "-"))
                plan = decide(settings, job.facts, tables)
                part = prepare.prepare_one(plan, ROOT, job.cache, replace(shop, folder=place))
                found[row.title] = (plan, part.tree)
    return found


@pytest.fixture(scope="session")
def compiled(trees, gxx, torch_site, tmp_path_factory):
    """The module of each binding, by the title of a version; equal texts are compiled once."""
    known, out = {}, {}
    for title, (plan, tree) in trees.items():
        module, folder, binding, launchers = BINDINGS[plan.upstream.value.name]
        text = b"".join((tree / folder / name).read_bytes() for name in (binding, binding.replace(".cpp", ".h")))
        if text not in known:
            known[text] = tmp_path_factory.mktemp(module) / f"{module}.abi3.so"
            sources = [tree / folder / binding, HERE / launchers]
            compile_binding(gxx, torch_site, known[text], sources, tree / folder)
        out[title] = known[text]
    return out


@reading_tensors
def test_stable_headers_agree_with_torch_on_numbers_and_views(gxx, torch_site, tmp_path, clean_env, reading):
    """Names that bindings of forks use in addition to those of upstream."""
    compile_binding(gxx, torch_site, tmp_path / "fork_binding.abi3.so", [HERE / "fork_binding.cpp"])
    command = [sys.executable, HERE / "fork_calls.py", "check", tmp_path]
    said = run(*command, env={**clean_env, "MAMBA_STABLE_READING": reading}, cwd=tmp_path).stdout
    assert said.splitlines()[-1] == "284 compared, 0 differ"


@reading_tensors
def test_binding_reads_of_a_tensor_what_python_says(gxx, torch_site, tmp_path, clean_env, reading):
    """Views, all types, up to twelve dimensions; sparse tensors and functorch's have no memory of their own."""
    compile_binding(gxx, torch_site, tmp_path / "view_binding.abi3.so", [HERE / "view_binding.cpp"])
    env = {**clean_env, "MAMBA_STABLE_READING": reading}
    said = run(sys.executable, HERE / "views.py", tmp_path, env=env, cwd=tmp_path).stdout
    assert said.splitlines()[-1].endswith(f"by {reading}: 88 tensors, 0 wrong")


def test_stable_headers_have_every_name_that_forks_use(gxx, torch_site, tmp_path):
    """Those by which a plan judges a fork's sources."""
    lines = [f"#include <{header}>" for header in STABLE_HEADERS if not header.endswith(".cuh")]
    lines += [
        f"namespace {chr(97 + number // 26)}{number} {{ using {name}; }}" for number, name in enumerate(STABLE_NAMES)
    ]
    lines += [f"static auto value{number} = {name};" for number, name in enumerate(SCALAR_TYPES)]
    lines += [f"#ifndef {name}\n#error {name}\n#endif" for name in STABLE_MACROS]
    tensor = [f"decltype(&mamba_stable::Tensor::{name})" for name in ("dim", "is_cuda", "numel", "get_device")]
    lines += [f"static {item} method{number};" for number, item in enumerate(tensor)]
    lines += ["PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {}"]
    (tmp_path / "names.cpp").write_text("\n".join(lines))
    compile_binding(gxx, torch_site, tmp_path / "names.abi3.so", [tmp_path / "names.cpp"])
    texts = "".join(path.read_text() for path in stable_abi.INCLUDE.glob("mamba_stable/*.h"))
    assert [name for name in STABLE_METHODS if f" {name}(" not in texts and f"& {name}(" not in texts] == []


def test_stable_headers_have_every_name_that_releases_use(trees):
    for title, (_, tree) in trees.items():
        read = {path.name: path.read_bytes() for path in tree.glob("csrc/**/*") if path.is_file()}
        assert beyond_stable(torch_headers(read), torch_names(read)) == (), title


def test_binding_of_every_ported_version_compiles_without_torch(compiled):
    assert len(compiled) >= 11
    for title, path in compiled.items():
        needs = read_needs(path)
        assert not [name for name in needs.needed if "torch" in name or "c10" in name or "cudart" in name], title
        use = audit_abi.read_abi(path, needs)
        assert (use.python_outside, use.torch_shims, use.torch_outside) == ((), (), ()), title
        assert version.Version(use.python) <= version.Version(STABLE_ABI.python_min), title


def test_missing_python_header_gives_the_same_code(trees, gxx, torch_site, tmp_path):
    """Debian's python3 without python3-dev: the declarations of the stable headers agree with Python."""
    cuda, newest = next(torch_site.glob("nvidia/cu1*")), {}
    for plan, tree in trees.values():
        newest[plan.upstream.value.name] = tree
    assert len(newest) == len(BINDINGS)
    for name, tree in newest.items():
        module, folder, binding, _ = BINDINGS[name]
        made = {}
        for kind, more in (("own", []), ("pythons", [f"-I{sysconfig.get_path('include')}"])):
            made[kind] = tmp_path / f"{module}-{kind}.o"
            command = [gxx, "-O2", "-std=c++17", "-fPIC", "-Wall", "-Werror", "-Wno-unused-function", "-c"]
            command += [
                f"-DTORCH_EXTENSION_NAME={module}",
                "-DMAMBA_STABLE_DRIVER=12000",
                f"-DMAMBA_STABLE_PROJECT={name}",
            ]
            command += [f"-I{item}" for item in (stable_abi.INCLUDE, tree / folder)] + [f"-isystem{cuda / 'include'}"]
            command += [*more, tree / folder / binding, "-o", made[kind]]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr[-4000:]
        undefined = [
            subprocess.run(["nm", "-u", path], capture_output=True, check=True).stdout for path in made.values()
        ]
        assert undefined[0] == undefined[1]
        if sys.version_info < (3, 12):  # from there on Python's own text knows objects that are never freed
            assert made["own"].read_bytes() == made["pythons"].read_bytes()


def modules(compiled, *titles, into):
    for title in titles:
        shutil.copy(compiled[title], into)
    return into


@reading_tensors
def test_wrong_calls_get_the_answers_of_upstream(compiled, tmp_path, clean_env, reading):
    folder = modules(compiled, "mamba-ssm 2.3.2.post1", "causal-conv1d 1.6.1", into=tmp_path)
    said = run(
        sys.executable,
        HERE / "calls.py",
        "check",
        folder,
        env={**clean_env, "MAMBA_STABLE_READING": reading},
        cwd=tmp_path,
    ).stdout
    assert said.splitlines()[-1] == "2631 compared, 0 differ"


def test_functions_have_the_python_signatures_of_upstream(compiled, tmp_path, clean_env):
    modules(compiled, "mamba-ssm 2.3.2.post1", "causal-conv1d 1.7.0", into=tmp_path)
    program = """
import pickle, torch, causal_conv1d_cuda, selective_scan_cuda
print([name for name in dir(selective_scan_cuda) if not name.startswith("_")])
print([name for name in dir(causal_conv1d_cuda) if not name.startswith("_")])
print(pickle.loads(pickle.dumps(selective_scan_cuda.bwd)) is selective_scan_cuda.bwd)
print(selective_scan_cuda.fwd.__doc__)
"""
    lines = run(sys.executable, "-c", program, env=clean_env, cwd=tmp_path).stdout.splitlines()
    assert lines[0] == "['bwd', 'fwd']"
    assert lines[1] == "['causal_conv1d_bwd', 'causal_conv1d_fwd', 'causal_conv1d_update']"
    assert lines[2] == "True"
    assert lines[3].startswith("fwd(arg0: torch.Tensor, arg1: torch.Tensor")
    assert "arg5: torch.Tensor | None" in lines[3]
    assert lines[3].endswith("arg8: bool) -> list[torch.Tensor]")
    assert lines[5] == "Selective scan forward"


INSTALL = "fix:  python -m pip install "


@pytest.mark.parametrize(
    ("torch", "says"),
    [
        (None, ["and torch is not installed.", f"{INSTALL}torch"]),
        ("__version__ = '1.13.1+cu117'", ["torch 1.13.1+cu117 is installed.", f"{INSTALL}--upgrade torch"]),
        ("CUDA = None", ["torch 2.13.0 is installed, a build without CUDA", "--torch-backend=auto"]),
        ("CUDA, HIP = None, '6.4'", ["torch 2.13.0 is installed, a build for ROCm", "--no-binary causal-conv1d causal-conv1d   (upstream's own build for ROCm)"]),
        ("del __version__", ["the module torch here is not torch", f"{INSTALL}--force-reinstall torch"]),
        ("raise OSError('libcublas.so.12: no such file\\nmore')", ["cannot be imported: OSError: libcublas.so.12: no such file.\n"]),
        ("import a_module_of_torchs", ["cannot be imported: ModuleNotFoundError: No module named 'a_module_of_torchs'"]),
        ("__version__ = '2.11.0a0+git'", ["lacks a name: AttributeError: ", "'data_ptr'", f"{INSTALL}torch --upgrade"]),
    ],
    ids=["none", "too old", "without CUDA", "ROCm", "a leftover", "broken", "without a part", "another"],
)  # fmt: skip
def test_extension_names_a_torch_that_does_not_fit(compiled, tmp_path, clean_env, torch, says):
    modules(compiled, "mamba-ssm 2.3.2.post1", into=tmp_path)
    if torch is not None:
        start = "__version__, CUDA, HIP = '2.13.0', '13.0', None\nclass Tensor: pass\n"
        text = f"{start}{torch}\nclass version: cuda, hip = CUDA, HIP\n"
        (tmp_path / "torch.py").write_text(text)
    # -S leaves out site-packages, which holds the real torch; python -c puts this folder first.
    command = [sys.executable, "-S", "-c", "import selective_scan_cuda"]
    done = run(*command, check=False, cwd=tmp_path, env=clean_env)
    last = done.stderr.partition("\nImportError: ")[2]
    assert last.startswith("selective_scan_cuda needs torch 2.0 or newer, built for CUDA, and "), done.stderr
    for words in says:
        assert words in last


@pytest.mark.parametrize(
    ("driver", "says"),
    [
        (
            11080,
            "needs an NVIDIA driver that supports CUDA 12.0 (525 or newer), and this machine's driver supports CUDA 11.8.",
        ),
        (12000, ""),
        (13020, ""),
        (None, ""),
    ],
)
def test_import_checks_the_driver(compiled, tmp_path, clean_env, gxx, driver, says):
    """By its own function, of a library with the driver's name."""
    modules(compiled, "mamba-ssm 2.3.2.post1", into=tmp_path)
    if driver is not None:
        (tmp_path / "driver.c").write_text(
            f"int cuDriverGetVersion(int* version) {{ *version = {driver}; return 0; }}\n"
        )
        command = ["gcc", "-shared", "-fPIC", tmp_path / "driver.c", "-o", tmp_path / "libcuda.so.1"]
        subprocess.run(command, check=True)
    env = {**clean_env, "LD_LIBRARY_PATH": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""}
    done = run(sys.executable, "-c", "import selective_scan_cuda", check=False, cwd=tmp_path, env=env)
    last = done.stderr.partition("\nImportError: ")[2]
    assert says in last
    assert bool(last) == bool(says), done.stderr
    assert "nvidia-smi" in last or not says


def test_second_cuda_runtime_in_the_process_replaces_nothing(compiled, torch_site, tmp_path, clean_env):
    folder = modules(compiled, "mamba-ssm 2.3.2.post1", "causal-conv1d 1.6.1", into=tmp_path)
    runtime = next(torch_site.glob("nvidia/cu1*/lib/libcudart.so.*"))
    env = {**clean_env, "LD_PRELOAD": str(runtime)}
    said = run(sys.executable, HERE / "calls.py", "check", folder, env=env, cwd=tmp_path).stdout
    assert said.splitlines()[-1] == "2631 compared, 0 differ"


@pytest.fixture(scope="module")
def stable_wheel(tmp_path_factory, torch_site, gxx, cache):
    folder = tmp_path_factory.mktemp("stable")
    env = {key: value for key, value in os.environ.items() if not key.startswith(("MAMBA_", "NVCC_"))}
    env["MAMBA_BUILD_CACHE_DIR"] = str(cache)
    pip_wheel(copy_tiny(folder / "tiny", "tiny_stable"), folder / "dist", env)
    return only_wheel(folder / "dist")


def test_project_of_the_user_becomes_one_wheel_for_all(stable_wheel):
    assert stable_wheel.name.startswith("tiny_stable-1.2.3-cp39-abi3-")
    assert "manylinux_2_17_" in stable_wheel.name
    with zipfile.ZipFile(stable_wheel) as archive:
        lines = archive.read("tiny_stable-1.2.3.dist-info/METADATA").decode().splitlines()
        assert "tiny_stable_ext.abi3.so" in archive.namelist()
    assert "Requires-Dist: torch>=2.0" in lines
    assert [line for line in lines if line.startswith("Requires-Python")] == ["Requires-Python: >=3.9"]
    record = record_of(stable_wheel)
    assert record["abi"] == "stable"
    assert [flag for flag in record["flags"]["cxx"] if flag.startswith("-DMAMBA_STABLE_DRIVER=")]


def test_audit_shows_needs_of_python_and_no_needs_of_torch(stable_wheel, clean_env):
    said = run(sys.executable, "-m", "mamba_build_backend", "audit", stable_wheel, env=clean_env, cwd=ROOT).stdout
    assert "and newer; no symbol of torch" in said
    assert said.endswith("no problem found\n")


def test_stable_wheel_imports_and_runs_without_a_gpu(stable_wheel, tmp_path, clean_env):
    wrong_calls_are_answered(stable_wheel, tmp_path, clean_env)


def test_binding_that_needs_more_of_torch_is_reported(tmp_path, torch_site, gxx, env):
    project = copy_tiny(tmp_path / "tiny", "tiny_stable")
    binding = project / "csrc" / "binding.cpp"
    binding.write_text("#include <ATen/ATen.h>\n" + binding.read_text())
    done = pip_wheel(project, tmp_path / "dist", env, check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "A build with abi=stable does not use torch's own headers, and the source includes ATen/ATen.h" in said
    assert "-C abi=torch" in said
    assert not list(tmp_path.glob("dist/*.whl"))


@pytest.mark.parametrize(
    ("source", "promised", "says"),
    [
        ("PyObject_Vectorcall(0, 0, 0, 0)", False, "needs Python 3.12; the tag promises Python 3.9"),
        ("_PyLong_Sign(0)", False, "needs _PyLong_Sign, which Python may change"),
        ("_ZN3c105ErrorC1Ev()", True, "needs _ZN3c105ErrorC1Ev, which torch may change"),
        ("mine()", True, "exports mine"),
        ("aoti_torch_get_dim(0, 0)", True, ""),
    ],
)
def test_broken_promise_fails_the_audit(gxx, tmp_path, source, promised, says):
    name = source.partition("(")[0]
    body = f'extern "C" int {name}(...){" { return 1; }" if name == "mine" else ";"}\n'
    (tmp_path / "module.cpp").write_text(f'{body}extern "C" int PyInit_module() {{ return {source}; }}\n')
    library = tmp_path / "module.abi3.so"
    subprocess.run([gxx, "-shared", "-fPIC", tmp_path / "module.cpp", "-o", library], check=True)
    name = f"one-1-cp39-abi3-linux_{platform.machine()}.whl"
    wheel = packed_wheel(tmp_path, {"module.abi3.so": library.read_bytes()}, name)
    report = audit.audit_wheel(wheel, promise=Promise(stable=promised))
    found = [f"{item.found}; {item.needed}" for item in report.problems]
    assert len(found) == bool(says), found
    assert all(says in line for line in found)
