"""Looking at machines: folders laid out as installers lay them out, with programs that answer as the real ones do."""

import os
import sys
import sysconfig
from pathlib import Path

import pytest

from mamba_build_backend.core.facts import Manager, Polluted
from mamba_build_backend.core.settings import load_settings
from mamba_build_backend.probe import compilers, cuda, environment, frontend, gpus, machine, shell, torch
from mamba_build_backend.probe.shell import probe_shell
from mamba_build_backend.symbols import quick_reader
from mamba_build_backend.toolchain import toolkit

DEFAULT = load_settings({}, {}, {})
HEADERS = [places[0] for places in cuda.PARTS.values()]


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def nvcc(path: Path, release: str = "12.4", codes: str = "sm_80 sm_90 sm_90a", top: str = "") -> Path:
    return script(
        path,
        f"""case $1 in
--version) echo "Cuda compilation tools, release {release}, V{release}.1" ;;
--list-gpu-code) for code in {codes}; do echo $code; done ;;
--dryrun) echo '#$ TOP={top}' >&2 ;;
esac""",
    )


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(path))


def whole(include: Path, lib: Path) -> None:
    touch(*(include / name for name in HEADERS), lib / "libcudart.so.12", lib / "libcudart_static.a")


def found(environ, root, sites=()):
    return cuda.probe_toolkits(DEFAULT, {"PATH": "", **environ}, list(sites), root=root)


def own(items, where):
    return [item for item in items if item.found_in == where]


# --- CUDA


def test_usr_local_and_hpc_sdk_are_found_newest_first(tmp_path):
    for name in ("cuda-9.2", "cuda-11.8", "cuda-12.4"):
        nvcc(tmp_path / "usr/local" / name / "bin/nvcc", name[5:])
        whole(tmp_path / "usr/local" / name / "include", tmp_path / "usr/local" / name / "lib64")
    sdk = tmp_path / "opt/nvidia/hpc_sdk/Linux_x86_64/24.5"
    nvcc(sdk / "cuda/12.4/bin/nvcc")
    maths = {"cublas_v2.h", "cusparse.h", "cusolverDn.h"}
    touch(*(sdk / "cuda/12.4/include" / name for name in set(HEADERS) - maths), sdk / "cuda/12.4/lib64/libcudart.so")
    touch(sdk / "cuda/12.4/lib64/libcudart_static.a")
    touch(*(sdk / "math_libs/12.4/include" / name for name in maths))
    items = found({}, tmp_path)
    assert [item.version for item in own(items, "/usr/local")] == ["12.4", "11.8", "9.2"]
    (hpc,) = own(items, "the HPC SDK")
    assert (hpc.layout, hpc.missing) == ("hpc-sdk", ())
    assert str(sdk / "math_libs/12.4/include") in hpc.includes


def test_nvhpc_root_names_an_sdk_anywhere(tmp_path):
    nvcc(tmp_path / "sw/24.5/cuda/12.4/bin/nvcc")
    (hpc,) = own(found({"NVHPC_ROOT": str(tmp_path / "sw/24.5")}, tmp_path / "no"), "the HPC SDK")
    assert hpc.version == "12.4"


def test_toolkit_of_debian_is_found_through_its_script(tmp_path):
    usr = tmp_path / "usr"
    nvcc(usr / "lib/nvidia-cuda-toolkit/bin/nvcc", "11.8")
    script(usr / "bin/nvcc", f'exec {usr}/lib/nvidia-cuda-toolkit/bin/nvcc "$@"')
    whole(usr / "include", usr / "lib/x86_64-linux-gnu")
    (item,) = [item for item in found({"PATH": str(usr / "bin")}, tmp_path) if item.home.startswith(str(tmp_path))]
    assert (item.layout, item.version, item.home, item.found_in) == ("debian", "11.8", str(usr), "PATH")
    assert item.includes == (str(usr / "include"),)


def test_conda_headers_are_under_targets(tmp_path):
    conda = tmp_path / "env"
    (conda / "conda-meta").mkdir(parents=True)
    nvcc(conda / "bin/nvcc")
    whole(conda / "targets/x86_64-linux/include", conda / "targets/x86_64-linux/lib")
    touch(conda / "include/zlib.h")
    (item,) = own(found({"CONDA_PREFIX": str(conda)}, tmp_path), "CONDA_PREFIX")
    assert (item.layout, item.missing) == ("conda", ())
    assert item.includes[0] == str(conda / "targets/x86_64-linux/include")


def test_missing_toolkit_parts_and_parts_next_to_torch_are_found(tmp_path):
    nvcc(tmp_path / "usr/local/cuda/bin/nvcc")
    touch(tmp_path / "usr/local/cuda/include/cuda_runtime.h")
    (item,) = own(found({}, tmp_path), "/usr/local")
    assert item.missing == (*HEADERS[1:], "libcudart", "libcudart_static")
    site = tmp_path / "site"
    touch(site / "nvidia/cusparse/include/cusparse.h", site / "nvidia/cuda_runtime/lib/libcudart.so.12")
    assert cuda.parts_beside(site) == ("cusparse.h", "libcudart")


def test_nvcc_on_path_is_traced_to_its_toolkit(tmp_path):
    real = nvcc(tmp_path / "opt/cuda/bin/nvcc", top=str(tmp_path / "opt/cuda"))
    script(tmp_path / "bin/nvcc", f'exec {real} "$@"')
    assert cuda.home_of(tmp_path / "bin/nvcc", dict(os.environ)) == tmp_path / "opt/cuda"
    link = tmp_path / "links/nvcc"
    link.parent.mkdir()
    link.symlink_to(script(tmp_path / "opt/old/bin/nvcc", "exit 1"))
    assert cuda.home_of(link, dict(os.environ)) == tmp_path / "opt/old"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("exit 3", "failed with exit code 3"),
        ("echo hello", "names no release"),
        ("exec /no/such", "failed with exit code"),
    ],
)
def test_a_broken_nvcc_is_a_value(tmp_path, text, told):
    script(tmp_path / "usr/local/cuda/bin/nvcc", text)
    (item,) = own(found({}, tmp_path), "/usr/local")
    assert told in item.problem


def test_an_nvcc_before_11_2_names_no_architectures(tmp_path):
    script(
        tmp_path / "usr/local/cuda/bin/nvcc",
        'case $1 in --version) echo "release 10.1, V10.1.243" ;; *) exit 1 ;; esac',
    )
    (item,) = own(found({}, tmp_path), "/usr/local")
    assert (item.version, item.archs, item.problem) == ("10.1", (), None)


def test_variable_with_a_missing_path_is_reported(tmp_path):
    (item,) = found({"CUDA_HOME": str(tmp_path / "gone")}, tmp_path)
    assert item.found_in == "CUDA_HOME"
    assert "there is no" in item.problem


# --- what the build makes of a layout that is not one folder


def test_view_holds_only_the_cuda_headers_of_debian(tmp_path):
    usr = tmp_path / "usr"
    nvcc(usr / "lib/nvidia-cuda-toolkit/bin/nvcc")
    whole(usr / "include", usr / "lib/x86_64-linux-gnu")
    touch(usr / "include/stdio.h", usr / "bin/ptxas", usr / "bin/ls")
    info = tmp_path / "info"
    touch(info / "libc6-dev.list")
    (info / "libc6-dev.list").write_text(f"/.\n{usr}/include\n{usr}/include/stdio.h\n")
    (info / "nvidia-cuda-dev.list").write_text("".join(f"{usr}/include/{name}\n" for name in HEADERS))
    item = cuda.read_toolkit(usr, "PATH", dict(os.environ))
    view = toolkit.apply_toolkit(item, tmp_path / "site", tmp_path / "work", dpkg=info)
    assert sorted(path.relative_to(view / "include").as_posix() for path in (view / "include").rglob("*.*h")) == sorted(
        HEADERS
    )
    assert sorted(path.name for path in (view / "bin").iterdir()) == ["nvcc", "ptxas"]
    assert (view / "lib64/libcudart.so").exists()
    assert os.readlink(view / "bin/nvcc") == str(usr / "lib/nvidia-cuda-toolkit/bin/nvcc")


def test_view_of_conda_has_headers_in_cuda_home_and_no_python(tmp_path):
    conda = tmp_path / "env"
    (conda / "conda-meta").mkdir(parents=True)
    nvcc(conda / "bin/nvcc")
    touch(conda / "bin/python", conda / "bin/nvcc.profile", conda / "nvvm/bin/cicc")
    whole(conda / "targets/x86_64-linux/include", conda / "targets/x86_64-linux/lib")
    item = cuda.read_toolkit(conda, "CONDA_PREFIX", dict(os.environ))
    view = toolkit.apply_toolkit(item, tmp_path / "site", tmp_path / "work")
    assert (view / "include/cuda_runtime.h").is_file()
    assert (view / "targets/x86_64-linux/include/cuda_runtime.h").is_file()
    assert (view / "nvvm/bin/cicc").is_file()
    assert sorted(path.name for path in (view / "bin").iterdir()) == ["nvcc", "nvcc.profile"]


def test_toolkit_without_maths_is_completed_from_packages_of_torch(tmp_path):
    home, site = tmp_path / "cuda", tmp_path / "site"
    nvcc(home / "bin/nvcc")
    touch(home / "include/cuda_runtime.h", home / "include/crt/host_config.h", home / "lib64/libcudart.so")
    touch(site / "nvidia/cusparse/include/cusparse.h", site / "nvidia/cuda_runtime/include/cuda_runtime.h")
    touch(site / "nvidia/cuda_runtime/include/crt/extra.h")
    item = cuda.read_toolkit(home, "test", dict(os.environ))
    view = toolkit.apply_toolkit(item, site, tmp_path / "work")
    assert (view / "include/cusparse.h").is_file()
    assert (view / "include/cuda_runtime.h").read_text().startswith(str(home))
    assert (view / "include/crt/host_config.h").is_file()
    assert (view / "include/crt/extra.h").is_file()
    assert not (home / "include/crt/extra.h").exists(), "the toolkit itself is left alone"


# --- compilers


def gxx(path: Path, version: str = "11.4.1", banner: str = "g++ (GCC)") -> Path:
    return script(
        path,
        f"""case $1 in
--version) echo "{banner} {version}" ;;
-dumpfullversion) echo {version} ;;
-dumpmachine) echo x86_64-redhat-linux ;;
-E) printf '#include <...> search starts here:\\n /usr/include/c++/11\\n /usr/lib/gcc/x/11/include\\nEnd of search list.\\n' >&2 ;;
-print-file-name=*) echo {path.parent}/${{1#*=}} ;;
esac""",
    )


def test_red_hats_toolsets_are_found_without_being_enabled(tmp_path):
    for name in ("devtoolset-9", "gcc-toolset-13", "gcc-toolset-12"):
        gxx(tmp_path / "opt/rh" / name / "root/usr/bin/g++", name.rpartition("-")[2] + ".2.1")
    items = compilers.probe_compilers(DEFAULT, {"PATH": str(tmp_path / "none")}, root=tmp_path)
    assert [(item.version, item.found_in) for item in items] == [
        ("13.2.1", "/opt/rh"), ("12.2.1", "/opt/rh"), ("9.2.1", "/opt/rh"),
    ]  # fmt: skip


def test_conda_and_numbered_compilers_are_found_and_clang_is_refused(tmp_path):
    conda, path = tmp_path / "env", tmp_path / "bin"
    gxx(conda / "bin/x86_64-conda-linux-gnu-g++", "13.3.0")
    for name in ("g++", "g++-12", "g++-4.8"):
        gxx(path / name, {"g++": "14.2.0", "g++-12": "12.2.0", "g++-4.8": "4.8.5"}[name])
    gxx(path / "clang++-18", "18.1.0", "Debian clang version")
    gxx(path / "g++-config", "1.0")
    items = compilers.probe_compilers(DEFAULT, {"PATH": str(path), "CONDA_PREFIX": str(conda)}, root=tmp_path)
    assert [(Path(item.path).name, item.kind) for item in items] == [
        ("x86_64-conda-linux-gnu-g++", "gcc"), ("clang++-18", "clang"), ("g++", "gcc"), ("g++-12", "gcc"), ("g++-4.8", "gcc"),
    ]  # fmt: skip
    assert "clang" in items[1].problem


@pytest.mark.parametrize("asked", ["", "g++", "{cache}/g++", "ccache g++"])
def test_cache_with_the_name_of_a_compiler_is_skipped(tmp_path, asked):
    """Debian's /usr/lib/ccache looks for the compiler on PATH, and found the script that had called it, for ever."""
    cache, path = tmp_path / "lib" / "ccache", tmp_path / "bin"
    gxx(path / "g++", "12.2.0")
    script(path / "ccache", "exit 1")
    cache.mkdir(parents=True)
    (cache / "g++").symlink_to(path / "ccache")
    environ = {"PATH": f"{cache}{os.pathsep}{path}"}
    given = {"host-compiler": asked.format(cache=cache)} if asked else {}
    items = compilers.probe_compilers(load_settings(given, {}, {}), environ, root=tmp_path)
    assert [(item.path, item.version) for item in items] == [(str(path / "g++"), "12.2.0")]


def test_the_runtime_of_a_compiler_is_read(tmp_path):
    path = gxx(tmp_path / "bin/g++")
    touch(tmp_path / "bin/libstdc++.a", tmp_path / "bin/libstdc++.so.6.0.29")
    (tmp_path / "bin/libstdc++.so.6").symlink_to("libstdc++.so.6.0.29")
    item = compilers.read_compiler(path, "test", dict(os.environ))
    assert (item.libstdcxx, item.libstdcxx_static) == ("3.4.29", str(tmp_path / "bin/libstdc++.a"))
    assert item.cxx_includes == ("/usr/include/c++/11",)


def test_a_compiler_that_does_not_start_is_a_value(tmp_path):
    script(tmp_path / "bin/g++", "exit 127")
    (item,) = compilers.probe_compilers(DEFAULT, {"PATH": str(tmp_path / "bin")}, root=tmp_path)
    assert "failed with exit code 127" in item.problem


def test_unresponsive_compiler_is_skipped(tmp_path, monkeypatch):
    from mamba_build_backend.core import process

    slow = script(tmp_path / "bin/g++", "exec sleep 60")
    monkeypatch.setattr(compilers, "capture", lambda *a, **k: process.capture(*a, **{**k, "timeout": 0.2}))
    assert "did not answer within 0.2 s" in compilers.read_compiler(slow, "test", dict(os.environ)).problem


# --- torch


def install_torch(site: Path, version: str = "2.1.2+cu118", cuda_version: str = "'11.8'") -> None:
    touch(site / "torch/lib/libc10.so", site / "torch/include/ATen/ATen.h")
    (site / "torch/version.py").write_text(
        f"__version__ = '{version}'\ncuda: Optional[str] = {cuda_version}\nhip = None\n"
    )
    (site / "torch/lib/libc10.so").write_bytes(b"\0_ZN3c106detail14torchCheckFailEPKcS2_jRKSs\0")
    (site / "torch/include/ATen/ATen.h").write_text(
        "#error C++20 or later compatible compiler is required to use ATen.\n"
    )


def test_torch_is_read_with_its_neighbours(tmp_path):
    install_torch(tmp_path)
    for name in (
        "numpy-2.1.3.dist-info",
        "causal_conv1d-1.4.0.dist-info",
        "mkl-2024.1.0-py3.10.egg-info",
        "six-1.0.dist-info",
    ):
        (tmp_path / name).mkdir()
    (tmp_path / "torch-2.1.2+cu118.dist-info").mkdir()
    (tmp_path / "torch-2.1.2+cu118.dist-info/WHEEL").write_text("Wheel-Version: 1.0\nTag: cp310-cp310-linux_x86_64\n")
    item = torch.read_torch(tmp_path, "test")
    assert (item.version, item.cuda, item.cxx11_abi, item.cxx_standard) == ("2.1.2+cu118", "11.8", False, 20)
    assert item.tag == "cp310-cp310-linux_x86_64"
    assert [(p.name, p.version) for p in item.packages] == [
        ("numpy", "2.1.3"), ("mkl", "2024.1.0"), ("causal-conv1d", "1.4.0"),
    ]  # fmt: skip


def test_torch_is_found_in_a_virtual_environment_and_in_condas(tmp_path):
    name = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    for folder in ("venv", "conda"):
        install_torch(tmp_path / folder / name)
    environ = {"VIRTUAL_ENV": str(tmp_path / "venv"), "CONDA_PREFIX": str(tmp_path / "conda")}
    places = [item.found_in for item in torch.probe_torches(DEFAULT, environ) if str(tmp_path) in item.site]
    assert places == [f"VIRTUAL_ENV ({tmp_path}/venv)", f"CONDA_PREFIX ({tmp_path}/conda)"]


@pytest.mark.parametrize("text", ["__version__ = 'unknown'", "__version__ = ''", "version = 3", "def ("])
def test_a_torch_without_a_version_is_a_value(tmp_path, text):
    install_torch(tmp_path)
    (tmp_path / "torch/version.py").write_text(text + "\n")
    assert "version.py" in torch.read_torch(tmp_path, "test").problem


def test_neighbour_with_an_unreadable_version_is_skipped(tmp_path):
    (tmp_path / "numpy-local_build.dist-info").mkdir()
    assert torch.installed_beside(tmp_path) == ()


def test_compiler_without_a_version_is_a_value(tmp_path):
    gxx(tmp_path / "bin/g++", "experimental")
    (item,) = compilers.probe_compilers(DEFAULT, {"PATH": str(tmp_path / "bin")}, root=tmp_path)
    assert "-dumpfullversion" in item.problem


# --- symbol versions, environment, machine, GPUs


def test_needs_of_real_libraries_agree_with_pyelftools():
    from mamba_build_backend.symbols import elf

    folder = Path(sysconfig.get_config_var("DESTSHARED"))
    libraries = [Path(os.path.realpath(sys.executable)), *sorted(folder.glob("*.so"))[:12]]
    assert len(libraries) > 3
    for library in libraries:
        read = {need.version for need in elf.read_needs(library).versions}
        assert set(quick_reader.needed_versions(library)) == read


@pytest.mark.parametrize(
    "content", [b"", b"no elf", b"\x7fELF\x01\x01" + b"\0" * 80, b"\x7fELF\x02\x01" + b"\xff" * 80]
)
def test_file_that_is_not_a_library_has_no_needs(tmp_path, content):
    (tmp_path / "a.so").write_bytes(content)
    assert quick_reader.newest_needs([tmp_path / "a.so", tmp_path / "none.so"]) == {}


def test_only_conda_lib_is_removed_from_the_linker_path(tmp_path):
    (tmp_path / "env/conda-meta").mkdir(parents=True)
    value = f"{tmp_path}/env/lib:/opt/slurm/lib"
    (item,) = environment.probe_environment({"LD_LIBRARY_PATH": value})
    assert (item.variable, item.value, item.kept) == ("LD_LIBRARY_PATH", value, "/opt/slurm/lib")
    assert environment.probe_environment({"LD_LIBRARY_PATH": "/opt/slurm/lib"}) == ()
    (item,) = environment.probe_environment({"LD_LIBRARY_PATH": f"{tmp_path}/env/lib"})
    assert item.kept is None


@pytest.mark.parametrize("name", ["LDSHARED", "LDCXXSHARED", "INCLUDES", "LIBRARIES", "NVCC_CCBIN", "CFLAGS", "CPATH"])
def test_variable_of_host_compilers_or_folders_is_dropped(name):
    assert environment.probe_environment({name: "/usr/x"}) == (Polluted(name, "/usr/x"),)


def test_only_the_conda_host_compiler_is_removed_from_nvcc_flags():
    (item,) = environment.probe_environment({"NVCC_PREPEND_FLAGS": "-ccbin=/env/bin/g++ -Xptxas -v"})
    assert item.kept == "-Xptxas -v"
    (item,) = environment.probe_environment({"NVCC_APPEND_FLAGS": "-ccbin /env/bin/g++"})
    assert item.kept is None
    assert environment.probe_environment({"NVCC_APPEND_FLAGS": "-Xptxas -v"}) == ()


@pytest.mark.parametrize(
    ("files", "cores", "limit"),
    [
        ({"sys/fs/cgroup/cpu.max": "100000 100000"}, 1, "cgroup quota"),
        ({"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/cpu.max": "150000 100000", "sys/fs/cgroup/a/b/cpu.max": "max 100000"}, 1, "cgroup quota"),
        ({"proc/self/cgroup": "5:cpu,cpuacct:/job", "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "100000", "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000"}, 1, "cgroup quota"),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, None, ""),
        ({"sys/fs/cgroup/cpu.max": "nonsense"}, None, ""),
    ],
)  # fmt: skip
def test_a_quota_of_any_control_group_counts(tmp_path, monkeypatch, files, cores, limit):
    for name, text in files.items():
        touch(tmp_path / name)
        (tmp_path / name).write_text(text + "\n")
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    assert machine.read_cores(tmp_path) == (cores or 64, 64, limit)


def test_affinity_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    assert machine.read_cores(tmp_path) == (3, 64, "affinity")


def test_a_batch_systems_memory_limit_counts(tmp_path):
    for name, text in {
        "proc/meminfo": "MemTotal: 1 kB\nMemAvailable:   64000000 kB\n",
        "proc/self/cgroup": "0::/slurm/job_7/step_0",
        "sys/fs/cgroup/slurm/job_7/memory.max": "4000000000",
        "sys/fs/cgroup/slurm/job_7/memory.current": "1000000000",
        "sys/fs/cgroup/slurm/job_7/step_0/memory.max": "max",
        "sys/fs/cgroup/slurm/job_7/step_0/memory.current": "5",
    }.items():
        touch(tmp_path / name)
        (tmp_path / name).write_text(text + "\n")
    assert machine.read_memory(tmp_path) == 3_000_000_000


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({"memory.max": "4000000000", "memory.current": "4000000000"}, 1),
        # pip has just unpacked torch: the kernel would give that back.
        (
            {
                "memory.max": "4000000000",
                "memory.current": "3900000000",
                "memory.stat": "anon 5\ninactive_file 3000000000",
            },
            3_100_000_000,
        ),
        (
            {
                "memory/memory.limit_in_bytes": "4000000000",
                "memory/memory.usage_in_bytes": "3900000000",
                "memory/memory.stat": "inactive_file 7\ntotal_inactive_file 2000000000",
            },
            2_100_000_000,
        ),
        (
            {"memory/memory.limit_in_bytes": "9223372036854771712", "memory/memory.usage_in_bytes": "5"},
            64_000_000 * 1024,
        ),
    ],
)
def test_page_cache_counts_as_free_memory(files, free, tmp_path):
    for name, text in {
        "proc/meminfo": "MemAvailable: 64000000 kB",
        **{f"sys/fs/cgroup/{k}": v for k, v in files.items()},
    }.items():
        touch(tmp_path / name)
        (tmp_path / name).write_text(text + "\n")
    assert machine.read_memory(tmp_path) == free


MAPS = """\
00400000-0041f000 r--p 00000000 00:29 16217746                           /usr/bin/python3.11
7f0000000000-7f0000001000 r-xp 00000000 08:01 123                       {library}
7ffd00000000-7ffd00001000 rw-p 00000000 00:00 0                          [stack]
"""


@pytest.mark.parametrize(
    ("shared", "mapped", "found"),
    [
        (1, "/opt/my python/lib/libpython3.11.so.1.0", "/opt/my python/lib/libpython3.11.so.1.0"),
        (1, "/usr/lib/libz.so.1", "program"),  # Debian: the program holds all of Python
        (0, "/usr/lib/libpython3.11.so.1.0", "program"),  # a library of another program
        (1, None, "program"),
    ],
)
def test_python_functions_are_found_in_this_process(tmp_path, monkeypatch, shared, mapped, found):
    said = {"Py_ENABLE_SHARED": shared, "INSTSONAME": "libpython3.11.so.1.0", "LIBDIR": "/nowhere"}
    monkeypatch.setattr(machine.sysconfig, "get_config_var", said.get)
    if mapped:
        touch(tmp_path / "proc/self/maps")
        (tmp_path / "proc/self/maps").write_text(MAPS.format(library=mapped))
    program = os.path.realpath(sys.executable)
    assert machine.find_python_library(tmp_path) == (program if found == "program" else found)


def test_library_of_python_is_found_without_proc(tmp_path, monkeypatch):
    touch(tmp_path / "lib/libpython3.11.so.1.0")
    said = {"Py_ENABLE_SHARED": 1, "INSTSONAME": "libpython3.11.so.1.0", "LIBDIR": str(tmp_path / "lib")}
    monkeypatch.setattr(machine.sysconfig, "get_config_var", said.get)
    assert machine.find_python_library(tmp_path) == str(tmp_path / "lib/libpython3.11.so.1.0")


@pytest.mark.parametrize(
    ("version", "old"),
    [("20.3.4", True), ("22.3.1", True), ("23.0.1", True), ("23.1", False), ("26.0.1", False), ("", False)],
)
def test_pip_before_23_1_gets_settings_as_variables(version, old):
    assert shell.is_old(version) is old


def test_pip_version_is_read_in_an_isolated_build(tmp_path, monkeypatch):
    monkeypatch.setattr(shell, "find_spec", lambda name: None)
    monkeypatch.setattr(shell.sysconfig, "get_path", lambda name: str(tmp_path))
    assert shell.find_pip_version() == ""
    touch(tmp_path / "pip/__init__.py")
    (tmp_path / "pip/__init__.py").write_text('from typing import List\n\n__version__ = "20.3.4"\n')
    assert shell.find_pip_version() == "20.3.4"


@pytest.mark.parametrize(("above", "told"), [("pip", True), ("", True), ("uv", False), ("build", False)])
def test_fix_is_spelled_for_the_running_frontend(monkeypatch, above, told):
    monkeypatch.setattr(shell, "probe_frontend", lambda: frontend.Frontend(above))
    monkeypatch.setattr(shell, "find_pip_version", lambda: "23.0.1")
    way = "-C offline=false   (if there is a network)"
    assert shell.spelled_for_frontend(way) == ("MAMBA_BUILD_OFFLINE=false   (if there is a network)" if told else way)
    assert shell.spelled_for_frontend("apt-get install g++") == "apt-get install g++"


def test_the_distribution_is_read_as_os_release_has_it(tmp_path):
    touch(tmp_path / "etc/os-release")
    (tmp_path / "etc/os-release").write_text('NAME="Rocky Linux"\nID="rocky"\nVERSION_ID="8.9"\n')
    assert machine.probe_machine(root=tmp_path).distribution == "rocky 8.9"


def test_nvidia_smi_answers_if_nvml_cannot(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    script(tmp_path / "nvidia-smi", 'echo "NVIDIA H100 80GB HBM3, 9.0, 580.65.06"; echo "NVIDIA A100, 8.0, 580.65.06"')
    answer = gpus.probe_gpus({"PATH": str(tmp_path)}, root=tmp_path)
    assert [(gpu.name, gpu.capability) for gpu in answer.gpus] == [
        ("NVIDIA H100 80GB HBM3", "9.0"),
        ("NVIDIA A100", "8.0"),
    ]
    assert (answer.driver, answer.asked) == ("580.65.06", True)


def test_driver_version_is_read_without_nvidia_smi(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    script(tmp_path / "nvidia-smi", "echo 'Field \"compute_cap\" is not a valid field to query.'; exit 2")
    touch(tmp_path / "proc/driver/nvidia/version")
    (tmp_path / "proc/driver/nvidia/version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.223.02  Sat Oct  7 15:39:11 UTC 2023\nGCC version: 9\n"
    )
    answer = gpus.probe_gpus({"PATH": str(tmp_path)}, root=tmp_path)
    assert (answer.gpus, answer.driver, answer.asked) == ((), "470.223.02", False)


def test_machine_without_nvidia_is_not_a_problem(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    answer = gpus.probe_gpus({"PATH": str(tmp_path)}, root=tmp_path)
    assert (answer.gpus, answer.driver, answer.asked) == ((), "", True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"sm_75 sm_80 sm_86 sm_90 sm_100 sm_120", ("75", "80", "86", "90", "100", "120")),
        (b"sm_37 sm_50 sm_60 sm_70 sm_75 sm_80 sm_86", ("37", "50", "60", "70", "75", "80", "86")),
        (b"sm_80 sm_90 sm_100 sm_110 sm_120 compute_120", ("80", "90", "100", "110", "120", "PTX")),
        (b"built for sm_80 sm_90 and others", ()),
    ],
)
def test_gpus_of_torch_are_read_from_its_library(tmp_path, text, expected):
    (tmp_path / "torch" / "lib").mkdir(parents=True)
    (tmp_path / "torch" / "version.py").write_text("__version__ = '2.11.0'\n")
    noise = b"\0needs sm_80 or newer\0" + bytes(range(256)) * 40
    (tmp_path / "torch" / "lib" / "libtorch_python.so").write_bytes(noise + b"\0" + text + b"\0" + noise)
    assert torch.read_torch(tmp_path, "here").archs == expected


@pytest.mark.parametrize(
    ("files", "environ", "manager"),
    [
        (["pyvenv.cfg"], {}, Manager.VENV),
        (["conda-meta/history"], {}, Manager.CONDA),
        ([], {}, Manager.SYSTEM),
        (["conda-meta/history"], {"PIXI_PROJECT_ROOT": "/w"}, Manager.PIXI),
    ],
)
def test_environment_tells_the_shell(tmp_path, files, environ, manager):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / ".dockerenv").touch()
    found = probe_shell(environ, str(tmp_path), root=tmp_path / "root")
    assert (found.manager, found.container, found.modules, found.uv) == (manager, True, False, False)
    assert probe_shell({"LMOD_CMD": "/x"}, str(tmp_path), root=tmp_path).modules
