"""Whom the hooks work for, as read from the process above them: a folder laid out as /proc stands in for it."""

import os
import subprocess
import sys

import pytest

from mamba_build_backend.probe.frontend import Frontend, probe_frontend


@pytest.fixture
def above(tmp_path):
    """Write a process into a made-up /proc and probe it."""

    def probe(*arguments, program="/usr/bin/uv", cwd=None, **environ):
        folder = tmp_path / "proc" / "77"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cmdline").write_bytes(b"".join(os.fsencode(word) + b"\0" for word in arguments))
        (folder / "environ").write_bytes(b"".join(os.fsencode(f"{k}={v}") + b"\0" for k, v in environ.items()))
        for name, target in (("exe", program), ("cwd", cwd or tmp_path)):
            (folder / name).unlink(missing_ok=True)
            (folder / name).symlink_to(target)
        return probe_frontend(77, tmp_path / "proc")

    return probe


def venv(folder):
    folder.mkdir(parents=True)
    (folder / "pyvenv.cfg").touch()
    return str(folder)


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["uv", "pip", "install", "."], "uv pip install"),
        (["uv", "--no-cache", "build", "--wheel"], "uv build"),
        (["/root/.local/bin/uv", "sync", "-v"], "uv sync"),
        (["uv", "--directory", "x", "run", "python", "build"], "uv run"),
        (["uv", "--directory", "build", "pip", "install", "."], "uv pip install"),
        (["uv", "-v", "--cache-dir=build", "--color", "never", "pip", "--no-cache", "sync", "r.txt"], "uv pip sync"),
        (["uv", "--unknown-option", "value", "build"], "uv"),
    ],
)
def test_uv_command_is_read_without_its_options(above, arguments, command):
    assert above(*arguments).command == command


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["/v/bin/python", "-m", "pip", "download", "x.tar.gz"], "pip download"),
        (["/v/bin/python3.11", "/v/bin/pip3", "install", "."], "pip install"),
        (["/v/bin/python", "/v/bin/pip", "--log", "wheel", "download", "x"], "pip download"),
        (["/v/bin/python", "-m", "pip", "--cache-dir", "download", "install", "."], "pip install"),
        (["python", "-I", "-m", "build", "--wheel", "."], "build"),
        (["/v/bin/python", "/v/bin/pyproject-build"], "build"),
        (["/v/bin/python", "train.py"], ""),
    ],
)
def test_pip_and_build_are_recognised_as_module_or_script(above, arguments, command):
    assert above(*arguments, program="/usr/bin/python3.11").command == command


def test_uv_pip_uses_the_active_environment_or_the_nearest_venv(above, tmp_path):
    near = venv(tmp_path / "project" / ".venv")
    deep = tmp_path / "project" / "src" / "x"
    deep.mkdir(parents=True)
    found = above("uv", "pip", "install", ".", cwd=deep, VIRTUAL_ENV="/active", CONDA_PREFIX="/conda")
    assert found.environments == ("/active", "/conda", near)


def test_project_command_uses_only_the_environment_of_the_project(above, tmp_path):
    own = venv(tmp_path / "app" / ".venv")
    assert above("uv", "sync", cwd=tmp_path / "app", VIRTUAL_ENV="/active").environments == (own,)
    assert above("uv", "sync", "--project", "app", VIRTUAL_ENV="/active").environments == (own,)
    assert above("uv", "sync", "--active", cwd=tmp_path / "app", VIRTUAL_ENV="/a").environments == ("/a", own)
    moved = above("uv", "sync", cwd=tmp_path / "app", UV_PROJECT_ENVIRONMENT="/elsewhere")
    assert moved.environments[0] == "/elsewhere"


@pytest.mark.parametrize("option", [["--python", "v/bin/python"], ["-p", "v"], ["--python=v/bin/python3"]])
def test_python_option_of_uv_names_the_environment(above, tmp_path, option):
    (tmp_path / "v" / "bin").mkdir(parents=True)
    option = [option[0].replace("=v", f"={tmp_path}/v"), *(str(tmp_path / word) for word in option[1:])]
    assert above("uv", "pip", "install", *option, ".").environments == (str(tmp_path / "v"),)


def test_pixi_works_for_an_environment_of_its_workspace(above, tmp_path):
    for name in ("default", "cuda"):
        (tmp_path / "w" / ".pixi" / "envs" / name).mkdir(parents=True)
    (tmp_path / "w" / "src").mkdir()
    found = above("pixi", "install", program="/root/.pixi/bin/pixi", cwd=tmp_path / "w" / "src")
    assert (found.name, found.environments) == ("pixi", (str(tmp_path / "w/.pixi/envs/default"),))
    chosen = above("pixi", "run", "-e", "cuda", "train", program="/usr/bin/pixi", cwd=tmp_path / "w")
    assert chosen.environments == (str(tmp_path / "w/.pixi/envs/cuda"),)
    manifest = above("pixi", "install", "--manifest-path", "w/pixi.toml", program="/usr/bin/pixi")
    assert manifest.environments == (str(tmp_path / "w/.pixi/envs/default"),)


def test_build_works_for_the_environment_whose_python_runs_it(above, tmp_path):
    (tmp_path / "v" / "bin").mkdir(parents=True)
    (tmp_path / "v" / "bin" / "python").symlink_to(sys.executable)
    by_path = above("v/bin/python", "-m", "build", program="/usr/bin/python3.11")
    by_name = above("python", "-m", "build", program="/usr/bin/python3.11", PATH=str(tmp_path / "v" / "bin"))
    assert by_path.environments == by_name.environments == (str(tmp_path / "v"),)


def test_unreadable_process_is_ignored(tmp_path):
    assert probe_frontend(78, tmp_path) == Frontend()


def test_the_real_proc_is_read(tmp_path):
    """A process named pip starts this probe, as pip does."""
    (tmp_path / "pip").write_text(
        "import subprocess, sys\n"
        "code = 'from mamba_build_backend.probe.frontend import probe_frontend; print(probe_frontend())'\n"
        "subprocess.run([sys.executable, '-c', code], check=True)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(tmp_path / "pip"), "download", "x"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    prefix = os.path.dirname(os.path.dirname(sys.executable))
    assert done.stdout.strip() == f"Frontend(command='pip download', environments=({prefix!r},))"
