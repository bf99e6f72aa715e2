"""The strict applier of patches, held against git: what git makes it makes too, and what git refuses it refuses."""

import re
import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mamba_build_backend.core import unified_diff

LINE = st.sampled_from([b"", b"a", b"b", b"  c", b"-- a", b"++ b", b"@@ -1 +1 @@", b"d\r", b"\xff", b"\\ No newline"])
FILE = st.builds(lambda lines, end: b"\n".join(lines) + end, st.lists(LINE, max_size=14), st.sampled_from([b"", b"\n"]))
some = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def git(folder, *arguments, ok=(0,)):
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=False)
    assert done.returncode in ok, done.stderr
    return done.stdout


def diff_of(folder, old, new, context=3):
    """What git writes; empty where nothing is to be changed."""
    for name, content in (("a", old), ("b", new)):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "x.cu").write_bytes(content)
    return git(folder, "diff", "--no-index", "--no-prefix", "--text", f"-U{context}", "a/x.cu", "b/x.cu", ok=(0, 1))


def by_git(folder, content, diff):
    """The file as `git apply` leaves it; None where it refuses."""
    shutil.rmtree(folder / "tree", ignore_errors=True)
    (folder / "tree").mkdir()
    (folder / "tree" / "x.cu").write_bytes(content)
    (folder / "x.patch").write_bytes(diff)
    command = ["git", "apply", "--whitespace=nowarn", "--unidiff-zero", "../x.patch"]
    done = subprocess.run(command, cwd=folder / "tree", capture_output=True, check=False)
    return (folder / "tree" / "x.cu").read_bytes() if done.returncode == 0 else None


def by_us(content, diff):
    (change,) = unified_diff.parse(diff)
    assert change.name == "x.cu"
    return unified_diff.applied(content, change.hunks)


@some
@given(FILE, FILE, st.integers(0, 3))
def test_diff_of_two_files_turns_one_into_the_other(tmp_path, old, new, context):
    diff = diff_of(tmp_path, old, new, context)
    if diff:
        assert by_us(old, diff) == new
        assert by_git(tmp_path, old, diff) == new
        (change,) = unified_diff.parse(diff)
        assert unified_diff.is_applied(new, change.hunks)


@some
@given(FILE, FILE, FILE)
def test_accepted_patches_apply_in_git_with_the_same_result(tmp_path, old, new, other):
    diff = diff_of(tmp_path, old, new)
    if diff:
        try:
            mine = by_us(other, diff)
        except unified_diff.DoesNotFitError:
            return
        assert mine == by_git(tmp_path, other, diff)


@settings(deadline=None)
@given(FILE, st.binary(max_size=200))
def test_any_other_bytes_are_refused(content, diff):
    for text in (diff, b"--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n" + diff):
        try:
            for change in unified_diff.parse(text):
                unified_diff.applied(content, change.hunks)
        except (ValueError, unified_diff.DoesNotFitError):
            pass


def test_neither_an_offset_nor_fuzz_is_tried():
    diff = b"--- a/x.cu\n+++ b/x.cu\n@@ -2,3 +2,3 @@\n b\n-c\n+C\n d\n"
    assert by_us(b"a\nb\nc\nd\n", diff) == b"a\nb\nC\nd\n"
    for content, line in ((b"b\nc\nd\n", 2), (b"a\na\nb\nc\nd\n", 2), (b"a\nb\nc\n?\n", 4), (b"a\nb\n", 3)):
        with pytest.raises(unified_diff.DoesNotFitError) as caught:
            by_us(content, diff)
        assert (caught.value.hunk, caught.value.line) == (1, line)


def test_text_around_a_patch_is_ignored():
    diff = b"why\n\ndiff --git a/x.cu b/x.cu\nindex 1..2\n--- a/x.cu\t2026\n+++ b/x.cu\n@@ -1 +1 @@ int f()\n-a\n+b\n-- \n2.47\n"
    assert by_us(b"a\n", diff) == b"b\n"
    assert re.search(rb"^-- $", diff, re.MULTILINE)
