"""Sources from upstream's repository: by tag, verified by commit, kept, and nothing left behind where it fails."""

import json
import os
import shutil
import subprocess
import tarfile
from dataclasses import replace

import pytest
from support import ROOT

from mamba_build_backend import plan
from mamba_build_backend.core import archives, facts, settings
from mamba_build_backend.core.errors import SourceError
from mamba_build_backend.plan import Choice
from mamba_build_backend.plan.types import GivenPath
from mamba_build_backend.probe.source import is_repository
from mamba_build_backend.source import git, locate
from mamba_build_backend.tables import Project, ProjectVersion, load_tables

GIT = shutil.which("git")
ENV = {
    **os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org",
}  # fmt: skip


def run_git(folder, *arguments):
    return subprocess.run(
        [GIT, "-C", str(folder), *arguments], env=ENV, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def upstream(tmp_path):
    """A repository with a tag, and the row that knows it."""
    assert GIT, "git is what is tested here"
    work = tmp_path / "work"
    (work / "csrc").mkdir(parents=True)
    (work / "setup.py").write_text("print()\n")
    (work / "csrc/a.cu").write_text("// kernel\n")
    run_git(tmp_path, "init", "-q", "work")
    run_git(work, "add", ".")
    run_git(work, "commit", "-qm", "one")
    run_git(work, "tag", "-am", "release", "v1.0")
    commit = run_git(work, "rev-parse", "v1.0^{commit}").strip()
    row = ProjectVersion(Project("mamba-ssm", repository=str(work)), "1.0", git_tag="v1.0", git_commit=commit)
    return work, row


def export(row, tmp_path, repository=None, env=ENV):
    said = []
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    path = git.export(row, repository or row.project.repository, tmp_path / "cache", env, said.append, out)
    return path, said


def test_tag_becomes_an_archive_like_an_sdist_of_pypi(upstream, tmp_path):
    _, row = upstream
    path, said = export(row, tmp_path)
    with tarfile.open(path) as tar:
        assert sorted(item.name for item in tar if item.isfile()) == [
            "mamba-ssm-1.0/csrc/a.cu",
            "mamba-ssm-1.0/setup.py",
        ]
    assert said == [f"fetching v1.0 of {row.project.repository}"]
    tree = archives.unpack(path, tmp_path / "tree")
    assert (tree / "csrc/a.cu").is_file()


def test_git_source_is_fetched_once(upstream, tmp_path):
    work, row = upstream
    export(row, tmp_path)
    shutil.rmtree(work)
    _, said = export(row, tmp_path)
    assert said == []


def test_bare_mirror_serves_as_a_repository(upstream, tmp_path):
    work, row = upstream
    run_git(tmp_path, "clone", "-q", "--mirror", str(work), "mirror.git")
    assert is_repository(tmp_path / "mirror.git")
    export(row, tmp_path, str(tmp_path / "mirror.git"))


def test_moved_tag_is_refused_and_leaves_nothing(upstream, tmp_path):
    work, row = upstream
    (work / "setup.py").write_text("import os; os.system('bad')\n")
    run_git(work, "commit", "-qam", "two")
    run_git(work, "tag", "-f", "v1.0")
    with pytest.raises(SourceError, match="the tag was moved, or this is another repository"):
        export(row, tmp_path)
    assert [path.name for path in (tmp_path / "cache/git").iterdir() if not path.name.endswith(".lock")] == []


def test_unreachable_repository_is_reported_with_fixes(upstream, tmp_path):
    _, row = upstream
    with pytest.raises(SourceError) as caught:
        export(row, tmp_path, str(tmp_path / "nowhere"))
    text = "\n".join(caught.value.lines())
    assert "could not be fetched" in text
    assert "git clone --mirror" in text
    assert "-C source=/path/to/the/mirror" in text


def test_missing_git_is_reported_with_a_fix(upstream, tmp_path):
    _, row = upstream
    with pytest.raises(SourceError, match="git is not installed"):
        export(row, tmp_path, env={**ENV, "PATH": str(tmp_path)})


def find(row, source, tmp_path, **more):
    """What a plan for this row makes of the setting source."""
    data = json.loads((ROOT / "tests/facts/debian12-torch2.11-cuda13.0.json").read_text())
    made = plan.decide(settings.Settings(**more), facts.from_json(data["facts"]), load_tables())
    made = replace(made, upstream=Choice(row, "test"), source=Choice(GivenPath(str(source)), "test"))
    (tmp_path / "scratch").mkdir(exist_ok=True)
    return locate.find(made, tmp_path, tmp_path / "cache", ENV, print, tmp_path / "scratch")


def test_checkout_gives_the_commit_of_the_tag_not_its_working_files(upstream, tmp_path, capsys):
    work, row = upstream
    (work / "csrc/a.cu").write_text("// changed since\n")
    source = find(row, work, tmp_path)
    assert source.digest == row.git_commit
    tree = locate.place(source, tmp_path / "placed")
    assert (tree / "csrc/a.cu").read_text() == "// kernel\n"
    assert f"building v1.0 of {work}, not the files that are checked out there" in capsys.readouterr().out


def test_checkout_without_the_tag_is_recognised_by_its_files(upstream, tmp_path):
    work, row = upstream
    run_git(work, "tag", "-d", "v1.0")
    row = replace(row, tree_sha256=(archives.tree_sha256(work),))
    source = find(row, work, tmp_path)
    assert (source.path, source.verified) == (work, True)


def test_permitted_fork_checkout_is_used_unchanged(upstream, tmp_path):
    work, row = upstream
    (work / "csrc/a.cu").write_text("// ours\n")
    source = find(row, work, tmp_path, allow_unverified=True)
    assert (source.path, source.verified) == (work, False)


def test_a_bare_mirror_whose_tag_was_moved_is_refused(upstream, tmp_path):
    work, row = upstream
    run_git(tmp_path, "clone", "-q", "--mirror", str(work), "mirror.git")
    assert find(row, tmp_path / "mirror.git", tmp_path).digest == row.git_commit
    with pytest.raises(SourceError, match="the tag was moved"):
        find(replace(row, git_commit="0" * 40), tmp_path / "mirror.git", tmp_path)


def test_folder_without_a_source_is_named(upstream, tmp_path):
    _, row = upstream
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"holds no setup\.py; the source of mamba-ssm 1\.0 has one"):
        find(row, tmp_path / "empty", tmp_path)
