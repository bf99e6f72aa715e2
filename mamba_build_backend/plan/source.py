"""Choose where upstream's source comes from."""

from __future__ import annotations

from ..core.facts import Facts, SourceKind
from ..core.settings import Settings
from ..tables import ProjectVersion
from .notebook import Notebook
from .types import Choice, EmbeddedArchive, GitTag, GivenPath, IndexArchive, OwnTree, SourceOrigin


def decide_source(settings: Settings, facts: Facts, row: ProjectVersion, notebook: Notebook) -> Choice[SourceOrigin]:
    """The project's own tree, an archive, upstream's repository, or what the setting names."""
    choice = _source(settings, facts, row, notebook)
    if settings.offline:
        _check_here(choice.value, facts, row, notebook)
    return choice


def _check_here(origin: SourceOrigin, facts: Facts, row: ProjectVersion, notebook: Notebook) -> None:
    """With the setting ``offline``, downloads must already be in the cache."""
    if isinstance(origin, IndexArchive) and origin.file not in facts.fetched:
        missing, way = origin.file, f"-C source=/path/to/{origin.file}   (copied from another machine)"
    elif isinstance(origin, GitTag) and row.commit_name not in facts.fetched:
        missing = f"tag {origin.tag} of {origin.repository}"
        way = (
            f"git clone --mirror {origin.repository}   "
            "(on a machine with internet access; then copy it here and set -C source=/path/to/the/mirror)"
        )
    else:
        return
    notebook.problem(
        "source-offline",
        f"offline is set, and {missing} is not in the cache",
        f"the source of {row.title} is needed",
        way,
        "use the sdist, which contains the source",
        "-C offline=false",
    )


def _source(settings: Settings, facts: Facts, row: ProjectVersion, notebook: Notebook) -> Choice[SourceOrigin]:
    if row.is_own:
        return Choice(OwnTree(), "setting upstream: the project's own tree")
    if settings.source not in ("auto", "index", "git"):
        return _path(settings, facts, row, notebook)
    if settings.source == "auto" and row.archive_name in facts.embedded:
        return Choice(EmbeddedArchive(row.archive_name), "this sdist contains it")
    if settings.source == "git" and not row.git_commit:
        notebook.problem(
            "source-git",
            f"source=git: the commit of {row.title} is unknown, so the source could not be verified",
            "its PyPI archive is known",
            "-C source=auto",
        )
    if settings.source == "index" and not row.index_sha256:
        notebook.problem(
            "source",
            f"source=index: PyPI has no archive of {row.title} that contains the CUDA sources",
            f"the git tag {row.git_tag} has them",
            "-C source=auto",
        )
    if row.index_sha256 and (settings.source != "git" or not row.git_commit):
        return Choice(IndexArchive(row.index_file), "from PyPI, or from the cache if already downloaded")
    why = "setting source" if settings.source == "git" else "PyPI's archive contains no CUDA sources"
    git = GitTag(row.project.repository, row.git_tag, row.git_commit)
    return Choice(git, f"tag {row.git_tag}, commit {row.git_commit[:10]}: {why}")


def _path(settings: Settings, facts: Facts, row: ProjectVersion, notebook: Notebook) -> Choice[SourceOrigin]:
    """The path that the setting names; in a folder of archives, this row's archive."""
    auto = "-C source=auto   (PyPI, or upstream's repository)"
    if facts.source_kind is SourceKind.FOLDER:
        for name in (row.archive_name, row.mirror_name):
            if name in facts.source_files:
                found = GivenPath(f"{settings.source.rstrip('/')}/{name}")
                return Choice(found, "found in the folder of setting source")
        trees = [name for name in facts.source_files if name.endswith("/setup.py")]
        notebook.problem(
            "source",
            f"source: {settings.source} contains neither {row.archive_name} nor {row.mirror_name} nor a setup.py",
            f"the source of {row.title} is an archive, a tree or a git repository, or a folder that contains one",
            *(
                f"-C source={settings.source.rstrip('/')}/{name.rpartition('/')[0]}   (this folder has a setup.py)"
                for name in trees[:4]
            ),
            auto,
        )
    if facts.source_kind is SourceKind.MISSING:
        web = "://" in settings.source
        notebook.problem(
            "source",
            f"source: {settings.source} {'is not a path' if web else 'does not exist'}",
            f"the source of {row.title} is an archive, a tree or a git repository on this machine",
            *(
                [f"git clone {settings.source} /a/folder   (then -C source=/a/folder, the one with setup.py)"]
                if web
                else []
            ),
            auto,
        )
    return Choice(GivenPath(settings.source), "setting source")
