"""The facts that one hook passes to the next: the owner of the file, its life, and the parts that are probed again."""

import json
import os
import sys
import time
from dataclasses import replace

import pytest
from support import ROOT

from mamba_build_backend.core.facts import from_json
from mamba_build_backend.core.private_store import PrivateStore
from mamba_build_backend.core.settings import Settings
from mamba_build_backend.probe import Family, look
from mamba_build_backend.probe.frontend import Frontend
from mamba_build_backend.probe.handover import Earlier, handover, read_marks

ENVIRON = {"PATH": "/usr/bin"}


@pytest.fixture
def facts():
    data = json.loads((ROOT / "tests/facts/debian12-torch2.11-cuda13.0.json").read_text())
    return from_json(data["facts"])


@pytest.fixture
def site(tmp_path, monkeypatch):
    """The only site-packages on this Python's path."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder)])
    return folder


def marks(facts):
    return read_marks(Settings(), ENVIRON, Frontend(), facts)


def file_of(tmp_path, kind="wheel", project=None, settings=None, environ=None):
    made = handover(kind, project or tmp_path, settings or Settings(), environ or ENVIRON, tmp_path / "cache")
    assert made is not None
    return made


def test_next_hook_reads_the_facts_of_the_first(tmp_path, facts):
    file_of(tmp_path).leave(facts, marks(facts))
    earlier = file_of(tmp_path).take()
    assert earlier.facts == facts
    assert earlier.stale(marks(facts)) == frozenset()


def test_handover_file_is_private_and_removed_after_use(tmp_path, facts):
    made = file_of(tmp_path)
    made.leave(facts, marks(facts))
    (path,) = made.store.folder.iterdir()
    assert (path.stat().st_mode & 0o777, made.store.folder.stat().st_mode & 0o777) == (0o600, 0o700)
    made.remove()
    assert list(made.store.folder.iterdir()) == []
    assert made.take() is None


@pytest.mark.parametrize(
    "other",
    [
        {"kind": "editable"},
        {"settings": Settings(arch="9.0")},
        {"settings": Settings(origins=(("arch", "the environment"),))},
        {"environ": {**ENVIRON, "CUDA_HOME": "/opt/cuda"}},
        {"project": "/elsewhere"},
    ],
)
def test_another_build_has_another_file(tmp_path, facts, other):
    file_of(tmp_path).leave(facts, marks(facts))
    assert file_of(tmp_path, **other).take() is None


def test_another_process_that_calls_hooks_has_another_file(tmp_path):
    """Two frontends at once, or a later one whose process has the same number."""
    proc = tmp_path / "proc"
    (proc / "sys/kernel/random").mkdir(parents=True)
    (proc / "sys/kernel/random/boot_id").write_text("b\n")
    (proc / "self/ns").mkdir(parents=True)
    (proc / "self/ns/pid").symlink_to("pid:[1]")
    (proc / str(os.getppid())).mkdir()

    def name(start):
        numbers = " ".join(["S", *["0"] * 18, str(start), "0"])
        (proc / str(os.getppid()) / "stat").write_text(f"7 (a (b) c) {numbers}\n")
        return handover("wheel", tmp_path, Settings(), ENVIRON, tmp_path, proc=proc).name

    assert name(1) == name(1) != name(2)
    (proc / str(os.getppid()) / "stat").unlink()
    assert handover("wheel", tmp_path, Settings(), ENVIRON, tmp_path, proc=proc) is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"schema": 9}',
        b'{"schema": 1, "marks": {}, "facts": {}}',
        b'{"schema": 1, "marks": 1, "facts": {"machine": 1}}',
        b"\xff",
    ],
)
def test_unreadable_handover_file_is_ignored(tmp_path, facts, text):
    made = file_of(tmp_path)
    made.leave(facts, marks(facts))
    (made.store.folder / made.name).write_bytes(text)
    assert made.take() is None


def test_writable_linked_or_old_handover_file_is_ignored(tmp_path, facts):
    made = file_of(tmp_path)
    made.leave(facts, marks(facts))
    path = made.store.folder / made.name
    path.chmod(0o620)
    assert made.take() is None
    path.chmod(0o600)
    assert made.take() is not None
    an_hour_ago = time.time() - 3601
    os.utime(path, (an_hour_ago, an_hour_ago))
    assert made.take() is None
    made.leave(facts, marks(facts))
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    assert made.take() is None


def test_a_folder_that_is_a_link_or_open_to_others_is_not_used(tmp_path, facts):
    made = file_of(tmp_path)
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    made.store.folder.parent.mkdir()
    made.store.folder.symlink_to(tmp_path / "elsewhere")
    made.leave(facts, marks(facts))
    assert list((tmp_path / "elsewhere").iterdir()) == []
    made.store.folder.unlink()
    made.store.folder.mkdir()
    made.store.folder.chmod(0o755)
    made.leave(facts, marks(facts))
    assert list(made.store.folder.iterdir()) == []


def test_a_cache_that_cannot_be_written_stops_nothing(tmp_path, facts):
    (tmp_path / "cache").write_text("a file is in the way")
    made = file_of(tmp_path)
    made.leave(facts, marks(facts))
    assert made.take() is None
    made.remove()


def test_files_of_an_abandoned_build_are_removed(tmp_path, facts):
    made = file_of(tmp_path)
    made.leave(facts, marks(facts))
    left = made.store.folder / "left"
    left.write_text("")
    os.utime(left, (0, 0))
    made.leave(facts, marks(facts))
    assert [path.name for path in made.store.folder.iterdir()] == [made.name]


def test_two_writers_leave_one_whole_file(tmp_path):
    store = PrivateStore(tmp_path / "store")
    for data in (b"one", b"two"):
        store.write("name", data)
    assert store.read("name", 60) == b"two"


def test_no_variable_is_written_down(tmp_path, facts):
    from mamba_build_backend.core.facts import Polluted

    made = file_of(tmp_path)
    made.leave(replace(facts, polluted=(Polluted("CFLAGS", "secret"),)), marks(facts))
    assert "secret" not in (made.store.folder / made.name).read_text()


@pytest.mark.parametrize(
    ("entry", "families"),
    [
        ("torch-2.11.0.dist-info", {Family.TORCHES, Family.TOOLKITS}),
        ("nvidia_cuda_nvcc-13.0.88.dist-info", {Family.TORCHES, Family.TOOLKITS}),
        ("transformers-4.57.0.dist-info", {Family.TORCHES, Family.TOOLKITS}),
        ("ziglang-0.13.0.post1.dist-info", {Family.COMPILERS, Family.SYSROOTS}),
        ("nvidia_ml_py-13.580.0.dist-info", {Family.GPUS}),
        ("ninja-1.13.0.dist-info", set()),
        ("setuptools-80.9.0.dist-info", set()),
    ],
)
def test_only_packages_installed_between_hooks_are_probed_again(site, facts, entry, families):
    earlier = Earlier(facts, marks(facts))
    (site / entry).mkdir()
    assert earlier.stale(marks(facts)) == families


def test_changed_package_version_is_probed_again(site, facts):
    info = site / "torch-2.11.0.dist-info"
    info.mkdir()
    earlier = Earlier(facts, marks(facts))
    info.rename(site / "torch-2.12.0.dist-info")
    assert Family.TORCHES in earlier.stale(marks(facts))


def test_bytecode_is_not_a_change(site, facts):
    (site / "torch").mkdir()
    (site / "ziglang").mkdir()
    earlier = Earlier(facts, marks(facts))
    for name in ("torch", "ziglang"):
        (site / name / "__pycache__").mkdir()
    assert earlier.stale(marks(facts)) == frozenset()


def test_replaced_compiler_is_probed_again(site, tmp_path, facts):
    compiler = tmp_path / "g++"
    compiler.write_text("12")
    facts = replace(facts, compilers=(replace(facts.compilers[0], path=str(compiler)),))
    earlier = Earlier(facts, marks(facts))
    assert earlier.stale(marks(facts)) == frozenset()
    compiler.write_text("a newer one")
    assert earlier.stale(marks(facts)) == {Family.COMPILERS}


def test_changed_conda_environment_is_probed_again(site, tmp_path, facts):
    environ = {**ENVIRON, "CONDA_PREFIX": str(tmp_path / "env")}
    (tmp_path / "env" / "conda-meta").mkdir(parents=True)
    earlier = Earlier(facts, read_marks(Settings(), environ, Frontend(), facts))
    (tmp_path / "env" / "conda-meta" / "gxx-13.json").touch()
    families = {Family.TORCHES, Family.TOOLKITS, Family.COMPILERS, Family.SYSROOTS}
    assert earlier.stale(read_marks(Settings(), environ, Frontend(), facts)) == families


def test_second_probe_reads_only_differences(tmp_path, site, facts, monkeypatch):
    from mamba_build_backend import probe

    environ = {"PATH": str(tmp_path)}
    first = look(Settings(), environ, tmp_path / "cache")
    assert first.text == "looked at this machine"

    def refused(*_, **__):
        raise AssertionError("was looked at again")

    for module, name in (
        (probe.torch, "probe_torches"),
        (probe.cuda, "probe_toolkits"),
        (probe.compiler_caches, "probe_compiler_caches"),
        (probe.gpus, "probe_gpus"),
        (probe.machine, "probe_machine"),
    ):
        monkeypatch.setattr(module, name, refused)
    (site / "ziglang-0.13.0.post1.dist-info").mkdir()
    second = look(Settings(), environ, tmp_path / "cache", earlier=Earlier(first.facts, first.marks))
    assert second.fresh == {Family.COMPILERS, Family.SYSROOTS}
    assert second.text == "using the facts of an earlier hook; looked again at: compilers, sysroots"
    assert second.facts == first.facts
