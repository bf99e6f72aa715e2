import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import ROOT, interruptible

from mamba_build_backend.core import error_boundary, locks
from mamba_build_backend.core.errors import StorageError
from mamba_build_backend.core.settings import Settings
from mamba_build_backend.core.shared_folder import stand_in
from mamba_build_backend.core.storage import cache_root, prepared
from mamba_build_backend.core.work_folder import work_folder

SLOW_BUILD = """
import sys, time, os
from pathlib import Path
sys.path.insert(0, {root!r})
from mamba_build_backend.core.storage import prepared

def build(draft):
    with open({count!r}, "a") as file:
        file.write("x")
    (draft / "first").write_text("1")
    Path({count!r} + ".started").touch()
    time.sleep({seconds})
    (draft / "second").write_text("2")

print(sorted(p.name for p in prepared(Path({folder!r}), build).iterdir()))
"""


def script(tmp_path, seconds):
    return SLOW_BUILD.format(
        root=str(ROOT), count=str(tmp_path / "count"), folder=str(tmp_path / "cache" / "thing"), seconds=seconds
    )


def test_two_processes_create_a_folder_once(tmp_path):
    started = [
        subprocess.Popen([sys.executable, "-c", script(tmp_path, 0.5)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [child.communicate()[0].strip() for child in started] == ["['first', 'second']"] * 2
    assert (tmp_path / "count").read_text() == "x"


def test_file_system_without_locks_is_used_without_locks(tmp_path, monkeypatch):
    monkeypatch.setattr(
        locks.fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOLCK, "No locks available"))
    )
    assert prepared(tmp_path / "thing", lambda draft: None).is_dir()
    with work_folder(Settings()) as folder:
        assert folder.is_dir()
    assert not folder.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_creation_leaves_no_whole_folder(tmp_path, number):
    child = subprocess.Popen(
        [sys.executable, "-c", script(tmp_path, 30)], stderr=subprocess.DEVNULL, preexec_fn=interruptible
    )
    while not (tmp_path / "count.started").exists():
        time.sleep(0.02)
    child.send_signal(number)
    child.wait()
    assert not (tmp_path / "cache" / "thing").exists()
    done = subprocess.run([sys.executable, "-c", script(tmp_path, 0)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['first', 'second']"


def test_a_file_in_the_way_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="a file has this name") as caught:
        prepared(tmp_path / "file" / "thing", lambda draft: None)
    assert caught.value.exit_code == 7
    assert "-C cache-dir=/another/folder" in str(caught.value)


def test_full_disk_is_one_sentence_and_leaves_nothing(tiny_disk):
    with pytest.raises(StorageError, match="it is full"):
        prepared(tiny_disk / "thing", lambda draft: (draft / "big").write_bytes(bytes(200_000)) and None)
    assert [path.name for path in tiny_disk.iterdir() if not path.name.endswith(".lock")] == []


def test_a_read_only_disk_is_one_sentence(tiny_disk):
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
    with pytest.raises(StorageError, match="it is read-only"):
        prepared(tiny_disk / "thing", lambda draft: None)


def test_boundary_reports_a_full_disk_elsewhere(tiny_disk, capsys):
    with pytest.raises(SystemExit) as caught, error_boundary.user_errors():
        (tiny_disk / "big").write_bytes(bytes(200_000))
    assert caught.value.code == 7
    assert "mamba-build-backend: error: " in capsys.readouterr().err


def test_work_folder_gets_a_plain_name(tmp_path):
    wanted = tmp_path / "mein Ordner – 模型"
    with work_folder(Settings(build_dir=str(wanted))) as folder:
        assert str(folder).isascii()
        assert " " not in str(folder)
        (folder / "kept").write_text("")
        first = folder
    assert (wanted / "kept").exists()
    assert not first.is_symlink()
    with work_folder(Settings(build_dir=str(wanted))) as folder:
        assert folder == first, "ninja knows its objects again"


def test_temporary_work_folder_is_removed_by_default():
    with work_folder(Settings()) as folder:
        pass
    assert not folder.exists()
    with work_folder(Settings(keep_build_dir=True)) as folder:
        pass
    assert folder.exists()
    folder.rmdir()


def test_the_cache_folder_is_the_users_own_or_the_setting(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert str(cache_root(Settings())) == "/x/mamba-build-backend"
    assert str(cache_root(Settings(cache_dir="/y"))) == "/y"
    assert os.path.isabs(cache_root(Settings(cache_dir="relative")))


@pytest.fixture
def shared_name():
    name = f"mamba-build-test-{os.getpid()}"
    yield name
    Path(f"/tmp/{name}.lock").unlink(missing_ok=True)


def test_named_work_folder_serves_one_build_at_a_time(shared_name):
    with stand_in(shared_name) as folder:
        assert folder == Path("/tmp") / shared_name
        (folder / "file").touch()
        with stand_in(shared_name) as other:
            assert other is None
        assert (folder / "file").exists(), "who was refused removes nothing"
    assert not folder.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="lacks a second user: only root can become one")
def test_named_work_folder_passes_to_the_next_user(shared_name):
    with stand_in(shared_name) as folder:
        assert folder is not None
    child = os.fork()
    if not child:
        status = 1
        try:
            os.setuid(65534)
            with stand_in(shared_name) as folder:
                status = 0 if folder is not None and folder.stat().st_uid == 65534 else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_link_for_a_lock_is_not_followed(shared_name, tmp_path):
    Path(f"/tmp/{shared_name}.lock").symlink_to(tmp_path / "elsewhere")
    with stand_in(shared_name) as folder:
        assert folder is None
    assert not (tmp_path / "elsewhere").exists()
