"""Sources that a user gives: taken if their content is what upstream released, or if anything was allowed."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from support import ROOT, tar_of, zip_of

from mamba_build_backend import plan, tables
from mamba_build_backend.core import archives, facts, settings
from mamba_build_backend.core.errors import SourceError
from mamba_build_backend.core.files import sha256
from mamba_build_backend.source import locate
from mamba_build_backend.tables import load_tables

LOADED = tables.load_tables()
FILES = {
    "setup.py": b"print()\n",
    "csrc/scan.cu": b"// kernel\n",
    "mamba_ssm/__init__.py": b'__version__ = "2.2.4"\n',
}


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A table with the tree above as 2.2.4 and its archive as 2.3.0; gives a function that plans for a source."""
    tree = tmp_path / "mamba"
    for name, data in FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(data)
    archive = tar_of(
        tmp_path / "mamba_ssm-2.3.0.tar.gz", {**FILES, "mamba_ssm/__init__.py": b'__version__ = "2.3.0"\n'}
    )
    content = archives.tree_sha256(archives.unpack(archive, tmp_path / "look"))
    shutil.rmtree(tmp_path / "look")

    def changed(row):
        if (row.name, row.version) == ("mamba-ssm", "2.2.4"):
            return replace(row, tree_sha256=(archives.tree_sha256(tree),))
        if (row.name, row.version) == ("mamba-ssm", "2.3.0"):
            return replace(row, index_sha256=sha256(archive), tree_sha256=(content,))
        return row

    known = replace(LOADED, versions=tuple(changed(row) for row in LOADED.versions))
    monkeypatch.setattr(locate, "load_tables", lambda: known)
    data = json.loads((ROOT / "tests/facts/debian12-torch2.11-cuda13.0.json").read_text())

    def find(source, version="2.2.4", **more):
        chosen = settings.load_settings({"source": str(source), "upstream-version": version, **more}, {}, {})
        made = plan.decide(chosen, facts.from_json(data["facts"]), known)
        (tmp_path / "scratch").mkdir(exist_ok=True)
        return locate.find(made, tmp_path, tmp_path / "cache", {}, lambda line: None, tmp_path / "scratch")

    return tree, archive, find


def test_released_archive_is_recognised_by_its_hash(world):
    _, archive, find = world
    source = find(archive, "2.3.0")
    assert (source.path, source.digest, source.verified) == (archive, sha256(archive), True)


def test_tree_is_recognised_by_content_not_name(world, tmp_path):
    tree, _, find = world
    source = find(tree)
    assert (source.path, source.verified) == (tree, True)
    other = tmp_path / "another name"
    shutil.copytree(tree, other)
    assert find(other).digest == source.digest


@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_repacked_content_is_recognised(world, tmp_path, pack):
    tree, _, find = world
    source = find(pack(tmp_path / "v2.2.4.archive", FILES))
    assert source.verified
    assert source.digest == archives.tree_sha256(tree)
    placed = locate.place(source, tmp_path / "placed")
    assert (placed / "csrc/scan.cu").read_bytes() == FILES["csrc/scan.cu"]


@pytest.mark.parametrize("how", ["changed", "patched"])
def test_changed_tree_is_refused_and_unchanged(world, how):
    tree, _, find = world
    (tree / "csrc/scan.cu").write_text(f"// {how}\n")
    with pytest.raises(
        SourceError, match=r"is not mamba-ssm 2\.2\.4 as released: .* changed, or patched already"
    ) as caught:
        find(tree)
    assert caught.value.exit_code == 4
    assert "-C allow-unverified=true" in str(caught.value)
    assert sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()) == sorted(FILES)
    assert (tree / "csrc/scan.cu").read_text() == f"// {how}\n"


def test_permitted_fork_is_used_and_marked(world):
    tree, _, find = world
    (tree / "csrc/scan.cu").write_text("// ours\n")
    source = find(tree, **{"allow-unverified": "true"})
    assert not source.verified
    assert source.digest == archives.tree_sha256(tree)


def test_fork_with_its_own_version_follows_the_named_version(world):
    tree, _, find = world
    (tree / "mamba_ssm/__init__.py").write_text('__version__ = "2.2.4+mine"\n')
    assert not find(tree, "2.3.0", **{"allow-unverified": "true"}).verified


def test_a_fork_of_another_version_than_the_planned_one_is_named(world):
    tree, _, find = world
    (tree / "csrc/scan.cu").write_text("// ours\n")
    with pytest.raises(SourceError, match=r"is mamba-ssm 2\.2\.4; the build is for mamba-ssm 2\.3\.0") as caught:
        find(tree, "2.3.0", **{"allow-unverified": "true"})
    assert "-C upstream-version=2.2.4" in str(caught.value)


@pytest.mark.parametrize("allowed", ["true", "false"])
def test_other_released_version_is_always_named(world, allowed):
    tree, _, find = world
    with pytest.raises(SourceError, match=r"is mamba-ssm 2\.2\.4; the build is for mamba-ssm 2\.3\.0"):
        find(tree, "2.3.0", **{"allow-unverified": allowed})


@pytest.mark.parametrize("allowed", ["true", "false"])
@pytest.mark.parametrize(
    ("lost", "told"), [("setup.py", r"holds no setup\.py"), ("csrc/scan.cu", r"holds no CUDA sources \(\*\.cu\)")]
)
def test_archive_without_kernels_is_always_refused(world, tmp_path, lost, told, allowed):
    _, _, find = world
    files = {name: data for name, data in FILES.items() if name != lost}
    with pytest.raises(SourceError, match=told) as caught:
        find(tar_of(tmp_path / "mamba_ssm-2.2.4.tar.gz", files), **{"allow-unverified": allowed})
    assert "-C source=auto" in str(caught.value)


def test_damaged_and_missing_archives_are_reported(world, tmp_path):
    _, _, find = world
    (tmp_path / "a.tar.gz").write_bytes(b"x")
    with pytest.raises(SourceError, match=r"a\.tar\.gz is damaged"):
        find(tmp_path / "a.tar.gz")
    with pytest.raises(SourceError, match=r"b\.tar\.gz cannot be read: No such file"):
        find(tmp_path / "b.tar.gz")


def test_an_sdists_own_archive_is_verified_like_any_other(world, tmp_path):
    _, archive, find = world
    (tmp_path / "upstream").mkdir()
    shutil.copyfile(archive, tmp_path / "upstream" / archive.name)
    assert locate.embedded_archives(tmp_path) == (archive.name,)
    made = find(tmp_path / "upstream" / archive.name, "2.3.0")
    assert made.digest == sha256(archive)


@pytest.mark.parametrize(
    "row",
    [row for row in LOADED.versions if row.index_sha256][:1] + list(LOADED.versions[:1]),
    ids=lambda row: row.title,
)
def test_every_row_knows_the_content_of_its_archive_and_of_its_tag(row):
    assert len(row.tree_sha256) == bool(row.index_sha256) + bool(row.git_commit)


def test_no_two_versions_have_the_same_content():
    trees = [tree for row in load_tables().versions for tree in row.tree_sha256]
    assert len(trees) == len(set(trees)) >= 75


@pytest.mark.parametrize("command", ["doctor", "build"])
def test_missing_source_is_reported_before_any_install(command, clean_env, tmp_path):
    facts_option = ["--facts", str(ROOT / "tests/facts/source-missing.json")] if command == "doctor" else []
    done = subprocess.run(
        [sys.executable, "-m", "mamba_build_backend", command, *facts_option, "-C", f"source={tmp_path}/nowhere"],
        cwd=ROOT, env=clean_env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    words = " ".join((done.stdout + done.stderr).split())
    assert "nowhere does not exist; the source of mamba-ssm" in words
    assert "Traceback" not in done.stderr
