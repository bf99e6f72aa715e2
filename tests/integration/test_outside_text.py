"""Foreign text in the output: no secret, and no escape that a terminal obeys; and special files."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT

from mamba_build_backend.core import files, outside_text, paths, work_folder
from mamba_build_backend.core.error_boundary import user_errors
from mamba_build_backend.core.errors import SettingsError, SourceError
from mamba_build_backend.core.settings import load_settings
from mamba_build_backend.source import git

SECRET = "hunter2-swordfish"


def doctor(*arguments, env, cwd=ROOT):
    command = [sys.executable, "-m", "mamba_build_backend", *map(str, arguments)]
    return subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


# Secrets.


@pytest.mark.parametrize(
    "text",
    [
        f"https://bob:{SECRET}@host/simple",
        f"cannot open 'http://bob:{SECRET}@127.0.0.1:8080/x': refused",
        f"-DURL=https://bob:{SECRET}@host.example/simple",
        f"/work/https:/bob:{SECRET}@host/x",
        f"https://bob:{SECRET}/with/slashes@host",
        f"https://{SECRET}@host/simple",
    ],
)
def test_passwords_of_addresses_are_not_shown(text):
    shown = outside_text.without_secrets(text)
    assert SECRET not in shown
    assert "***@" in shown
    assert shown.partition("***")[0] == text.partition("bob" if "bob" in text else SECRET)[0]


@pytest.mark.parametrize(
    "text", ["git@github.com:a/b", "mamba@2.3 of https://host/a", "user@host", "12:30 @ noon", "a:b"]
)
def test_text_without_an_address_is_unchanged(text):
    assert outside_text.without_secrets(text) == text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PIP_INDEX_URL", f"bob:{SECRET}@:::"),
        ("PIP_PROXY", f"bob:{SECRET}@:x"),
        ("https_proxy", f"http://bob:{SECRET}@proxy:3128"),
        ("PIP_EXTRA_INDEX_URL", f"https://a/simple https://bob:{SECRET}@b/simple"),
        ("GH_PAT", SECRET),
        ("DB_PWD", SECRET),
        ("MY_TOKEN", SECRET),
    ],
)
def test_errors_show_no_secret_of_the_environment(monkeypatch, capsys, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit), user_errors():
        raise SourceError(f"the proxy {value} said no to {SECRET}")
    said = capsys.readouterr().err
    assert SECRET not in said
    assert "***" in said


@pytest.mark.parametrize("word", ["python", "install", "subprocess"])
def test_common_word_as_a_secret_hides_no_command(word):
    known = outside_text.secrets({"MY_TOKEN": word})
    said = "fix:  python -m pip install x   (subprocess)"
    assert outside_text.without_secrets(said, known) == said
    assert word not in outside_text.without_secrets(f"X={word} y:'{word}' u:{word}@h".replace("'", '"'), known)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 300_000,
        "a_" * 100_000,
        "TOKEN" * 40_000,
        "TOKEN=" * 40_000,
        "http://" * 40_000,
        "a:/" * 100_000,
        "x:y" * 100_000,
    ],
)
def test_a_long_text_takes_no_longer_than_its_length(text):
    start = time.process_time()
    outside_text.without_secrets(text)
    outside_text.secrets({"LONG": text})
    assert time.process_time() - start < 5


def test_folders_and_short_words_are_not_secrets():
    given = {"OLD_PWD": "/srv/data", "SSH_AUTH_SOCK": "/tmp/ssh-x/agent.1", "MY_TOKEN": "pip"}
    assert outside_text.secrets(given) == ()


@pytest.mark.parametrize("value", [f"https://bob:{SECRET}@host/x", f"https://bob:{SECRET}/x@host/y"])
def test_a_saved_machine_holds_no_password_of_a_source(tmp_path, clean_env, value):
    done = doctor("doctor", "--save", tmp_path / "m.json", "-C", f"source={value}", env=clean_env)
    assert SECRET not in (tmp_path / "m.json").read_text() + done.stdout + done.stderr


# What a terminal obeys.


@pytest.mark.parametrize(
    "text", ["\x1b]52;c;ZXZpbA==\a", "\x1b]0;title\a", "\x1bP…\x1b\\", "\x9b2J", "\x1bc", "a\bb", "\x1b[>4;2m", "\x1b\x1b[31m[2J", "\u202e"]
)  # fmt: skip
def test_terminal_escapes_are_shown_not_sent(text, tmp_path, clean_env):
    shown = outside_text.visible(f"{text} No space left on device", colours=True)
    assert not any(letter in shown.replace("\x1b[31m", "") for letter in "\x1b\x9b\a\b\u202e")
    assert shown.endswith("No space left on device")
    log = tmp_path / "l.log"
    log.write_text(f"{text} No space left on device\n", encoding="utf-8")
    done = doctor("explain", log, env={**clean_env, "NO_COLOR": "1"})
    assert not any(letter in done.stdout for letter in "\x1b\x9b\a\b\u202e")


def test_colours_and_lines_stay():
    text = "\x1b[1;31mred\x1b[0m\n\ttab"
    assert outside_text.visible(text, colours=True) == text
    assert outside_text.visible(text) == "\\u001b[1;31mred\\u001b[0m\n\ttab"


@given(st.text())
def test_shown_text_holds_no_terminal_escape(text):
    shown = outside_text.visible(text)
    assert all(letter in "\n\t" or ord(letter) >= 32 for letter in shown)
    assert not any(0x7F <= ord(letter) <= 0x9F for letter in shown)


# Special files.


def make(kind, path):
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "dangling":
        path.symlink_to(path.parent / "nowhere")
    return path


KINDS = ["fifo", "socket", "device", "folder", "dangling"]


@pytest.mark.parametrize("kind", KINDS)
def test_special_files_are_not_read(kind, tmp_path):
    path = make(kind, tmp_path / "x")
    start = time.monotonic()
    with pytest.raises(OSError, match=r"regular file|No such|directory"):
        paths.open_plain(path)
    with pytest.raises(OSError, match=r"."):
        paths.open_own(path)
    with pytest.raises(OSError, match=r"."):
        files.sha256(path)
    assert not paths.is_file(path)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("path", ["a" * 300, "a\0b", "a/" * 3000])
def test_path_that_the_system_rejects_is_not_a_file(path):
    assert not paths.is_file(Path(path))
    assert not paths.exists(Path(path))


@pytest.mark.parametrize("kind", KINDS)
def test_explain_reports_a_file_that_is_not_a_log(kind, tmp_path, clean_env):
    done = doctor("explain", make(kind, tmp_path / "build.log"), env=clean_env)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_explain_takes_a_message_of_any_length(clean_env):
    for text in ("a" * 300, "GLIBC_2.32 not found " * 200, "undefined symbol: " + "x" * 5000):
        assert "Traceback" not in doctor("explain", text, env=clean_env).stderr


@pytest.mark.parametrize("kind", KINDS)
def test_foreign_files_next_to_work_folders_stop_no_build(kind, tmp_path):
    (tmp_path / "mamba-build-x").mkdir()
    held = make(kind, tmp_path / "mamba-build-x" / ".held")
    start = time.monotonic()
    work_folder._sweep(tmp_path)
    assert time.monotonic() - start < 5
    assert held.is_symlink() or held.exists()


def test_folder_of_a_killed_build_is_removed_and_a_foreign_one_kept(tmp_path, monkeypatch):
    for name in ("mamba-build-old", "mamba-build-new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".held").touch()
    os.utime(tmp_path / "mamba-build-old/.held", (1, 1))
    with monkeypatch.context() as patch:
        patch.setattr(os, "getuid", lambda: 4242)
        work_folder._sweep(tmp_path)
        assert (tmp_path / "mamba-build-old").is_dir(), "another user's"
    work_folder._sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mamba-build-new"]


# Values that reach a file name, a header, a command.


@pytest.mark.parametrize(
    "name", ["/abs/x", "../x", "x\nInjected: yes", "x\n\nbody", "a b", "$(id)", "é", "\x1b[2J", "-x", "x-", "x" * 81, "x" * 300]
)  # fmt: skip
def test_invalid_distribution_name_is_refused(name):
    with pytest.raises(SettingsError, match="is not a distribution's name"):
        load_settings({"distribution-name": name}, {}, {})


def test_every_valid_distribution_name_is_accepted():
    assert load_settings({"distribution-name": "My.Ext_2-x"}, {}, {}).distribution_name == "My.Ext_2-x"


@pytest.mark.parametrize("key", ["glibc", "local-version", "upstream-version", "torch", "variant"])
def test_toml_number_without_its_zeros_is_refused(key):
    with pytest.raises(SettingsError, match="is a number with a decimal point"):
        load_settings({}, {}, {key: 2.20})


@pytest.mark.parametrize(("key", "value"), [("glibc", "2.١٧"), ("local-version", "x" * 81), ("local-version", "١")])
def test_only_ascii_digits_count_and_names_are_bounded(key, value):
    with pytest.raises(SettingsError):
        load_settings({key: value}, {}, {})


# git.


def test_repository_of_the_caller_is_not_used():
    given = {"GIT_DIR": "/my/.git", "GIT_WORK_TREE": "/my", "GIT_INDEX_FILE": "i", "GIT_OBJECT_DIRECTORY": "o",
             "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_GLOBAL": "g", "GIT_SSL_CAINFO": "/ca.pem", "GIT_SSH_COMMAND": "ssh -4", "PATH": "/bin"}  # fmt: skip
    assert git.environment(given) == {"GIT_SSL_CAINFO": "/ca.pem", "GIT_SSH_COMMAND": "ssh -4", "PATH": "/bin"}
