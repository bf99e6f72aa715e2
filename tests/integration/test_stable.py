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
from support import ROOT, copy_tiny, only_wheel, packed_wheel, pip_wheel, record_of, run

from mamba_build_backend.audit import abi as audit_abi
from mamba_build_backend.audit import check as audit
from mamba_build_backend.audit.types import Promise
from mamba_build_backend.compile import stable_abi
from mamba_build_backend.core.work import BuildContext
from mamba_build_backend.core.work_folder import work_folder
from mamba_build_backend.job import make_job
from mamba_build_backend.plan import decide
from mamba_build_backend.source import prepare
from mamba_build_backend.symbols.elf import read_needs
from mamba_build_backend.tables import load_tables

# One process compiles the bindings and the wheel that these tests look at.
pytestmark = pytest.mark.xdist_group("stable")
HERE = ROOT / "tests" / "stable"
BINDINGS = {
    "mamba-ssm": ("selective_scan_cuda", "csrc/selective_scan", "selective_scan.cpp", "scan_launchers.cpp"),
    "causal-conv1d": ("causal_conv1d_cuda", "csrc", "causal_conv1d.cpp", "conv_launchers.cpp"),
}


@pytest.fixture(scope="session")
def trees(cache, tmp_path_factory):
    """The sources of the versions that the tables call ported: the index's, or with MAMBA_BUILD_SOURCE=MIRRORS the tags'."""
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
    """The module of each binding, by the title of a version; those of the same text are compiled once."""
    cuda = next(torch_site.glob("nvidia/cu1*"))
    library = next((cuda / "lib").glob("libcudart.so.*"))
    known, out = {}, {}
    for title, (plan, tree) in trees.items():
        module, folder, binding, launchers = BINDINGS[plan.upstream.value.name]
        text = b"".join((tree / folder / name).read_bytes() for name in (binding, binding.replace(".cpp", ".h")))
        if text not in known:
            known[text] = tmp_path_factory.mktemp(module) / f"{module}.abi3.so"
            includes = (stable_abi.INCLUDE, tree / folder, torch_site / "torch" / "include", cuda / "include")
            command = [
                gxx,
                "-O1",
                "-std=c++17",
                "-fPIC",
                "-shared",
                "-Wall",
                "-Werror=return-type",
                *stable_abi.flags(plan),
            ]
            command += [f"-DTORCH_EXTENSION_NAME={module}", f"-I{sysconfig.get_path('include')}"]
            command += [f"-I{include}" for include in includes]
            command += [tree / folder / binding, HERE / launchers, "-o", known[text], library]
            command += stable_abi.extension(known[text].parent).link_flags
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{title}\n{done.stderr[-4000:]}"
        out[title] = known[text]
    return out


def test_the_binding_of_every_ported_version_compiles_and_needs_nothing_of_torch(compiled):
    assert len(compiled) >= 11
    for title, path in compiled.items():
        needs = read_needs(path)
        assert not [name for name in needs.needed if "torch" in name or "c10" in name], title
        use = audit_abi.read_abi(path, needs)
        assert (use.python, use.python_outside, use.torch_shims, use.torch_outside) == ("3.10", (), (), ()), title


def modules(compiled, *titles, into):
    for title in titles:
        shutil.copy(compiled[title], into)
    return into


def test_wrong_calls_get_upstreams_own_answers(compiled, tmp_path, clean_env):
    folder = modules(compiled, "mamba-ssm 2.3.2.post1", "causal-conv1d 1.6.1", into=tmp_path)
    said = run(sys.executable, HERE / "calls.py", "check", folder, env=clean_env, cwd=tmp_path).stdout
    assert said.splitlines()[-1] == "2631 compared, 0 differ"


def test_the_functions_are_as_upstreams_are_seen_from_python(compiled, tmp_path, clean_env):
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


NEWER_DLPACK = """
import ctypes
table = (ctypes.c_uint64 * 8)(2)
new = ctypes.pythonapi.PyCapsule_New
new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
name = b"dlpack_exchange_api"
class Tensor: __dlpack_c_exchange_api__ = new(ctypes.addressof(table), name, None)
"""


@pytest.mark.parametrize(
    ("torch", "says"),
    [
        ("", ["there is none", "python -m pip install 'torch>=2.10'"]),
        ("__version__ = '2.9.1+cu130'", ["torch 2.9.1+cu130 is here.", "python -m pip install 'torch>=2.10'"]),
        ("CUDA = None", ["torch 2.13.0 is here, a build without CUDA", "--torch-backend=cu130"]),
        (NEWER_DLPACK, ["torch 2.13.0 is here, which shares tensors in a way", "install a newer build of it"]),
        ("CUDA = '12.8'", ["torch 2.13.0 is here, for CUDA 12.8", "uv pip install --reinstall 'torch>=2.10'"]),
    ],
    ids=["none", "too old", "without CUDA", "another DLPack", "another CUDA"],
)
def test_a_torch_that_does_not_fit_is_told_by_the_extension_itself(
    compiled, torch_site, tmp_path, clean_env, torch, says
):
    modules(compiled, "mamba-ssm 2.3.2.post1", into=tmp_path)
    if torch:
        start = "__version__, CUDA = '2.13.0', '13.0'\nclass Tensor: pass\n"
        text = f"{start}{torch}\nclass version: cuda = CUDA\n"
        (tmp_path / "torch.py").write_text(text)
    libraries = str(next(torch_site.glob("nvidia/cu1*/lib")))
    # -S: without site-packages, where the real one lies; the folder is what python -c has in front.
    done = run(sys.executable, "-S", "-c", "import selective_scan_cuda", check=False, cwd=tmp_path,
               env={**clean_env, "LD_LIBRARY_PATH": libraries})  # fmt: skip
    last = done.stderr.partition("ImportError: ")[2]
    assert last.startswith("selective_scan_cuda needs torch 2.10 or newer, built for CUDA 13, and "), done.stderr
    for words in says:
        assert words in last


@pytest.fixture(scope="module")
def stable_wheel(tmp_path_factory, torch_site, gxx, cache):
    folder = tmp_path_factory.mktemp("stable")
    env = {key: value for key, value in os.environ.items() if not key.startswith(("MAMBA_", "NVCC_"))}
    env["MAMBA_BUILD_CACHE_DIR"] = str(cache)
    pip_wheel(copy_tiny(folder / "tiny", "tiny_stable"), folder / "dist", env)
    return only_wheel(folder / "dist")


def test_a_project_of_ones_own_becomes_one_wheel_for_all(stable_wheel):
    assert stable_wheel.name.startswith("tiny_stable-1.2.3-cp310-abi3-")
    assert "manylinux_2_17_" in stable_wheel.name
    with zipfile.ZipFile(stable_wheel) as archive:
        lines = archive.read("tiny_stable-1.2.3.dist-info/METADATA").decode().splitlines()
        assert "tiny_stable_ext.abi3.so" in archive.namelist()
    assert "Requires-Dist: torch>=2.10" in lines
    assert [line for line in lines if line.startswith("Requires-Python")] == ["Requires-Python: >=3.10"]
    record = record_of(stable_wheel)
    assert record["abi"] == "stable"
    assert "-DTORCH_TARGET_VERSION=0x020a000000000000" in record["flags"]["cxx"]


def test_the_audit_shows_what_it_needs_of_python_and_that_it_needs_nothing_of_torch(stable_wheel, clean_env):
    said = run(sys.executable, "-m", "mamba_build_backend", "audit", stable_wheel, env=clean_env, cwd=ROOT).stdout
    assert "ABI       Python 3.10 and newer; no symbol of torch" in said
    assert said.endswith("no problem found\n")


def test_it_is_imported_and_called_without_a_gpu(stable_wheel, tmp_path, clean_env):
    with zipfile.ZipFile(stable_wheel) as archive:
        archive.extractall(tmp_path)
    program = """
import torch, tiny_stable_ext
for wrong in ((torch.zeros(2), None, True), (torch.zeros(2).double(), None, True), (torch.zeros(2),)):
    try:
        tiny_stable_ext.doubled(*wrong)
    except Exception as error:
        print(type(error).__name__, str(error).splitlines()[0])
"""
    lines = run(sys.executable, "-c", program, env=clean_env, cwd=tmp_path).stdout.splitlines()
    assert lines[0].startswith("RuntimeError Expected x.is_cuda() to be true, but got false.")
    assert lines[1] == "RuntimeError x must be of type float"
    assert lines[2].startswith("TypeError doubled(): incompatible function arguments.")


def test_a_binding_that_uses_more_of_torch_is_told_so(tmp_path, torch_site, gxx, env):
    project = copy_tiny(tmp_path / "tiny", "tiny_stable")
    binding = project / "csrc" / "binding.cpp"
    binding.write_text("#include <ATen/ATen.h>\n" + binding.read_text())
    done = pip_wheel(project, tmp_path / "dist", env, check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "the binding includes a header of torch's C++ that is not stable" in said
    assert "-C abi=torch" in said
    assert not list(tmp_path.glob("dist/*.whl"))


@pytest.mark.parametrize(
    ("source", "promised", "says"),
    [
        ("PyObject_Vectorcall(0, 0, 0, 0)", False, "needs Python 3.12; the tag promises Python 3.10"),
        ("_PyLong_Sign(0)", False, "needs _PyLong_Sign, which Python may change"),
        ("_ZN3c105ErrorC1Ev()", True, "needs _ZN3c105ErrorC1Ev, which torch may change"),
        ("mine()", True, "exports mine"),
        ("aoti_torch_get_dim(0, 0)", True, ""),
    ],
)
def test_a_promise_that_is_broken_does_not_pass_the_audit(gxx, tmp_path, source, promised, says):
    name = source.partition("(")[0]
    body = f'extern "C" int {name}(...){" { return 1; }" if name == "mine" else ";"}\n'
    (tmp_path / "module.cpp").write_text(f'{body}extern "C" int PyInit_module() {{ return {source}; }}\n')
    library = tmp_path / "module.abi3.so"
    subprocess.run([gxx, "-shared", "-fPIC", tmp_path / "module.cpp", "-o", library], check=True)
    name = f"one-1-cp310-abi3-linux_{platform.machine()}.whl"
    wheel = packed_wheel(tmp_path, {"module.abi3.so": library.read_bytes()}, name)
    report = audit.audit_wheel(wheel, promise=Promise(stable=promised))
    found = [f"{item.found}; {item.needed}" for item in report.problems]
    assert len(found) == bool(says), found
    assert all(says in line for line in found)
