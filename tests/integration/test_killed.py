"""A build stopped at any stage leaves no wheel, no half cache and no process, and the next build works.

Each stage waits at its start, so that the moment is the same every time; the compilers of the last tests are real.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import copy_tiny, interruptible, only_wheel, run

pytestmark = pytest.mark.cold  # It is the compilers at work that are stopped here.

STAGES = {
    "sources": "source.prepare.prepare",
    "a sysroot is made": "toolchain.sysroot._make_stubs",
    "toolchain": "toolchain.libstdcxx.apply_libstdcxx",
    "record": "wheel.write_record.record_of",
    "packing": "wheel.repair._as_given",
    "auditwheel": "wheel.repair.repair_wheel",
    "audit": "audit.check.audit_wheel",
    "handing over": "core.storage.shutil.copyfile",
}
"""What is called there. Up to the toolchain nothing is compiled; behind it, the extension is there."""

DRIVER = """
import functools, importlib, sys, time
sys.path.insert(0, sys.argv[1])
import mamba_build_backend
module, _, name = sys.argv[2].rpartition(".")
parts = module.split(".")
where = importlib.import_module("mamba_build_backend." + parts[0])
for part in parts[1:]:
    where = getattr(where, part) if hasattr(where, part) else importlib.import_module(f"{where.__name__}.{part}")
original = getattr(where, name)
def held(*args, **kwargs):
    print("reached", file=sys.stderr, flush=True)
    time.sleep(60)
    return original(*args, **kwargs)
setattr(where, name, held)
mamba_build_backend.build_wheel(sys.argv[3], None)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Outside of the folders that the test watches."""
    return copy_tiny(tmp_path_factory.mktemp("killed") / "tiny")


@pytest.fixture
def places(tmp_path, clean_env):
    """Folders for all that a build writes, and the variables that lead it there."""
    for name in ("tmp", "dist", "cache"):
        (tmp_path / name).mkdir()
    return {
        **clean_env,
        "TMPDIR": str(tmp_path / "tmp"),
        "MAMBA_BUILD_CACHE_DIR": str(tmp_path / "cache"),
        "MAMBA_BUILD_ARCH": "9.0",
    }


def started(command, env, cwd):
    return subprocess.Popen(
        [str(part) for part in command], env=env, cwd=cwd, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        start_new_session=True, preexec_fn=interruptible,
    )  # fmt: skip


def left(folder):
    """What a stopped build left: files for a user, folders for work, drafts in the cache, processes."""
    found = [path.relative_to(folder) for part in ("tmp", "dist") for path in (folder / part).rglob("*")]
    found += [path.relative_to(folder) for path in (folder / "cache").rglob(".*") if path.suffix != ".lock"]
    return found + processes(folder)


def processes(folder):
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if os.readlink(entry / "cwd").startswith(str(folder)) or str(folder) in words:
                    found.append(words)
            except OSError:
                continue
    return found


def gone(folder, seconds=10.0):
    """The processes that are still there when they have had some time to end."""
    deadline = time.monotonic() + seconds
    while processes(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    return processes(folder)


@pytest.mark.parametrize("stage", STAGES)
def test_stopped_build_leaves_nothing_at_any_stage(project, places, torch_site, gxx, tmp_path, stage):
    number = signal.SIGTERM if stage in ("packing", "sources") else signal.SIGINT
    build = started([sys.executable, "-c", DRIVER, project, STAGES[stage], tmp_path / "dist"], places, project)
    said = []
    for line in build.stderr:
        said.append(line)
        if line == "reached\n":
            break
    else:
        pytest.fail("".join(said))
    build.send_signal(number)
    _, rest = build.communicate(timeout=60)
    assert build.returncode == 130, rest
    assert "Traceback" not in rest
    assert left(tmp_path) == []


@pytest.fixture
def compiling(project, places, torch_site, gxx, tmp_path):
    """A build whose compilers are at work."""
    code = (
        f"import sys; sys.path.insert(0, {str(project)!r}); import mamba_build_backend as b; b.build_wheel(sys.argv[1])"
    )
    command = [sys.executable, "-c", code, tmp_path / "dist"]
    build = started(command, places, project)
    deadline = time.monotonic() + 120
    # Compilers of the project's own files: the probe runs compilers, too.
    while not any(re.search(r"(cc1plus|cicc) .*/tiny(_kernel)?\.(cpp|cu) ", words) for words in processes(tmp_path)):
        assert build.poll() is None, build.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield command, build
    build.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_build_ends_its_compilers(compiling, tmp_path, number):
    _, build = compiling
    build.send_signal(number)
    assert build.wait(timeout=60) == 130
    assert left(tmp_path) == []


def test_repeated_signals_do_not_prevent_cleanup(compiling, tmp_path):
    """An impatient Ctrl-C, a batch system, and what asks a whole session every few hundredths of a second."""
    _, build = compiling
    while build.poll() is None:
        build.send_signal(signal.SIGTERM)
        build.send_signal(signal.SIGINT)
        time.sleep(0.02)
    # Between two signals that it does not hear any more it may just have become deaf to none of them, and ended.
    assert build.returncode in (130, -signal.SIGTERM, -signal.SIGINT)
    assert gone(tmp_path) == []
    assert left(tmp_path) == []


def test_killed_build_leaves_no_process_and_the_next_build_cleans_up(compiling, places, project, tmp_path):
    """SIGKILL (OOM killer, batch scheduler): only the next build can clean up."""
    command, build = compiling
    build.kill()
    build.wait(timeout=10)
    assert gone(tmp_path) == [], "its compilers are ended by their warden"
    assert list((tmp_path / "dist").iterdir()) == []
    (work,) = (tmp_path / "tmp").glob("mamba-build-*")
    half = tmp_path / "cache" / "sysroots" / ".zig-0.13.0-x86_64-glibc-2.17.half"
    half.mkdir()
    os.utime(work / ".held", (time.time() - 100,) * 2)
    (tmp_path / "dist" / ".tiny.whl.999999999").touch()
    run(*command, env=places, cwd=project)
    assert not work.exists()
    assert [path for path in (tmp_path / "tmp").iterdir() if path.name.startswith("mamba-build-")] == []
    assert only_wheel(tmp_path / "dist")


def test_two_builds_at_once_in_one_cache_do_not_disturb_each_other(project, places, torch_site, gxx, tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(project)!r}); import mamba_build_backend as b; b.build_wheel(sys.argv[1])"
    )
    outs = [tmp_path / "dist" / name for name in ("one", "other")]
    builds = [started([sys.executable, "-c", code, out], places, project) for out in outs]
    said = [build.communicate(timeout=300)[1] for build in builds]
    assert [build.returncode for build in builds] == [0, 0], said
    assert "".join(said).count("making a sysroot") == 1, "the other one waits for it"
    assert only_wheel(outs[0]).read_bytes() == only_wheel(outs[1]).read_bytes()
    assert [path for path in (tmp_path / "tmp").iterdir() if path.name.startswith("mamba-")] == []
