"""The hooks as users reach them: pip, build, uv and the command line, each isolated, on a real CUDA extension."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from email.parser import HeaderParser
from importlib.metadata import version
from pathlib import Path

import pytest
from support import ROOT, copy_tiny, interruptible, lacking, only_wheel, pip_wheel, record_of, run, without_local_nvcc

from mamba_build_backend import api

TAG = f"cp{sys.version_info.major}{sys.version_info.minor}"
USE = "import torch, tiny_cuda_ext as t; print(t.lines(3)); t.scale()\ntry: t.thrown()\nexcept ValueError as error: print('caught', error)"
USED = "size 0 n 3\n\ncaught a torch error\n"


def used(wheel, folder, env):
    """Unpack the wheel and use its extension with the torch of this environment."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    done = run(sys.executable, "-c", USE, env={**env, "PYTHONPATH": str(folder)}, cwd=folder)
    return done.stdout


def test_pip_isolated_makes_one_portable_wheel_that_works(tiny, env, tmp_path, torch_site):
    done = pip_wheel(tiny, tmp_path / "dist", env)
    wheel = only_wheel(tmp_path / "dist")
    assert wheel.name == f"tiny_cuda-1.2.3-{TAG}-{TAG}-manylinux_2_24_x86_64.whl"
    assert used(wheel, tmp_path / "site", env) == USED
    assert "compiling this project" in done.stdout + done.stderr
    assert "[2/2]" in done.stdout + done.stderr, "progress is shown"

    report = api.audit(wheel, torch_site)
    assert report.problems == ()
    (extension,) = report.extensions
    assert extension.rpath == ()
    assert extension.unresolved == ()
    assert [arch for arch, _ in extension.sass] == ["90"], "upstream's sm_80 gave way to the plan's"
    assert extension.ptx == ()
    numbers = {
        name: tuple(map(int, getattr(extension.floor, name).split("."))) for name in ("glibc", "glibcxx", "cxxabi")
    }
    assert numbers["glibc"] <= (2, 17)
    assert numbers["glibcxx"] <= (3, 4, 22)
    assert numbers["cxxabi"] <= (1, 3, 10)

    with zipfile.ZipFile(wheel) as archive:
        names = sorted(name for name in archive.namelist() if not name.endswith("/"))
        info = "tiny_cuda-1.2.3.dist-info"
        assert names == sorted(
            [
                "tiny_cuda/__init__.py",
                f"tiny_cuda_ext.cpython-{TAG[2:]}-x86_64-linux-gnu.so",
                *(f"{info}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "mamba-build-record.json")),
                f"{info}/sboms/mamba-build-backend.cdx.json",
            ]
        )
        metadata = archive.read(f"{info}/METADATA")
        record = json.loads(archive.read(f"{info}/mamba-build-record.json"))
    message = HeaderParser().parsestr(metadata.decode())
    minor = ".".join(version("torch").split(".")[:2])
    assert message.get_all("Requires-Dist") == [f"torch=={minor}.*"]
    assert record["flags"]["nvcc"][0] == "-gencode=arch=compute_90,code=sm_90"
    assert record["floor"]["measured"]["glibc"] == extension.floor.glibc

    # The metadata hook agrees with the wheel to the byte.
    code = "import mamba_build_backend as b; print(b.prepare_metadata_for_build_wheel('meta'))"
    hook = run(sys.executable, "-c", code, env=env, cwd=tiny)
    assert hook.stdout.strip() == info
    assert (tiny / "meta" / info / "METADATA").read_bytes() == metadata


def test_machine_with_only_gxx_and_pip_builds_with_nvcc_from_pypi(tiny, env, tmp_path):
    """Every local nvcc is hidden: off PATH, and /usr/local/cuda* covered by an empty file system."""
    hidden = without_local_nvcc(env)
    toolkits = [str(path) for path in Path("/usr/local").glob("cuda-*") if path.is_dir() and not path.is_symlink()]
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "-w", str(tmp_path / "dist"), str(tiny)]
    if toolkits:
        if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0:
            lacking("the right to hide /usr/local/cuda (unshare -m)")
        mounts = " && ".join(f"mount -t tmpfs tmpfs {path}" for path in toolkits)
        command = ["unshare", "-m", "sh", "-c", f'{mounts} && exec "$@"', "sh", *command]
    run(*command, env=hidden, cwd=tmp_path)
    wheel = only_wheel(tmp_path / "dist")
    assert used(wheel, tmp_path / "site", env) == USED
    with zipfile.ZipFile(wheel) as archive:
        record = json.loads(archive.read("tiny_cuda-1.2.3.dist-info/mamba-build-record.json"))
    assert record["toolkit"]["layout"] == "pypi"


def test_build_makes_an_sdist_and_from_it_a_wheel_with_torch_by_setting(tiny, env, tmp_path, torch_site):
    run(sys.executable, "-m", "build", f"-Ctorch={torch_site}", "-o", tmp_path / "dist", tiny, env=env, cwd=tmp_path)
    assert used(only_wheel(tmp_path / "dist"), tmp_path / "site", env) == USED
    with tarfile.open(tmp_path / "dist" / "tiny_cuda-1.2.3.tar.gz") as tar:
        names = tar.getnames()
    assert "tiny_cuda-1.2.3/mamba_build_backend/projects/mamba-ssm/versions.toml" in names
    assert "tiny_cuda-1.2.3/PKG-INFO" in names


def test_uv_builds_with_torch_by_setting(tiny, env, tmp_path, torch_site):
    uv = shutil.which("uv")
    if uv is None:
        lacking("uv")
    run(
        uv,
        "build",
        "--wheel",
        "--python",
        sys.executable,
        f"-Ctorch={torch_site}",
        "-o",
        tmp_path / "dist",
        tiny,
        env=env,
        cwd=tmp_path,
    )
    assert used(only_wheel(tmp_path / "dist"), tmp_path / "site", env) == USED


def test_the_command_line_builds_with_paths_of_blanks_and_any_letters(tmp_path, env, torch_site, gxx):
    odd = tmp_path / "mein Ordner – 模型"
    project = copy_tiny(odd / "das Projekt")
    options = ["-C", f"build-dir={odd / 'bau ordner'}", "-C", f"cache-dir={odd / 'zwischen lager'}"]
    env = {key: value for key, value in env.items() if key != "MAMBA_BUILD_CACHE_DIR"}
    command = [sys.executable, "-m", "mamba_build_backend", "build", "--json", "-w", odd / "die Räder", *options]
    said = json.loads(run(*command, env=env, cwd=project).stdout)
    assert said["schema"] == 2
    (first,) = said["wheels"]
    wheel = Path(first["wheel"])
    assert wheel.parent == odd / "die Räder"
    assert wheel.stat().st_size == first["size"]
    assert used(wheel, odd / "die Seite", env) == USED
    audited = run(sys.executable, "-m", "mamba_build_backend", "audit", "--json", wheel, env=env, cwd=project)
    assert json.loads(audited.stdout)["ok"] is True


@pytest.mark.cold
def test_editable_install_recompiles_only_changed_files(tiny, env, tmp_path, torch_site):
    python = tmp_path / "venv" / "bin" / "python"
    run(sys.executable, "-m", "venv", "--system-site-packages", tmp_path / "venv", env=env, cwd=tmp_path)
    (next((tmp_path / "venv/lib").glob("python*/site-packages")) / "torch-of-the-tests.pth").write_text(
        f"{torch_site}\n"
    )
    options = ["install", "-v", "--no-deps", f"--config-settings=torch={torch_site}", "-e", tiny]
    run(python, "-m", "pip", *options, env=env, cwd=tmp_path)
    assert run(python, "-c", USE, env=env, cwd=tmp_path).stdout == USED
    where = run(
        python,
        "-c",
        "import torch, tiny_cuda, tiny_cuda_ext; print(tiny_cuda.__file__); print(tiny_cuda_ext.__file__)",
        env=env,
        cwd=tmp_path,
    ).stdout
    assert all(line.startswith(str(tiny)) for line in where.splitlines())
    objects = {path.name: path.stat().st_mtime_ns for path in tiny.rglob("*.o")}
    assert set(objects) >= {"tiny.o", "tiny_kernel.o"}
    kernel = tiny / "csrc" / "tiny_kernel.cu"
    kernel.write_text(kernel.read_text() + "\n// changed\n")
    run(python, "-m", "pip", *options, env=env, cwd=tmp_path)
    again = {path.name: path.stat().st_mtime_ns for path in tiny.rglob("*.o")}
    assert again["tiny.o"] == objects["tiny.o"]
    assert again["tiny_kernel.o"] != objects["tiny_kernel.o"]


def cli_build(tiny, env, tmp_path, *options):
    command = [
        sys.executable,
        "-m",
        "mamba_build_backend",
        "build",
        "--no-isolation",
        "-w",
        tmp_path / "dist",
        *options,
    ]
    return run(*command, env=env, cwd=tiny, check=False)


def test_broken_promise_names_the_symbol_and_leaves_no_wheel(tiny, env, tmp_path):
    from mamba_build_backend.probe.machine import probe_machine

    if tuple(map(int, probe_machine().libc_version.split("."))) < (2, 32):
        lacking("a glibc of 2.32 or newer, to be too new")
    done = cli_build(tiny, env, tmp_path, "-C", "sysroot=host")
    assert done.returncode == 6, done.stderr
    assert "needs GLIBC_2.32 of libc.so.6 (for __libc_single_threaded)" in done.stderr
    assert "the build promised at most GLIBC_2.17" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("dist/*"))


def test_repair_false_gives_a_plain_linux_wheel(tiny, env, tmp_path):
    names = ["-C", "distribution-name=Tiny.Drop_In", "-C", "local-version=auto"]
    done = cli_build(tiny, env, tmp_path, "-C", "repair=false", *names)
    assert done.returncode == 0, done.stderr
    minor = ".".join(version("torch").split(".")[:2])
    wheel = only_wheel(tmp_path / "dist")
    assert re.match(rf"tiny_drop_in-1\.2\.3\+cu\d+torch{minor}cxx11abi(TRUE|FALSE)-", wheel.name)
    assert wheel.name.endswith("-linux_x86_64.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        message = HeaderParser().parsestr(archive.read(name).decode())
    assert message["Name"] == "tiny-drop-in"
    assert message["Version"] == wheel.name.split("-")[1]


def test_old_glibc_needs_no_sysroot_but_the_libstdcxx_recipe(tiny, env, tmp_path):
    from mamba_build_backend.probe.machine import probe_machine

    done = cli_build(tiny, env, tmp_path, "-C", f"glibc={probe_machine().libc_version}")
    assert done.returncode == 0, done.stderr
    wheel = only_wheel(tmp_path / "dist")
    with zipfile.ZipFile(wheel) as archive:
        record = json.loads(archive.read("tiny_cuda-1.2.3.dist-info/mamba-build-record.json"))
    assert record["sysroot"]["provider"] == "host"
    assert used(wheel, tmp_path / "site", env) == USED
    assert record["portable"] is True
    assert only_wheel(tmp_path / "dist").name.endswith("manylinux_2_34_x86_64.whl"), "for __libc_single_threaded"


def test_a_setup_that_leaves_no_extension_is_an_error(tiny, env, tmp_path):
    (tiny / "setup.py").write_text("from setuptools import setup\nsetup(packages=['tiny_cuda'])\n")
    done = cli_build(tiny, env, tmp_path)
    assert done.returncode == 5, done.stderr
    assert "upstream's build produced a wheel without an extension module (.so)" in done.stderr
    assert not list(tmp_path.rglob("dist/*"))


def test_a_compile_error_is_shown_with_its_first_line_and_the_log_is_kept(tiny, env, tmp_path, cache):
    source = tiny / "csrc" / "tiny.cpp"
    source.write_text(source.read_text() + "\n#error made to fail\n")
    done = cli_build(tiny, env, tmp_path)
    assert done.returncode == 5, done.stderr
    assert "tiny.cpp" in done.stderr
    assert "error: #error made to fail" in done.stderr
    log = next(line.split("less ")[1].split("   (")[0] for line in done.stderr.splitlines() if "less " in line)
    assert "tiny.cpp" in Path(log).read_text()


@pytest.mark.cold
def test_ctrl_c_leaves_no_process_no_wheel_and_an_intact_cache(tiny, env, tmp_path, torch_site):
    source = tiny / "csrc" / "tiny_kernel.cu"
    # Enough to unroll that the compiler is still at it when the signal comes.
    slow = "\n__global__ void slow(float* x) {\n    float a = x[0];\n#pragma unroll\n    for (int i = 0; i < 20000; i++) a = sinf(a) * cosf(a + i);\n    x[0] = a;\n}\n"
    source.write_text(source.read_text() + slow)
    command = [
        sys.executable,
        "-m",
        "mamba_build_backend",
        "build",
        "-w",
        tmp_path / "dist",
        "-C",
        f"build-dir={tmp_path / 'work'}",
    ]
    backend = subprocess.Popen(
        [str(part) for part in command],
        cwd=tiny,
        env=env,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        preexec_fn=interruptible,
    )
    for line in backend.stderr:
        if "compiling this project" in line:
            break
    deadline = time.monotonic() + 60
    # ninja runs from the first compile to the last; the g++ that prints its version runs before it.
    while not (at_work := "ninja" in working(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert at_work
    os.killpg(backend.pid, signal.SIGINT)
    _, rest = backend.communicate(timeout=60)
    assert backend.returncode == 130, rest
    assert "Traceback" not in rest
    assert working(tmp_path) == []
    assert not list(tmp_path.rglob("dist/*"))
    (tiny / "csrc" / "tiny_kernel.cu").write_text((ROOT / "tests/packages/tiny_cuda/csrc/tiny_kernel.cu").read_text())
    run(*command, env=env, cwd=tiny)
    assert used(only_wheel(tmp_path / "dist"), tmp_path / "site", env) == USED


def working(folder):
    """Programs whose command line names the folder, other than the command itself."""
    names = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                cwd = os.readlink(entry / "cwd")
            except OSError:
                continue
            tool = os.path.basename(words[0])
            if cwd.startswith(str(folder)) and tool in ("ninja", "nvcc", "cicc", "cc1plus", "ptxas", "cudafe++", "g++"):
                names.append(tool)
    return names


def test_real_project_prints_a_fix_without_network_and_cache(env, tmp_path, torch_site, gxx):
    refused = {
        **env,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "MAMBA_BUILD_CACHE_DIR": str(tmp_path / "empty"),
    }
    code = "import mamba_build_backend as b; b.prepare_metadata_for_build_wheel('meta')"
    done = run(
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}",
        env={**refused, "MAMBA_BUILD_SYSROOT": "host"},
        cwd=project_copy(tmp_path),
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert "could not be fetched" in done.stderr
    assert "-C source=/path/to/mamba_ssm-2.3.2.post1.tar.gz" in done.stderr
    assert "Traceback" not in done.stderr


def project_copy(tmp_path):
    copy = tmp_path / "project"
    copy.mkdir()
    shutil.copyfile(ROOT / "pyproject.toml", copy / "pyproject.toml")
    return copy


def test_doctor_takes_less_than_a_second_and_a_half(env, torch_site, gxx):
    """Not a benchmark: an import of torch or a compile would break it. Counts CPU time, since other tests run."""
    before = os.times()
    done = run(sys.executable, "-m", "mamba_build_backend", "doctor", env=env, cwd=ROOT, check=False)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert spent < 1.5, done.stdout
    assert done.stdout.splitlines()[-1].startswith("The build can start")


def test_audit_finds_what_is_wrong_with_a_wheel(tiny, env, tmp_path, torch_site):
    done = cli_build(tiny, env, tmp_path, "-C", "repair=false", "-C", "sysroot=host")
    assert done.returncode == 0, done.stderr
    good = only_wheel(tmp_path / "dist")
    lying = good.with_name(good.name.replace("linux_x86_64", "manylinux2014_x86_64"))
    shutil.copyfile(good, lying)
    done = run(sys.executable, "-m", "mamba_build_backend", "audit", lying, env=env, cwd=tmp_path / "tiny", check=False)
    assert done.returncode == 6
    assert "needs GLIBC_2.32" in done.stdout
    (tmp_path / "elsewhere" / "torch" / "lib").mkdir(parents=True)
    done = run(
        sys.executable,
        "-m",
        "mamba_build_backend",
        "audit",
        "--torch",
        tmp_path / "elsewhere",
        good,
        env=env,
        cwd=tmp_path / "tiny",
        check=False,
    )
    assert "not looked up" not in done.stdout
    assert "lacks" in done.stdout


def test_audit_names_the_torches_that_a_wheel_works_with(tiny, env, tmp_path, torch_site):
    done = cli_build(tiny, env, tmp_path)
    assert done.returncode == 0, done.stderr
    other = tmp_path / "other"
    (other / "torch" / "lib").mkdir(parents=True)
    (other / "torch" / "version.py").write_text("__version__ = '2.12.1+cu130'\ncuda = '13.0'\nhip = None\n")
    command = [sys.executable, "-m", "mamba_build_backend", "audit", only_wheel(tmp_path / "dist")]
    done = run(*command, "--torch", torch_site, "--torch", other, env=env, cwd=tmp_path / "tiny")
    lines = [line.split(None, 1)[1] for line in done.stdout.splitlines() if line.startswith("  torch ")]
    assert re.fullmatch(rf"{re.escape(version('torch'))}(\+\w+)? has every symbol", lines[0])
    assert lines[1].startswith("2.12.1+cu130 lacks ")
    assert lines[1].endswith("; the wheel requires torch==2.11.*")
    data = json.loads(run(*command, "--json", "--torch", other, env=env, cwd=tmp_path / "tiny").stdout)
    assert data["ok"] is True
    assert data["requires_torch"] == "torch==2.11.*"
    assert [(fit["version"], fit["asked"]) for fit in data["torches"]] == [("2.12.1+cu130", False)]
    # The same torch under a version that the wheel asks for is a problem.
    (other / "torch" / "version.py").write_text("__version__ = '2.11.1+cu130'\ncuda = '13.0'\nhip = None\n")
    done = run(*command, "--torch", other, env=env, cwd=tmp_path / "tiny", check=False)
    assert done.returncode == 6
    assert "torch 2.11.1+cu130, with its CUDA and this Python, lacks" in done.stdout


def test_compiler_variables_are_printed_and_recorded_and_host_variables_dropped(tiny, env, tmp_path):
    """Each of the host's would end the build: setuptools would link with /bin/false, nvcc include what is not there."""
    host = {
        "LDSHARED": "/bin/false",
        "LDCXXSHARED": "/bin/false",
        "NVCC_CCBIN": "/bin/false",
        "INCLUDES": "-include /nonexistent.h",
        "LIBRARIES": "/nonexistent.o",
        "CXXFLAGS": "-include /nonexistent.h",
    }
    mine = {"NVCC_APPEND_FLAGS": f"-lineinfo -DSERVICE_TOKEN=abcdef -I{tmp_path}/headers"}
    done = cli_build(tiny, {**env, **host, **mine}, tmp_path)
    assert done.returncode == 0, done.stderr
    record = record_of(only_wheel(tmp_path / "dist"))
    value = "-lineinfo -DSERVICE_TOKEN=*** -I{path}"
    assert record["variables"] == [{"name": "NVCC_APPEND_FLAGS", "value": value}]
    assert "NVCC_APPEND_FLAGS=-lineinfo" in done.stdout + done.stderr
    assert set(record["cleaned"]) >= set(host)
