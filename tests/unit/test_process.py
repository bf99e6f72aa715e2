import os
import signal
import subprocess
import sys
import time

import pytest
from support import ROOT, interruptible

from mamba_build_backend.core._session_reaper import end_session
from mamba_build_backend.core.errors import ToolError
from mamba_build_backend.core.process import capture, quoted, stream

# A child with a child in a process group of its own, as ninja makes them.
FAMILY = "import os, subprocess, sys, time; p = subprocess.Popen(['sleep', '300'], preexec_fn=os.setpgrp); print(p.pid, flush=True); time.sleep(300)"


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_an_interrupted_stream_leaves_no_process_behind(tmp_path):
    pids = []

    def interrupt(line):
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stream([sys.executable, "-c", FAMILY], env=os.environ, cwd=tmp_path, log=tmp_path / "log", echo=interrupt)
    assert len(pids) == 1
    assert not alive(pids[0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_backend_ends_all_and_gives_130(tmp_path, number):
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path\nfrom mamba_build_backend.core.error_boundary import user_errors\nfrom mamba_build_backend.core.process import stream\n"
        f"with user_errors():\n    stream([sys.executable, '-c', {FAMILY!r}], env={{}}, cwd=Path('.'), log=Path('log'), echo=lambda line: print(line, flush=True))\n"
    )
    backend = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=interruptible,
    )
    grandchild = int(backend.stdout.readline())
    assert alive(grandchild)
    backend.send_signal(number)
    _, said = backend.communicate(timeout=30)
    assert backend.returncode == 130
    assert said == "mamba-build-backend: interrupted: all child processes were stopped, and the cache is intact\n"
    deadline = time.monotonic() + 5
    while alive(grandchild) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(grandchild)


COUNTS = """
import signal, sys, time
heard = []
signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
print("ready", flush=True)
while not heard:
    time.sleep(0.01)
time.sleep(0.5)  # tidies up
print(len(heard), flush=True)
"""


def test_each_process_of_a_session_is_asked_once_to_end():
    child = subprocess.Popen([sys.executable, "-c", COUNTS], text=True, stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout.readline() == "ready\n"
    end_session(child.pid, patience=30)
    assert child.communicate()[0] == "1\n"


def test_leftover_processes_of_a_command_are_ended(tmp_path):
    """As the steps of an nvcc that was killed."""
    code = "import subprocess as s; print(s.Popen(['sleep', '60'], stdout=s.DEVNULL, stderr=s.DEVNULL).pid)"
    said = []
    env = {"PATH": os.environ["PATH"]}
    assert stream([sys.executable, "-c", code], env=env, cwd=tmp_path, log=tmp_path / "log", echo=said.append) == 0
    assert not alive(int(said[0]))


def test_the_log_holds_the_command_as_it_can_be_pasted(tmp_path):
    status = stream(
        ["sh", "-c", "echo 'a b'; exit 3"], env=os.environ, cwd=tmp_path, log=tmp_path / "log", echo=lambda line: None
    )
    assert status == 3
    assert (tmp_path / "log").read_text().splitlines()[1:] == ["+ sh -c 'echo '\"'\"'a b'\"'\"'; exit 3'", "a b"]


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["/no/such/program"], "cannot be started: No such file"),
        (["sh", "-c", "echo broken >&2; exit 7"], "failed with exit code 7: broken"),
        (["sleep", "5"], "did not answer within 0.2 s"),
    ],
)
def test_failed_tool_is_reported_with_its_command(argv, told):
    with pytest.raises(ToolError, match=told) as caught:
        capture(argv, env=os.environ, timeout=0.2)
    assert quoted(argv) in str(caught.value)


def test_a_bug_keeps_its_traceback(tmp_path):
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom mamba_build_backend.core.error_boundary import user_errors\nwith user_errors():\n    1 / 0\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ZeroDivisionError" in done.stderr
    assert "Traceback" in done.stderr


def test_closed_pipe_is_not_an_error():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "mamba_build_backend", "doctor", "--schema"]
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
