"""The child that runs setup.py: flag rewriting, and the refusal to download. A real child process, a real setup.py."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support import ROOT

from mamba_build_backend.compile import stable_abi
from mamba_build_backend.compile._setup_py_child import make_stable, rewrite_arguments, rewrite_cxx
from mamba_build_backend.compile.progress import Progress
from mamba_build_backend.toolchain.shims import protocol
from mamba_build_backend.toolchain.shims.nvcc_options import replace_upstreams

CHILD = ROOT / "mamba_build_backend" / "compile" / "_setup_py_child.py"

# What setup.py of mamba-ssm 2.3.0 hands to nvcc under CUDA 13.0, shortened in the middle.
UPSTREAM = [
    "-O3", "-std=c++17", "-U__CUDA_NO_HALF_OPERATORS__", "--expt-relaxed-constexpr", "--use_fast_math", "--ptxas-options=-v", "-lineinfo",
    "-gencode", "arch=compute_75,code=sm_75", "-gencode", "arch=compute_80,code=sm_80", "--threads", "4",
]  # fmt: skip
PLAN = ["-gencode=arch=compute_90,code=sm_90", "-std=c++20"]


def test_plan_overrides_choices_of_upstream():
    assert replace_upstreams(UPSTREAM, PLAN) == [
        "-O3",
        "-U__CUDA_NO_HALF_OPERATORS__",
        "--expt-relaxed-constexpr",
        "--use_fast_math",
        *PLAN,
    ]


@pytest.mark.parametrize(
    "spelling",
    [
        ["-gencode=arch=compute_80,code=sm_80"],
        ["--generate-code", "arch=compute_80,code=sm_80"],
        ["-arch=sm_80"],
        ["--gpu-architecture", "sm_80"],
        ["--std=c++14"],
        ["-std", "c++14"],
        ["--threads=8"],
        ["-t", "8"],
        ["-Xfatbin", "-compress-all"],
        ["--compress-mode=none"],
        ["-ccbin", "/usr/bin/g++"],
        ["-t8"],
        ["-arch", "sm_80"],
        ["-arch=compute_80", "-code=sm_80,compute_80"],
        ["--gpu-code", "sm_80"],
        ["--split-compile-extended=4"],
        ["-Xptxas", "-v"],
    ],
)
def test_every_spelling_is_known(spelling):
    assert replace_upstreams(["-O3", *spelling, "-DX"], []) == ["-O3", "-DX"]


def test_other_fatbin_options_stay():
    assert replace_upstreams(["-Xfatbin", "-other"], []) == ["-Xfatbin", "-other"]


def test_a_flag_at_the_end_without_its_value_is_dropped():
    assert replace_upstreams(["-O3", "-gencode"], []) == ["-O3"]


def test_host_compiler_keeps_every_option_but_the_standard():
    assert rewrite_cxx(["-O3", "-std=c++14", "-DX"], ["-std=c++17"]) == ["-O3", "-DX", "-std=c++17"]


@pytest.mark.parametrize("given", [["-O1"], None, {"nvcc": ["-O1"]}])
def test_arguments_of_every_shape_become_a_dict(given):
    made = rewrite_arguments(given, ["-n"], ["-c"])
    assert made["nvcc"][-1] == "-n"
    assert made["cxx"][-1] == "-c"


def run_child(tmp_path, setup, stand_in=None):
    (tmp_path / "setup.py").write_text(setup)
    step = protocol.SetupPy(str(tmp_path / "setup.py"), ("hello",), (), (), (), (), None, stand_in, ())
    protocol.write(protocol.BuildStep(step, None), str(tmp_path / "step.json"))
    return subprocess.run([sys.executable, CHILD, tmp_path / "step.json"], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "download",
    [
        "import urllib.request; urllib.request.urlretrieve('http://127.0.0.1:9/x.whl', 'x.whl')",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9/x.whl')",
        "from urllib.request import urlretrieve; urlretrieve('http://127.0.0.1:9/x.whl', 'x.whl')",
        "import urllib.request as r; r.build_opener().open('http://127.0.0.1:9/x.whl')",
    ],
)
def test_setup_py_that_downloads_a_wheel_is_refused(tmp_path, download):
    done = run_child(tmp_path, download)
    assert done.returncode != 0
    assert "refused: setup.py wants to download http://127.0.0.1:9/x.whl" in done.stderr


STAND_IN = protocol.TorchStandIn(str(stable_abi.PYTHON), "2.15", "13.2")


def test_torch_stand_in_has_what_setup_py_needs(tmp_path):
    """The names are those of all tags of mamba-ssm and causal-conv1d."""
    done = run_child(
        tmp_path,
        """
import torch
from torch.utils.cpp_extension import BuildExtension, CUDA_HOME, CUDAExtension, CppExtension, HIP_HOME
print(torch.__version__, torch.version.cuda, torch.version.hip, torch.cuda.is_available(), torch._C._GLIBCXX_USE_CXX11_ABI)
torch._C._GLIBCXX_USE_CXX11_ABI = True
made = CUDAExtension("x.y", ["a.cu"], include_dirs=["csrc"], extra_compile_args={"nvcc": ["-O3"]})
print(type(made).__module__, made.name, made.sources, HIP_HOME, BuildExtension.with_options(use_ninja=True) is BuildExtension)
""",
        STAND_IN,
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "2.15 13.2 None False True", done.stderr
    assert lines[1] == "setuptools.extension x.y ['a.cu'] None True"


@pytest.mark.parametrize(
    "asked",
    [
        "import torch; torch.compile",
        "import torch.nn",
        "from torch.utils.cpp_extension import load",
        "from torch.utils import cpp_extension as cpp; cpp.load()",
        "import torch; torch.cuda.get_device_capability()",
    ],
)
def test_missing_name_of_the_torch_stand_in_is_reported_with_a_fix(tmp_path, asked):
    done = run_child(tmp_path, asked, STAND_IN)
    assert done.returncode != 0
    assert "error: abi=stable runs setup.py without torch, and setup.py needs more of torch: " in done.stderr, (
        done.stderr
    )
    assert "-C torch=torch==2.15.* installs torch for the build" in done.stderr
    assert "Traceback" not in done.stderr


def test_error_in_setup_py_keeps_its_traceback(tmp_path):
    done = run_child(tmp_path, "import a_module_that_is_not_there", STAND_IN)
    assert "Traceback" in done.stderr
    assert "needs more of torch" not in done.stderr


def test_setup_runs_in_its_own_folder_with_its_arguments(tmp_path):
    (tmp_path / "beside.py").write_text("value = 42")
    done = run_child(tmp_path, "import sys, os, beside; print(sys.argv[1:], os.getcwd(), beside.value, __name__)")
    assert done.stdout.split() == ["['hello']", str(tmp_path), "42", "__main__"], done.stderr


def test_conda_folders_are_removed_and_cluster_folders_kept():
    from support import ROOT

    from mamba_build_backend import plan, tables
    from mamba_build_backend.compile import run_setup_py
    from mamba_build_backend.probe import recording

    chosen, found = recording.load(ROOT / "tests" / "facts" / "conda-lib-everywhere.json", {})
    made = plan.decide(chosen, found, tables.load_tables())
    given = {item.variable: item.value for item in found.polluted}
    env = run_setup_py.build_environment(made, None, {**given, "PATH": "/usr/bin", "HOME": "/home/u"})
    assert "LIBRARY_PATH" not in env
    assert "LDFLAGS" not in env
    assert env["LD_LIBRARY_PATH"] == "/opt/slurm/lib"
    assert env["HOME"] == "/home/u"
    assert not any("/home/u/conda/lib" in value for value in env.values())


def test_foreign_code_gets_no_secret_but_object_store_keys():
    from support import ROOT

    from mamba_build_backend import plan, tables
    from mamba_build_backend.compile import run_setup_py
    from mamba_build_backend.probe import recording

    chosen, found = recording.load(ROOT / "tests" / "facts" / "debian12-torch2.11-cuda13.0.json", {})
    made = plan.decide(chosen, found, tables.load_tables())
    hidden = {"HF_TOKEN": "hf_1", "PIP_PASSWORD": "p", "WANDB_API_KEY": "w", "TWINE_PASSWORD": "t", "MY_PAT": "x"}
    kept = {
        "SSH_AUTH_SOCK": "/run/agent",
        "AWS_SECRET_ACCESS_KEY": "a",
        "SCCACHE_REDIS_PASSWORD": "r",
        "HTTPS_PROXY": "h",
    }
    env = run_setup_py.build_environment(made, None, {**hidden, **kept, "PATH": "/usr/bin"})
    assert not hidden.keys() & env.keys()
    assert kept.items() <= env.items()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[3/10] /t/bin/nvcc -MD -MF x.o.d -I/a -c -c /t/csrc/scan_bwd.cu -o x.o -O3", "[3/10] 0:00  scan_bwd.cu"),
        ("/t/bin/g++ -Wall -fPIC -Icsrc -c csrc/basis.cpp -o build/basis.o -O2", "0:00  basis.cpp"),
        ("nvcc -I/a -c csrc/basis_cuda.cu -o build/basis_cuda.o", "0:00  basis_cuda.cu"),
        ("/t/bin/g++ -shared build/basis.o -o basis.so", None),
        ("x.cu(3): error: identifier undefined", "x.cu(3): error: identifier undefined"),
    ],
)
def test_progress_prints_one_line_for_each_file(line, said):
    lines = []
    Progress(lines.append, verbose=False)(line)
    assert lines == ([said] if said else [])


def test_setup_py_compiles_if_no_prebuilt_wheel_is_found(tmp_path):
    """Like setup.py of causal-conv1d, mamba-ssm and flash-attn."""
    setup = """
        import urllib.request, urllib.error
        try:
            urllib.request.urlretrieve("http://127.0.0.1:9/x.whl", "x.whl")
        except (urllib.error.HTTPError, urllib.error.URLError):
            print("building from source")
    """
    done = run_child(tmp_path, textwrap.dedent(setup))
    assert done.stdout.strip() == "building from source"
    assert "refused" in done.stderr


def test_stable_abi_uses_our_headers_and_links_no_torch_library():
    class Extension:
        def __init__(self, name, sources, **given):
            self.name, self.sources, self.given = name, sources, given
            self.include_dirs = [*given["include_dirs"], Path("/w/torch-alone/torch/include"), "/cuda/include"]
            self.libraries = [*given.get("libraries", []), "c10", "torch", "torch_cpu", "cudart", "c10_cuda"]

    stable = protocol.StableExtension("/w/stable", ("cudart",), ("-Wl,--version-script=/w/exports.map",))
    given = {"include_dirs": ["csrc"], "libraries": ["cublas"], "extra_link_args": ["-g"]}
    made = make_stable(Extension, stable, "ext", ["a.cpp"], (), dict(given))
    assert made.include_dirs == ["/w/stable", "csrc", "/cuda/include"]
    assert made.given["extra_link_args"] == ["-g", "-Wl,--version-script=/w/exports.map"]
    assert made.given["py_limited_api"] is True
    assert made.libraries == ["cublas", "cudart"]
    assert make_stable(Extension, None, "ext", ["a.cpp"], (), dict(given)).given == given
