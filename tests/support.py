"""Helpers of several tests: paths, skips, frontends."""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from mamba_build_backend.compile import stable_abi
from mamba_build_backend.core.facts import Sysroot, SysrootProvider
from mamba_build_backend.core.locks import locked
from mamba_build_backend.plan.types import BuildPlan, ReadyPlan

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ROOT / "tests" / "packages"
RECORDED = sorted((ROOT / "tests" / "facts").glob("*.json"))
"""The recorded machines: facts and settings of each, and what must come of them."""


HURRIED = {"NVCC_APPEND_FLAGS": "-Ofc=max"}
"""nvcc's own option to compile in a third of the time and optimise less, for tests that do not run kernels."""


@functools.cache
def planned_for(machine: Path) -> tuple[Any, Any]:
    """The facts of a recorded machine, and its plan. Made once for a process: both are frozen."""
    from mamba_build_backend import plan, tables
    from mamba_build_backend.probe import recording

    settings, facts = recording.load(machine, {})
    return facts, plan.decide(settings, facts, tables.load_tables())


PROGRAMS = {".", "apt-get", "pacman", "zypper", "git", "cd", "conda", "curl", "dnf", "export", "grep", "module", "nvidia-smi", "pixi", "python", "python3", "rm", "sed", "scl", "sudo", "tee",
            "unset", "uv", "wsl", "yum"}  # fmt: skip


def check_typed(typed_here: Sequence[str]) -> None:
    """Each part begins with a known program and has no gap; in test_told_commands a shell parses it."""
    for command in typed_here:
        assert not re.search(r"…|\{|\}|, then | FILE\b(?!\.whl)|WHEEL", command.replace("$(", "(")), command
        for part in re.split(r"&&|\|(?!\|)|;(?![^']*')", re.sub(r"'[^']*'|\"[^\"]*\"", "''", command)):
            words = [
                word for word in shlex.split(part.strip().lstrip("!")) if not re.fullmatch(r"[A-Z][A-Z0-9_]*=\S*", word)
            ]
            assert words[0] in PROGRAMS, command
        assert not re.search(r"pip install (?:-\S+ )*\.(?: |$)", command), f"where is that? {command}"


def interruptible() -> None:
    """For preexec_fn: a run in the background may have been started with SIGINT ignored, and its children with it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def lacking(what: str) -> None:
    """Skip, naming what is missing; a run that is meant to be whole turns this into a failure."""
    pytest.skip(f"lacks {what}")


def copy_tiny(into: Path, name: str = "tiny_cuda") -> Path:
    shutil.copytree(PACKAGES / name, into)
    shutil.copytree(
        ROOT / "mamba_build_backend", into / "mamba_build_backend", ignore=shutil.ignore_patterns("__pycache__")
    )
    return into


def run(*command: object, env: dict[str, str], cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(part) for part in command], env=env, cwd=cwd, capture_output=True, text=True, check=False
    )
    if check and done.returncode != 0:
        pytest.fail(f"{command} exited with {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done


def typed(
    *arguments: object, env: Mapping[str, str] | None = None, cwd: Path = ROOT, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m mamba_build_backend`` with these words in this process, which saves half a second."""
    from mamba_build_backend.cli import main
    from mamba_build_backend.core import error_boundary

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    here, streams = os.getcwd(), (sys.stdin, sys.stdout, sys.stderr)
    with mock.patch.dict(os.environ, os.environ if env is None else env, clear=True):
        try:
            os.chdir(cwd)
            sys.stdin, sys.stdout, sys.stderr = io.TextIOWrapper(io.BytesIO(text.encode("utf-8"))), out, err
            with error_boundary.user_errors():
                status = main.main([str(argument) for argument in arguments])
        except SystemExit as stopped:
            status = stopped.code
        finally:
            sys.stdin, sys.stdout, sys.stderr = streams
            os.chdir(here)
    texts = [stream.buffer.getvalue().decode("utf-8") for stream in (out, err)]
    return subprocess.CompletedProcess(arguments, status, *texts)


def pip_wheel(
    project: Path, out: Path, env: dict[str, str], *options: str, check: bool = True, isolated: bool = True
) -> subprocess.CompletedProcess[str]:
    """``pip wheel``; where the build environment is not what is tried, without one, in half of the time."""
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "-w", out]
    command += [] if isolated else ["--no-build-isolation"]
    return run(*command, *options, project, env=env, cwd=out.parent, check=check)


def only_wheel(folder: Path) -> Path:
    wheels = list(folder.glob("*.whl"))
    assert len(wheels) == 1, wheels
    return wheels[0]


def without_local_nvcc(env: dict[str, str]) -> dict[str, str]:
    """PATH without any folder that holds nvcc."""
    kept = [folder for folder in env["PATH"].split(os.pathsep) if not os.path.exists(os.path.join(folder, "nvcc"))]
    return {**env, "PATH": os.pathsep.join(kept)}


def add(tar, name, data=b"x", **fields):
    """Add a member, with fields of its TarInfo, to an open tar file."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(data) if info.isfile() else None)


def tar_of(path, files, top="mamba-1.0"):
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            add(tar, f"{top}/{name}", data)
    return path


def zip_of(path, files, top="mamba-v1.0"):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"{top}/{name}", data)
    return path


def ready(plan: BuildPlan) -> ReadyPlan:
    """A plan as if the tools that it would install were there; what the machine lacks fails here."""
    sysroot = plan.sysroot.value or Sysroot(SysrootProvider.ZIG, "/zig", "the package index")
    return replace(plan, installs=(), sysroot=replace(plan.sysroot, value=sysroot)).check()


def call_encrypted(path: Path) -> None:
    """Set bit 0 of the flags in each header of both kinds of a zip file, which marks its files as encrypted."""
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(mark, at + 4)
    path.write_bytes(data)


def record_row(name: str, data: bytes) -> str:
    """A line of RECORD."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode("ascii")
    return f"{name},sha256={digest},{len(data)}\n"


def packed_wheel(folder: Path, files: Mapping[str, bytes], name: str, record: Callable[[str], str] = str) -> Path:
    """A wheel of these files under this name; adds missing .dist-info files; ``record`` may change RECORD."""
    distribution, version, tag = name[: -len(".whl")].split("-", 2)
    info = f"{distribution}-{version}.dist-info"
    made = dict(files)
    made.setdefault(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n".encode())
    made.setdefault(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n".encode())
    path = folder / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, data in made.items():
            archive.writestr(file, data)
        rows = "".join(record_row(*item) for item in made.items())
        archive.writestr(f"{info}/RECORD", record(f"{rows}{info}/RECORD,,\n"))
    return path


def record_of(wheel: Path) -> dict[str, Any]:
    """The build record in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/mamba-build-record.json")]
        return json.loads(archive.read(name))


def environment_with_torch(folder: Path, torch_site: Path) -> Path:
    """A virtual environment that holds the tests' torch, as links to its files; return its Python.

    Links to files and not to folders: what an installer removes must not be gone from the tests' own environment.
    """
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    (site,) = (folder / "lib").glob("python*/site-packages")
    for entry in torch_site.iterdir():
        if entry.name != "__pycache__" and not entry.name.startswith("pip-") and not (site / entry.name).exists():
            subprocess.run(["cp", "-as", entry, site], check=True)
    return folder / "bin" / "python"


@contextmanager
def empty_environment(folder: Path, env: dict[str, str]) -> Iterator[Path]:
    """A new virtual environment with only pip, and its Python; removed at the end."""
    try:
        run(sys.executable, "-m", "venv", folder, env=env, cwd=ROOT)
        yield folder / "bin" / "python"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def activated(env: dict[str, str], python: Path) -> dict[str, str]:
    """The variables of a shell in which the environment of this Python is active."""
    return {**env, "VIRTUAL_ENV": str(python.parent.parent), "PATH": f"{python.parent}{os.pathsep}{env['PATH']}"}


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """A temporary folder that all processes of a test session share; each pytest-xdist worker has a folder below it."""
    folder = factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


def kept_folder() -> Path:
    """The cache of files that take minutes to make: .../mamba-ssm-portable-tests, with run.py's environments."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mamba-ssm-portable-tests"


def released_tree(title: str, into: Path) -> Path:
    """The source of a release on PyPI, unpacked; ``title`` is ``name==version``."""
    from mamba_build_backend.core import archives
    from mamba_build_backend.source import index
    from mamba_build_backend.tables import load_tables

    row = next(row for row in load_tables().versions if f"{row.name}=={row.version}" == title)
    return archives.unpack(index.obtain(row, into / "fetched", os.environ, print), into / "source")


def old_torch(env: Mapping[str, str]) -> Path:
    """The Python of an environment with Python 3.9 and torch 2.0.0 for CUDA 11.7, made once and kept."""
    folder = kept_folder() / "torch-2.0.0-python3.9"
    python = folder / "bin" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_suffix(".lock")):
        if not (folder / "complete").exists():
            run(python_of_version("3.9"), "-m", "venv", "--clear", folder, env=env, cwd=ROOT)
            install = [uv_program(), "pip", "install", "-q", "--python", python]
            run(*install, "pip>=25", "torch==2.0.0", "numpy<2", "setuptools<82", env=env, cwd=ROOT)
            (folder / "complete").touch()
    return python


def cut_kernels(tree: Path) -> None:
    """Keep one kernel of each 16 or 32 in the CUDA files: saves four fifths of the time if no test runs the kernels."""
    (header,) = tree.rglob("static_switch.h")
    text = header.read_text()
    assert text.count("if (COND) {") == text.count("constexpr bool CONST_NAME = true;") == 1
    other = re.sub(r"constexpr bool CONST_NAME = true;\s*\\\n.*__VA_ARGS__\(\);", 'throw "left out";', text)
    assert other != text
    header.write_text(other)


def python_of_version(number: str) -> Path:
    """A Python of this version with its headers: on PATH, from pyenv or from uv, which may install it."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = [shutil.which(f"python{number}"), *sorted(pyenv.glob(f"{number}.*/bin/python{number}"))]
    for path in (*filter(None, found), *_uvs_python(number)):
        # pyenv's shims are on PATH for versions that are not switched on.
        code = "import sysconfig; print(sysconfig.get_path('include'))"
        done = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode == 0 and (Path(done.stdout.strip()) / "Python.h").is_file():
            return Path(path)
    lacking(f"a Python {number} with its headers (pyenv install {number}, or uv python install {number})")
    raise AssertionError


def _uvs_python(number: str) -> Iterator[str]:
    # Asked only where there is no other: it may download one.
    uv = uv_program()
    find = [uv, "python", "find", "--managed-python", number]
    for command in ([], [uv, "python", "install", "-q", number]):
        if command:
            subprocess.run(command, capture_output=True, check=False)
        found = subprocess.run(find, capture_output=True, text=True, check=False)
        if found.returncode == 0:
            yield found.stdout.strip()
            return


def nvcc_home() -> Path:
    """The toolkit of the nvcc that is on PATH, which may be a link or a script."""
    found = shutil.which("nvcc")
    if found is None:
        lacking("nvcc")
        raise AssertionError
    said = subprocess.run([found, "--dryrun", "-c", "x.cu"], capture_output=True, text=True, check=False).stderr
    top = re.search(r"TOP=(\S+)", said)
    assert top is not None, said
    return Path(os.path.realpath(top[1]))


def uv_program() -> str:
    path = shutil.which("uv")
    if path is None:
        lacking("uv")
    return path


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a package index that a folder with ``simple/`` makes, while it is served on this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/simple/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def wrong_calls_are_answered(wheel: Path, folder: Path, env: dict[str, str]) -> None:
    """Import the module of ``tiny_stable`` with torch: each wrong call gets the answer of upstream's binding."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    program = """
import torch, tiny_stable_ext
for wrong in ((torch.zeros(2), None, True), (torch.zeros(2).double(), None, True), (torch.zeros(2),)):
    try:
        tiny_stable_ext.doubled(*wrong)
    except Exception as error:
        print(type(error).__name__, str(error).splitlines()[0])
"""
    lines = run(sys.executable, "-c", program, env=env, cwd=folder).stdout.splitlines()
    assert lines[0].startswith("RuntimeError Expected x.is_cuda() to be true, but got false.")
    assert lines[1] == "RuntimeError x must be of type float"
    assert lines[2].startswith("TypeError doubled(): incompatible function arguments.")


def compile_binding(gxx, torch_site, library, sources, *includes):
    """As a build with abi=stable compiles and links it."""
    cuda = next(torch_site.glob("nvidia/cu1*"))
    extension = stable_abi.extension(library.parent)
    # A name of its own, so that what this machine's nvcc is does not matter.
    command = [gxx, "-O1", "-std=c++17", "-fPIC", "-shared", "-Wall", "-Werror=return-type"]
    command += ["-DMAMBA_STABLE_DRIVER=12000", "-DMAMBA_STABLE_PROJECT=causal-conv1d"]
    command += [f"-DTORCH_EXTENSION_NAME={library.name.partition('.')[0]}"]
    places = (sysconfig.get_path("include"), stable_abi.INCLUDE, *includes, cuda / "include")
    command += [f"-I{place}" for place in places]
    command += [*sources, "-o", library, f"-L{cuda / 'lib'}", *(f"-l{name}" for name in extension.libraries)]
    command += extension.link_flags
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{sources[0]}\n{done.stderr[-4000:]}"
