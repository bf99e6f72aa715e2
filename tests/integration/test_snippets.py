"""The commands of the README and of docs/, as printed: in this checkout, and on a project of two files."""

import os
import shlex
import shutil
import subprocess
import sys

import pytest
from snippets import all_blocks, distinct
from support import ROOT, activated, environment_with_torch, run


@pytest.fixture(scope="module")
def python(tmp_path_factory, torch_site):
    return environment_with_torch(tmp_path_factory.mktemp("snippets") / "venv", torch_site)


def commands():
    """Each command once, with its first place."""
    found = {}
    for block in all_blocks("tiny"):
        for command in block.commands:
            found.setdefault(command, block)
    return sorted(found.items())


@pytest.mark.parametrize(("command", "block"), commands(), ids=lambda item: str(item)[:60])
def test_a_documented_build_command_builds(command, block, tiny, env, python, torch_site, tmp_path):
    active = activated(env, python)
    uv = shutil.which("uv")
    active["PATH"] += f":{uv.rpartition('/')[0]}" if uv else ""
    line = command.replace("/path/to/site-packages", str(torch_site))
    for name in ("mamba_ssm_portable-*.whl", "my_project-*.whl"):
        line = line.replace(name, "tiny_cuda-*.whl")
    run("sh", "-c", line, env=active, cwd=tiny)
    assert sys.executable != str(python)


@pytest.fixture
def checkout(tmp_path):
    """A folder with this checkout's files, where what a command writes is its own; and the environment of its user."""
    for name in ("mamba_build_backend", "patches", "tests", "manylinux", "pyproject.toml", "README.md", "LICENSE"):
        (tmp_path / name).symlink_to(ROOT / name)
    machine = ROOT / "tests" / "facts" / "debian12-torch2.11-cuda13.0.json"
    (tmp_path / "machine.json").write_bytes(machine.read_bytes())
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    env = {key: value for key, value in os.environ.items() if not key.startswith("MAMBA_")}
    env.update(PATH=f"{python.parent}{os.pathsep}{env['PATH']}", XDG_CACHE_HOME=str(tmp_path / "cache"))
    return tmp_path, env


@pytest.mark.parametrize("block", distinct(all_blocks("here")), ids=str)
def test_a_command_that_compiles_nothing_runs_in_the_checkout(block, checkout):
    folder, env = checkout
    status = next((int(item[5:]) for item in block.options if item.startswith("exit=")), 0)
    for command in block.commands:
        done = subprocess.run(["sh", "-c", command], env=env, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == status, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr


def quotes():
    """Each block of output that is marked as quoted, with the commands above it that print it."""
    found = all_blocks()
    quoted = distinct([block for block in found if "quoted" in block.options])
    return [(above, block) for above, block in zip(found, found[1:]) if block in quoted]


def test_there_are_quotes():
    assert len(quotes()) >= 5


@pytest.mark.parametrize(("above", "block"), quotes(), ids=str)
def test_output_that_the_documents_quote_is_what_the_command_prints(above, block, checkout):
    """Line by line and in this order; the clone's own path is another one here."""
    folder, env = checkout
    assert (above.page, above.world) == (block.page, "here")
    printed = []
    for command in above.commands:
        done = subprocess.run(["sh", "-c", command], env=env, cwd=folder, capture_output=True, text=True, check=False)
        printed += done.stdout.splitlines()
    rest = iter(printed)
    for line in block.text.splitlines():
        if "/mamba-ssm-portable" not in line:
            assert line in rest, f"{block}: {line!r} is not in\n" + "\n".join(printed)


@pytest.mark.parametrize("block", distinct(all_blocks("python")), ids=str)
def test_a_block_of_python_runs(block, checkout):
    if "mamba" in block.options:
        compile(block.text, str(block), "exec")
        return
    folder, env = checkout
    command = ["python", "-c", block.text]
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
