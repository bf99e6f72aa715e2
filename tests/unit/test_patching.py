"""Patches: chosen by the plan, applied exactly where they say, or not at all."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace

import pytest
from support import ROOT, typed

from mamba_build_backend import build_requires, plan, tables
from mamba_build_backend.core.errors import SourceError
from mamba_build_backend.core.work import BuildContext
from mamba_build_backend.plan.types import GivenPath
from mamba_build_backend.probe import recording
from mamba_build_backend.source import patching, prepare
from mamba_build_backend.tables import PATCHES, PatchRow, Project, ProjectVersion
from mamba_build_backend.tables.projects import PatchKind

LOADED = tables.load_tables()
BEFORE = "".join(f"line {n}\n" for n in range(1, 21))
PATCH = """\
--- a/csrc/a.cuh
+++ b/csrc/a.cuh
@@ -4,3 +4,3 @@
 line 4
-line 5
+five
 line 6
@@ -14,3 +14,3 @@
 line 14
-line 15
+fifteen
 line 16
"""


@pytest.fixture
def series(tmp_path, monkeypatch):
    """A patch, and a tree that it fits."""
    monkeypatch.setattr(patching, "PATCHES", tmp_path / "patches")
    (tmp_path / "patches").mkdir()
    (tmp_path / "patches/0001-a.patch").write_text(PATCH)
    (tmp_path / "tree/csrc").mkdir(parents=True)
    (tmp_path / "tree/csrc/a.cuh").write_text(BEFORE)
    return PatchRow("0001-a.patch", "mamba-ssm", "<2", ">=13", "", "", "line 5 is gone"), tmp_path / "tree"


def apply(row, tree):
    patching.apply_patches([row], tree, "mamba-ssm 1.0")


def test_fitting_patch_is_applied_and_leaves_nothing_else(series):
    row, tree = series
    apply(row, tree)
    assert (tree / "csrc/a.cuh").read_text() == BEFORE.replace("line 5\n", "five\n").replace("line 15\n", "fifteen\n")
    assert [path.name for path in (tree / "csrc").iterdir()] == ["a.cuh"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace("line 15\n", "another 15\n"), "hunk 2, line 15"),
        (lambda text: text.replace("line 4\n", "another 4\n"), "hunk 1, line 4"),
        (lambda text: "one line more\n" + text, "hunk 1, line 4"),
        (lambda text: text[:60], "does not fit"),
        (lambda text: text.replace("line 5\n", "five\n").replace("line 15\n", "fifteen\n"), "is already applied"),
    ],
    ids=["other line", "other context", "moved by a line", "cut short", "patched before"],
)
def test_a_patch_that_does_not_fit_exactly_is_refused_whole(series, change, told):
    row, tree = series
    (tree / "csrc/a.cuh").write_text(change(BEFORE))
    with pytest.raises(SourceError) as caught:
        apply(row, tree)
    text = "\n".join(caught.value.lines())
    assert told in text
    assert "0001-a.patch" in text
    assert "line 5 is gone" in text
    assert (tree / "csrc/a.cuh").read_text() == change(BEFORE), "nothing half-made"


def fork(tree, content, row, tmp_path, monkeypatch, echo=print):
    """The plan to build a changed source, and where."""
    monkeypatch.setattr(prepare, "PATCHES", tmp_path / "patches")
    (tree / "csrc/a.cuh").write_text(content)
    (tree / "setup.py").write_text("")
    (tree / "csrc/a.cu").write_text("")
    chosen, found = recording.load(ROOT / "tests/facts/debian12-torch2.11-cuda13.0.json", {"allow-unverified": "true"})
    made = plan.decide(chosen, found, LOADED)
    made = replace(made, source=plan.Choice(GivenPath(str(tree)), "test"), patches=plan.Choice((row,), "test"))
    (tmp_path / "work").mkdir()
    return made, BuildContext(tmp_path / "work", tmp_path / "log", os.environ, echo)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (BEFORE.replace("line 5\n", "five\n").replace("line 15\n", "fifteen\n"), "is already applied"),
        (BEFORE.replace("line 15\n", "another 15\n"), "hunk 2, line 15"),
    ],
    ids=["patched already", "another version"],
)
def test_fork_that_no_patch_fits_is_refused_and_unchanged(series, tmp_path, monkeypatch, content, told):
    row, tree = series
    made, shop = fork(tree, content, row, tmp_path, monkeypatch)
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    with pytest.raises(SourceError, match="does not fit") as caught:
        prepare.prepare_one(made, tmp_path, tmp_path / "cache", shop, patched=True)
    assert told in str(caught.value)
    assert {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()} == before
    assert not (tmp_path / "work/source/.content").exists(), "the next build does not take it for done"


@pytest.mark.parametrize("fits", [True, False])
def test_unfitting_fix_of_a_fork_is_reported_and_not_recorded(series, tmp_path, monkeypatch, fits):
    row, tree = series
    said = []
    content = BEFORE if fits else BEFORE.replace("line 15\n", "another 15\n")
    made, shop = fork(tree, content, replace(row, kind=PatchKind.FIX), tmp_path, monkeypatch, said.append)
    # The second build in this folder takes what the first prepared.
    for _ in range(2):
        part = prepare.prepare_one(made, tmp_path, tmp_path / "cache", shop, patched=True)
        (origin,) = prepare.origins([part])
        assert origin["patches"] == (["0001-a.patch"] if fits else [])
        assert (part.tree / "csrc/a.cuh").read_text() == (patched(BEFORE) if fits else content)
    told = "fixing results with 0001-a.patch: line 5 is gone"
    if not fits:
        told = (
            "note: the patch 0001-a.patch does not fit this source of mamba-ssm 2.3.2.post1 (hunk 2, line 15 of csrc/a.cuh): "
            "building without this fix, so its results stay unchanged (line 5 is gone)"
        )
    assert said.count(told) == 1


def patched(text):
    return text.replace("line 5\n", "five\n").replace("line 15\n", "fifteen\n")


@pytest.mark.parametrize(("shown", "concern"), [("", "who"), ("how", "")])
def test_fix_names_its_evidence_and_its_users(shown, concern):
    data = {
        "file": "a",
        "upstream": "mamba-ssm",
        "versions": "<2",
        "why": "w",
        "reported": "r",
        "until": "u",
        "kind": "fix",
    }
    data |= {"shown": shown, "concern": concern, "shown-source": "s"}
    with pytest.raises(ValueError, match="a fix says how it was shown and whose results change"):
        tables._patch_row({key: value for key, value in data.items() if value})


def test_a_link_out_of_the_tree_is_not_followed(series, tmp_path):
    row, tree = series
    (tree / "csrc/a.cuh").rename(tmp_path / "somebody.cuh")
    (tree / "csrc/a.cuh").symlink_to(tmp_path / "somebody.cuh")
    with pytest.raises(SourceError, match=r"there is no csrc/a\.cuh"):
        apply(row, tree)
    assert (tmp_path / "somebody.cuh").read_text() == BEFORE


def test_one_unfitting_file_leaves_all_files_unchanged(series, tmp_path):
    row, tree = series
    (tmp_path / "patches/0001-a.patch").write_text(PATCH + PATCH.replace("a.cuh", "b.cuh"))
    (tree / "csrc/b.cuh").write_text(BEFORE.replace("line 15\n", "another 15\n"))
    with pytest.raises(SourceError, match=r"hunk 2, line 15 of csrc/b\.cuh"):
        apply(row, tree)
    assert (tree / "csrc/a.cuh").read_text() == BEFORE


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda text: text[: text.index(" line 16")], "line 12 does not match the hunk's header"),
        (lambda text: text.replace("@@ -14,3", "@@ -14,4"), "does not match the hunk's header"),
        (lambda text: text.replace("b/csrc", "b/src"), "only changes within a file"),
        (lambda text: text.replace("a/csrc", "a/../csrc"), "names no file in the tree"),
        (lambda text: text.replace("--- a/csrc/a.cuh", "--- /dev/null"), "only changes within a file"),
        (lambda text: text + text, "names a file twice"),
        (lambda _: "", "the diff changes no line"),
        (lambda text: text.partition("\n@@")[2], "is a hunk of no file"),
    ],
    ids=["cut", "count", "renamed", "outside", "new file", "twice", "empty", "no hunk"],
)
def test_damaged_patch_is_reported(series, tmp_path, damage, told):
    row, tree = series
    (tmp_path / "patches/0001-a.patch").write_text(damage(PATCH))
    with pytest.raises(SourceError, match="cannot be read") as caught:
        apply(row, tree)
    assert told in str(caught.value)
    assert (tree / "csrc/a.cuh").read_text() == BEFORE


def test_missing_file_is_reported(series):
    row, tree = series
    (tree / "csrc/a.cuh").unlink()
    with pytest.raises(SourceError, match="does not fit this source"):
        apply(row, tree)


def test_missing_patch_is_reported(series):
    row, tree = series
    with pytest.raises(SourceError, match="is missing"):
        apply(PatchRow("0002-b.patch", row.upstream, "", "", "", "", "b"), tree)


@pytest.mark.parametrize(
    ("name", "version", "cuda", "why"),
    [
        ("mamba-ssm", "1.9", "13.0", ""),
        ("mamba-ssm", "1.9", "12.8", "it is for CUDA >=13"),
        ("mamba-ssm", "2.0", "13.0", "it is for mamba-ssm <2"),
        ("causal-conv1d", "1.0", "13.0", "it is for mamba-ssm <2"),
        ("mamba-ssm", "1.9", "", "it is for CUDA >=13"),
    ],
)
def test_patch_applies_to_the_versions_of_its_row(name, version, cuda, why):
    assert (
        PatchRow("a", "mamba-ssm", "<2", ">=13", why="w").misfit(
            ProjectVersion(Project(name), version), cuda, "2.11", 17
        )
        == why
    )


def test_a_patch_may_be_for_a_language_standard():
    patch = PatchRow("a", "mamba-ssm", "", cxx=">=20", why="w")
    row = ProjectVersion(Project("mamba-ssm"), "1.9")
    assert patch.misfit(row, "13.0", "2.15", 20) == ""
    assert patch.misfit(row, "13.0", "2.11", 17) == "it is for C++ >=20"


def test_patch_files_and_series_agree():
    files = {path.relative_to(PATCHES).as_posix() for path in PATCHES.rglob("*.patch")}
    assert files == {row.file for row in LOADED.patches}
    assert files


@pytest.mark.parametrize("row", LOADED.patches, ids=lambda row: row.file)
def test_patch_names_known_versions_and_short_context(row):
    assert bool(row.copies) != any(row.concerns(item) for item in LOADED.versions)
    text = (PATCHES / row.file).read_text()
    assert all(line[0] in " +-@" for line in text.splitlines())
    for hunk in re.split(r"^@@.*$", text, flags=re.MULTILINE)[1:]:
        kept = [line for line in hunk.splitlines() if line.startswith(" ")]
        assert len(kept) <= 6, "three lines of context before and after"


def test_patch_needs_no_tool(tmp_path):
    """It is applied where neither patch nor git is installed, as in a slim container."""
    chosen, found = recording.load(ROOT / "tests" / "facts" / "cuda13-mamba-2.2.4.json", {})
    planned = plan.decide(chosen, found, LOADED)
    assert planned.patches.value
    unpatched = replace(planned, patches=plan.Choice((), "test"))
    asked = build_requires.requires_for_wheel(planned, tmp_path)
    assert asked == build_requires.requires_for_wheel(unpatched, tmp_path)


def command(*arguments):
    return typed("patches", *arguments)


def test_patches_command_lists_what_applies_and_reasons():
    machine = ROOT / "tests" / "facts" / "debian12-torch2.11-cuda13.0.json"
    done = command("--facts", str(machine), "-C", "upstream-version=2.2.4")
    assert done.returncode == 0
    assert re.search(
        r"^  applied      mamba-ssm/0002-cub-3-before-2.2.6.patch: CUDA 13's CUB 3", done.stdout, re.MULTILINE
    )
    assert re.search(
        r"^  not applied  mamba-ssm/0001-cub-3-before-2.1.patch: it is for mamba-ssm <2.1", done.stdout, re.MULTILINE
    )
    assert re.search(
        r"^  fix          mamba-ssm/0008-\S+: the backward scan of complex numbers", done.stdout, re.MULTILINE
    )
    asked = ("--json", "--facts", str(machine), "-C", "upstream-version=2.3.0")
    data = json.loads(command(*asked).stdout)
    assert data["schema"] == 1
    assert {item["kind"] for item in data["applied"]} == {"fix"}
    assert "mamba-ssm/0008-complex-backward-of-several-groups.patch" in {item["file"] for item in data["applied"]}
    data = json.loads(command(*asked, "-C", "fixes=false").stdout)
    assert data["applied"] == []
    assert {
        "file": "mamba-ssm/0008-complex-backward-of-several-groups.patch",
        "why": "setting fixes: upstream's own results",
    } in data["not-applied"]
    assert {item["file"] for item in data["not-applied"]} == {row.file for row in LOADED.patches}


def test_check_names_patches_that_cannot_be_tried(tmp_path):
    assert shutil.which("git")
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "empty.git")], check=True)
    done = command("check", "-C", f"source={tmp_path / 'empty.git'}", "-C", f"cache-dir={tmp_path / 'cache'}")
    assert done.returncode == 4
    assert "could not be fetched" in done.stdout
    assert re.search(r"^0 of \d+ fit$", done.stdout, re.MULTILINE)
