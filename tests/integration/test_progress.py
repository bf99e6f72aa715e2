"""What a user sees of a long compile, and of a compiler that the system kills."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import copy_tiny, lacking, nvcc_home, only_wheel, pip_wheel, run

from mamba_build_backend.core.files import sha256

pytestmark = pytest.mark.cold  # nvcc must start, or there is nothing to see.

SLOW = """\
#!/bin/sh
case " $* " in *" -c "*) {before} ;; esac
exec {real} "$@"
"""


@pytest.fixture
def toolkit(tmp_path):
    """This machine's toolkit as a folder of links, with a wrapper in front of the real nvcc."""
    home = nvcc_home()

    def make(before):
        view = tmp_path / "cuda"
        (view / "bin").mkdir(parents=True)
        for entry in home.iterdir():
            if entry.name != "bin":
                (view / entry.name).symlink_to(entry)
        for entry in (home / "bin").iterdir():
            (view / "bin" / entry.name).symlink_to(entry)
        nvcc = view / "bin" / "nvcc"
        nvcc.unlink()
        nvcc.write_text(SLOW.format(before=before, real=home / "bin" / "nvcc"))
        nvcc.chmod(0o755)
        return view

    return make


KILL = "echo \"nvcc error   : 'cicc' died due to signal 9 (Kill signal)\" >&2; kill -9 $$"


def test_killed_compiler_is_retried_with_one_job(tiny, env, toolkit, tmp_path):
    once = tmp_path / "killed"
    home = toolkit(f"[ -e {once} ] || {{ touch {once}; {KILL}; }}")
    done = pip_wheel(tiny, tmp_path / "dist", env, "-C", f"cuda-home={home}", "-C", "jobs=2", "-C", "arch=9.0")
    assert (
        "the OOM killer most likely stopped a compiler: retrying with one compiler at a time"
        in done.stdout + done.stderr
    )
    assert only_wheel(tmp_path / "dist")


def test_compiler_killed_in_the_retry_is_reported(tiny, env, toolkit, tmp_path):
    options = ["-C", f"cuda-home={toolkit(KILL)}", "-C", "jobs=2", "-C", "arch=9.0"]
    done = pip_wheel(tiny, tmp_path / "dist", env, *options, check=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert said.count("retrying with one compiler at a time") == 1
    assert "The system killed a compiler, nearly always because the machine or the container ran out of memory" in said
    assert "-C arch=native" in said
    assert not list((tmp_path / "dist").glob("*.whl"))


@pytest.mark.parametrize("variable", ["MAMBA_BUILD_BUILD_DIR", "TMPDIR"])
def test_full_disk_during_a_build_is_reported(tiny, env, tmp_path, variable):
    """The first program that meets it: the linker in the build folder, or nvcc in the folder for temporary files."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", small], check=False).returncode:
        lacking("the right to mount a tmpfs")
    try:
        code = "import sys, mamba_build_backend as b; b.build_wheel(sys.argv[1])"
        command = [sys.executable, "-c", f"import sys; sys.path.insert(0, '.'); {code}", tmp_path / "dist"]
        done = run(*command, env={**env, variable: str(small)}, cwd=tiny, check=False)
        assert list(small.iterdir()) == [] or variable != "TMPDIR", "a temporary build folder goes, whatever happened"
    finally:
        subprocess.run(["umount", small], check=True)
    assert done.returncode == 7, done.stderr
    assert "No space left on device; A disk is full" in done.stderr
    assert "-C build-dir=/path/with/room" in done.stderr
    errors = done.stderr.partition("error: upstream's build failed")[2].splitlines()[1:]
    assert all(line.startswith("mamba-build-backend: error: ") for line in errors), errors
    assert not (tmp_path / "dist").exists()


def on_terminal(command, env, cwd):
    """What a command writes to its terminal, which is 120 columns wide."""
    leader, follower = pty.openpty()
    env = {**env, "COLUMNS": "120", "TERM": "xterm"}
    process = subprocess.Popen(
        [str(part) for part in command], env=env, cwd=cwd, stdout=subprocess.DEVNULL, stderr=follower
    )
    os.close(follower)
    said = b""
    try:
        while part := os.read(leader, 65536):
            said += part
    except OSError:  # the last one who held it is gone
        pass
    os.close(leader)
    assert process.wait() == 0, said.decode(errors="replace")[-3000:]
    return said.decode(errors="replace")


def test_terminal_gets_a_bar_of_running_files(env, toolkit, tmp_path, torch_site, gxx):
    project = copy_tiny(tmp_path / "tiny")
    command = [sys.executable, "-m", "mamba_build_backend", "build", "-w", tmp_path / "dist"]
    settings = {"MAMBA_BUILD_CUDA_HOME": str(toolkit("sleep 3")), "MAMBA_BUILD_ARCH": "9.0"}
    said = on_terminal(command, {**env, **settings}, project)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said)
    assert re.search(r"[0-2]/2 .*\d\.\d GB +\d+:\d\d", plain), plain[-3000:]
    assert "pulse {" not in plain
    assert said.rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in said, "the cursor is back"
    assert only_wheel(tmp_path / "dist")


def test_log_file_gets_neither_bar_nor_pulse(env, tmp_path, torch_site, gxx):
    project = copy_tiny(tmp_path / "tiny")
    done = run(
        sys.executable, "-m", "mamba_build_backend", "build", "-w", tmp_path / "dist", cwd=project,
        env={**env, "MAMBA_BUILD_ARCH": "9.0"},
    )  # fmt: skip
    assert "pulse" not in done.stderr
    assert "\x1b" not in done.stderr
    assert re.search(r"\[2/2\] 0:\d\d  tiny", done.stderr)
    assert Path(done.stdout.strip()).is_file()
    assert len(sha256(Path(done.stdout.strip()))) == 64
