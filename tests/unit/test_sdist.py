"""The files of an sdist: those that git tracks, or without git those of the folder; and no traceback."""

import os
import re
import shutil
import subprocess

import pytest
from support import ROOT

from mamba_build_backend.wheel.project_files import project_files

ENV = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


def git(folder, *arguments):
    subprocess.run(["git", "-C", folder, *arguments], env=ENV, check=True, capture_output=True)


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.fsencode(name))


@pytest.fixture
def project(tmp_path):
    """A project in git, with one commit."""
    folder = tmp_path / "project"
    write(folder, "pyproject.toml", "setup.py", "src/a.cu", ".gitignore", "build/tool.py", "lib/prebuilt.so")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "all")
    return folder


def names(folder, env=ENV):
    listed = project_files(folder, env)
    return {path.relative_to(folder).as_posix() for path in listed.paths}, " / ".join(listed.notes)


ALL = {"pyproject.toml", "setup.py", "src/a.cu", "build/tool.py", "lib/prebuilt.so"}

PATTERNS = (
    r"(CHANGELOG|CONTRIBUTING|README|SECURITY)\.md|LICENSE|build-constraints\.txt|mkdocs\.yml|pyproject\.toml",
    r"mamba_build_backend/([a-z_0-9]+/)*[a-z_0-9]+\.(py|toml)|mamba_build_backend/py\.typed",
    r"mamba_build_backend/payload/licenses/[a-z0-9-]+\.txt",
    r"mamba_build_backend/projects/[a-z0-9_/.-]+\.(toml|md|txt|py|cu|cuh|h)",
    r"mamba_build_backend/schemas/[a-z]+-\d\.json",
    r"mamba_build_backend/stable/include/[A-Za-z0-9_/]+\.(h|cuh)",
    r"patches/series\.toml|patches/[a-z0-9-]+/\d{4}-[a-z0-9.-]+\.patch",
    r"docs/([a-z]+/)?[a-z-]+\.(md|css|js|svg)|docs/templates/(languages\.py|partials/(languages/)?[A-Za-z-]+\.html)",
    r"benchmarks/[a-z_]+\.(md|py)|benchmarks/(README\.md|results\.json)",
    r"distributions/addresses\.toml|distributions/[a-z0-9-]+/(README\.md|pyproject\.toml|from_checkout\.py)",
    r"release/[a-z_]+\.(py|toml)",
    r"manylinux/(README\.md|Snakefile|Dockerfile|build-and-prove|check-root|[a-z]+\.(py|toml)|profiles/[a-z]+/config\.yaml)",
    r"tests/.+\.(py|ini|json|toml|txt|md|cu|cpp|cuh|h|cc)",
    r"docs/explain/[a-z]+\.(js|json|py)|docs/templates/page_policy\.py",
)


def test_the_sdist_of_this_project_holds_files_of_these_kinds_and_no_other():
    held, _ = names(ROOT, dict(os.environ))
    assert [name for name in sorted(held) if not any(re.fullmatch(pattern, name) for pattern in PATTERNS)] == []
    for pattern in PATTERNS:
        if "projects/" not in pattern:
            assert any(re.fullmatch(pattern, name) for name in held), pattern
    if (ROOT / ".git").exists():
        lines = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert held == {name for name in lines.splitlines() if not name.startswith(".") and (ROOT / name).is_file()}


def test_tracked_files_are_in_the_sdist_and_new_ones_named(project):
    write(project, "scratch/secret.txt", "src/b.cu")
    held, notes = names(project)
    assert held == ALL
    assert notes == "git does not track scratch/, src/b.cu; the sdist does not contain them (git add includes them)"
    git(project, "add", "src/b.cu")
    assert names(project)[0] == {*ALL, "src/b.cu"}, "no commit is needed"


def test_an_ignored_file_is_neither_in_nor_named(project):
    (project / ".gitignore").write_text("*.log\n")
    write(project, "a.log")
    assert names(project) == (ALL, "")


def test_deleted_tracked_file_is_left_out(project):
    (project / "setup.py").unlink()
    assert names(project) == (ALL - {"setup.py"}, "")


@pytest.mark.parametrize("name", ["src/Zustandsräume.cu", "src/a\nb.cu", 'src/"quoted".cu', "src/a b\t.cu"])
def test_names_of_every_kind_are_packed(project, name):
    write(project, name)
    git(project, "add", "-A")
    assert names(project) == ({*ALL, name}, "")
    assert names(project, {**ENV, "LC_ALL": "C", "LANG": "C"})[0] == {*ALL, name}


def test_name_that_is_not_utf_8_is_packed(project):
    name = os.fsdecode(b"src/\xff.cu")
    write(project, name)
    git(project, "add", "-A")
    assert names(project)[0] == {*ALL, name}


def test_links_are_followed_only_within_the_project(project, tmp_path):
    write(tmp_path, "outside/private.txt")
    (project / "same.cu").symlink_to("src/a.cu")
    (project / "private.txt").symlink_to(tmp_path / "outside/private.txt")
    (project / "folder").symlink_to("src")
    (project / "gone").symlink_to("nothing")
    git(project, "add", "-A")
    held, notes = names(project)
    assert held == {*ALL, "same.cu"}
    for line in (
        "folder is a link that points to a folder",
        "gone is a link that points nowhere",
        "private.txt is a link that points out",
    ):
        assert line in notes


def test_a_submodule_is_in_if_it_is_checked_out_and_else_named(project, tmp_path):
    inner = tmp_path / "inner"
    write(inner, "kernel.cu")
    git(inner, "init", "-q")
    git(inner, "add", "-A")
    git(inner, "commit", "-qm", "all")
    git(project, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), "third_party/inner")
    held, notes = names(project)
    assert held == {*ALL, "third_party/inner/kernel.cu"}
    assert notes == ""
    git(project, "submodule", "--quiet", "deinit", "-f", "third_party/inner")
    held, notes = names(project)
    assert held == ALL
    assert "the submodule third_party/inner is not checked out" in notes
    assert "git submodule update --init third_party/inner" in notes


@pytest.mark.parametrize("ignored", [True, False])
def test_unpacked_sdist_in_a_foreign_repository_is_whole(project, ignored):
    inner = project / "unpacked"
    write(inner, "pyproject.toml", "setup.py", "PKG-INFO", "build/left.py", "src/a.cu", "src/a.so")
    if ignored:
        (project / ".gitignore").write_text("/unpacked/\n")
    assert names(inner) == ({"pyproject.toml", "setup.py", "src/a.cu"}, "")


def test_a_project_in_a_folder_of_a_repository_is_listed_for_itself(project):
    write(project, "python/pyproject.toml", "python/a.py")
    git(project, "add", "-A")
    assert names(project / "python") == ({"pyproject.toml", "a.py"}, "")


def test_sdist_without_git_holds_all_but_build_results(project, tmp_path):
    shutil.rmtree(project / ".git")
    write(project, "venv/pyvenv.cfg", "dist/a.whl", "src/b.cu")
    (project / "gone").symlink_to("nothing")
    assert names(project) == ({"pyproject.toml", "setup.py", "src/a.cu", "src/b.cu"}, "")


def test_repository_without_git_is_reported(project, tmp_path):
    (tmp_path / "empty").mkdir()
    held, notes = names(project, {"PATH": str(tmp_path / "empty")})
    assert held == {"pyproject.toml", "setup.py", "src/a.cu"}
    assert "there is no git on PATH" in notes


def test_refusal_of_git_is_reported(project, tmp_path):
    """As in a container, where the folder belongs to another user."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/git"
    program.write_text("#!/bin/sh\necho fatal: detected dubious ownership in repository >&2\nexit 128\n")
    program.chmod(0o755)
    held, notes = names(project, {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"})
    assert held == {"pyproject.toml", "setup.py", "src/a.cu"}
    assert "dubious ownership" in notes


def test_variables_of_a_git_hook_are_ignored(project, tmp_path):
    assert names(project, {**ENV, "GIT_DIR": str(tmp_path), "GIT_WORK_TREE": "/"}) == (ALL, "")
