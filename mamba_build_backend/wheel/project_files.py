"""Select the files of an sdist: those that git tracks or, without git, all files that are not build results.

Tracked means in git's index: ``git add`` is enough, and a note names files that nobody added. setuptools-scm and flit
do the same. hatchling and scikit-build-core also include new files that .gitignore does not name, and so any stray file
of a work tree.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import ToolError
from ..core.paths import exists, find_program, is_dir, is_file, is_link, resolved
from ..core.process import capture
from ..core.work_folder import CACHE_TAG
from ..source import git
from ..source.locate import EMBEDDED

_SKIPPED_FOLDERS = ("__pycache__", "build", "dist", "node_modules", EMBEDDED)
_SKIPPED_FILES = (".pyc", ".whl", ".so", ".o", ".tar.gz")
_SHOWN = 5


@dataclass(frozen=True)
class ProjectFiles:
    """Regular files, sorted, and notes on omitted files."""

    paths: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def project_files(project: Path, environ: Mapping[str, str]) -> ProjectFiles:
    """Return the project's files, without hidden files at the top, PKG-INFO and embedded archives, which an sdist gets anew."""
    try:
        tracked = _tracked(project, environ)
    except ToolError as error:
        note = (
            "git cannot list the project's files, so the sdist contains all files except build results: "
            f"{error.problems[0].found}"
        )
        return ProjectFiles(tuple(sorted(_walked(project))), (note,))
    if tracked is None:
        return ProjectFiles(tuple(sorted(_walked(project))))
    return _checked(project, [name for name in tracked if _belongs(name)], _new_files(project, environ))


def _belongs(name: str) -> bool:
    return not name.startswith((".", f"{EMBEDDED}/")) and name != "PKG-INFO"


def _tracked(project: Path, environ: Mapping[str, str]) -> list[str] | None:
    """Return the names in git's index, including submodules; None if git does not track the project.

    A folder inside another repository, such as an unpacked sdist, is not tracked by that repository. Raises ToolError
    if git fails, as it does in a folder that another user owns.
    """
    if not any(exists(folder / ".git") for folder in (project, *resolved(project).parents)):
        return None
    names = _ls_files(project, environ, "--cached", "--recurse-submodules")
    return names if "pyproject.toml" in names else None


def _new_files(project: Path, environ: Mapping[str, str]) -> list[str]:
    names = _ls_files(project, environ, "--others", "--exclude-standard", "--directory", "--no-empty-directory")
    return [name for name in names if _belongs(name)]


def _ls_files(project: Path, environ: Mapping[str, str], *options: str) -> list[str]:
    program = find_program("git", environ)
    if program is None:
        raise ToolError("there is no git on PATH")
    # git quotes non-ASCII names, and names with a line end, as C strings: so the locale does not matter.
    command: list[str | Path] = [program, "-C", project, "-c", "core.quotePath=true", "ls-files", *options]
    lines = capture(command, env={**git.environment(environ), "LC_ALL": "C"}, timeout=60).splitlines()
    return [os.fsdecode(ast.literal_eval(f"b{line}")) if line.startswith('"') else line for line in lines]


def _checked(project: Path, names: list[str], new: list[str]) -> ProjectFiles:
    """Return the tracked names that are files; omits files that were deleted but are still in the index."""
    root = resolved(project)
    paths, notes = [], []
    for name in sorted(set(names)):
        path = project / name
        inside = root in resolved(path).parents
        if is_file(path) and inside:
            paths.append(path)
        elif is_link(path):
            where = "to a folder" if is_dir(path) and inside else "out of the project" if exists(path) else "nowhere"
            notes.append(f"{name} is a link that points {where}; the sdist does not contain it")
        elif is_dir(path):
            notes.append(
                f"the submodule {name} is not checked out; the sdist does not contain it (git submodule update --init {name})"
            )
    if new:
        more = f" and {len(new) - _SHOWN} more" if len(new) > _SHOWN else ""
        listed = ", ".join(new[:_SHOWN])
        notes.append(f"git does not track {listed}{more}; the sdist does not contain them (git add includes them)")
    return ProjectFiles(tuple(paths), tuple(notes))


def _walked(project: Path) -> Iterator[Path]:
    """Yield the files of a project without git: no build results, no virtual environments, no broken links."""
    for folder, folders, files in os.walk(project):
        parent = Path(folder)
        top = parent == project
        folders[:] = sorted(
            name
            for name in folders
            if name not in _SKIPPED_FOLDERS
            and not name.startswith(".")
            and not name.endswith(".egg-info")
            and not (top and name == "site" and is_file(project / "mkdocs.yml"))
            and not exists(parent / name / "pyvenv.cfg")
            and not exists(parent / name / CACHE_TAG)
        )
        for name in files:
            if name.endswith(_SKIPPED_FILES) or (top and (name.startswith(".") or name == "PKG-INFO")):
                continue
            if is_file(parent / name):
                yield parent / name
