"""Find upstream's source: in the sdist, on PyPI, in its repository, or at a path.

Its content identifies it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..core import archives
from ..core.errors import SourceError
from ..core.files import sha256
from ..core.own_copy import NAME
from ..core.paths import expanded, is_dir, is_file, matching, read_text
from ..core.process import Echo
from ..core.setting_values import is_address
from ..plan import BuildPlan
from ..plan.types import EmbeddedArchive, GitTag, IndexArchive, OwnTree
from ..probe.fetched import cached_archive
from ..probe.source import is_repository
from ..tables import ProjectVersion, load_tables
from . import git, index

EMBEDDED = "upstream"
"""The folder of an sdist that holds the upstream archives."""


@dataclass(frozen=True)
class Source:
    """An archive or a folder, and the identity of its content: a sha256, a commit, or ``self``."""

    path: Path
    digest: str
    verified: bool = True
    """Whether the content is a release of upstream."""


def embedded_archives(project: Path) -> tuple[str, ...]:
    """Return the file names of the upstream archives in this source tree; sdists contain them."""
    folder = project / EMBEDDED
    return tuple(sorted(path.name for path in matching(folder, "*.tar.gz"))) if is_dir(folder) else ()


def needs_fetch(plan: BuildPlan, cache: Path | None) -> bool:
    """Whether a build would download a source or an archive; without a cache, everything that is not embedded."""
    archives, runtime = plan.archives, plan.runtime
    if runtime is not None and (cache is None or not is_file(cached_archive(runtime, cache))):
        return True
    return (archives is not None and bool(archives.missing) and is_address(archives.mirror)) or any(
        isinstance(part.source.value, IndexArchive)
        and (cache is None or not is_file(cached_archive(part.upstream.value, cache)))
        for part in plan.parts
    )


def find(plan: BuildPlan, project: Path, cache: Path, environ: Mapping[str, str], echo: Echo, scratch: Path) -> Source:
    """Return the verified source of the plan's upstream; downloads go into ``cache``, unpacked files into ``scratch``.

    Raises SourceError if the source is not available, or is no release of upstream and ``allow-unverified`` is not set.
    """
    row, source = plan.upstream.value, plan.source.value
    if isinstance(source, OwnTree):
        return Source(project, "self")
    if isinstance(source, IndexArchive):
        return Source(index.obtain(row, cache, environ, echo), row.index_sha256)
    if isinstance(source, EmbeddedArchive):
        return _given(project / EMBEDDED / source.file, plan, scratch)
    if isinstance(source, GitTag):
        return Source(git.export(row, source.repository, cache, environ, echo, scratch), row.git_commit)
    return _from_path(expanded(source.path).absolute(), plan, cache, environ, echo, scratch)


def _from_path(
    path: Path, plan: BuildPlan, cache: Path, environ: Mapping[str, str], echo: Echo, scratch: Path
) -> Source:
    """Return the source that the setting names: a tree, an archive, or a repository."""
    row = plan.upstream.value
    if row.fork and (is_file(path) or is_file(path / "setup.py")):
        tree = _unpacked(path, scratch) if is_file(path) else path
        return Source(path, archives.tree_sha256(tree, without=NAME), verified=False)
    if is_dir(path) and row.git_commit and is_repository(path):
        checkout = is_file(path / "setup.py")
        if checkout and archives.tree_sha256(path, without=NAME) in row.tree_sha256:
            return _known(path, path, plan)
        # A checkout may be a fork, or may have the right commit without its tag: then its files decide.
        if not checkout or (not plan.allow_unverified and git.has_tag(path, row, environ)):
            if checkout:
                echo(f"building {row.git_tag} of {path}, not the files that are checked out there")
            return Source(git.export(row, str(path), cache, environ, echo, scratch), row.git_commit)
    return _given(path, plan, scratch)


def _given(path: Path, plan: BuildPlan, scratch: Path) -> Source:
    """Return the source in a file or folder that the user provides."""
    row = plan.upstream.value
    if is_dir(path):
        return _known(path, path, plan)
    try:
        digest = sha256(path)
    except OSError as error:
        raise SourceError(
            f"source: {path} cannot be read: {error.strerror}", f"the build needs the source of {row.title}", _AUTO
        ) from None
    if digest == row.index_sha256:
        return Source(path, digest)
    return _known(_unpacked(path, scratch), path, plan)


def _unpacked(archive: Path, scratch: Path) -> Path:
    folder = scratch / "given"
    shutil.rmtree(folder, ignore_errors=True)
    return archives.unpack(archive, folder)


_AUTO = "-C source=auto   (the package index, or upstream's repository)"


def _known(tree: Path, given: Path, plan: BuildPlan) -> Source:
    """Compare a tree's content with upstream's releases."""
    row = plan.upstream.value
    if not is_file(tree / "setup.py"):
        raise SourceError(f"source: {given} holds no setup.py", f"the source of {row.title} has one", _AUTO)
    if next(tree.rglob("*.cu"), None) is None:
        raise SourceError(
            f"source: {given} holds no CUDA sources (*.cu)",
            f"{row.title} is built from CUDA sources; PyPI's archives of old versions do not contain them",
            _AUTO,
        )
    digest = archives.tree_sha256(tree)
    if digest in row.tree_sha256:
        return Source(tree, digest)
    known = load_tables().versions
    other = next((item for item in known if digest in item.tree_sha256), None)
    if other is None and plan.allow_unverified:
        declared = _declared_version(tree, row)
        other = next((item for item in known if item.name == row.name and item.version == declared), row)
        if other == row:
            return Source(tree, digest, verified=False)
    if other is not None:
        name = f"upstream={other.name} -C " if other.name != row.name else ""
        fix = f"-C {name}upstream-version={other.version}   (build that version)"
        raise SourceError(f"source: {given} is {other.title}", f"the build is for {row.title}", fix)
    declared = _declared_version(tree, row)
    itself = f"; its __version__ is {declared}" if declared and declared != row.version else ""
    raise SourceError(
        f"source: {given} is not {row.title} as released: another version, changed, or patched already{itself}",
        f"the sha256 of its content is {digest}, the release has {' or '.join(row.tree_sha256)}",
        (_AUTO, "-C allow-unverified=true   (if you trust this fork; the wheel's record then says so)"),
    )


def _declared_version(tree: Path, row: ProjectVersion) -> str:
    for package in row.project.packages:
        init = tree / package / "__init__.py"
        text = read_text(init, errors="replace") if is_file(init) else ""
        if match := re.search(r"^__version__\s*=\s*['\"]([^'\"]+)", text, re.MULTILINE):
            return match[1]
    return ""


def place(source: Source, into: Path) -> Path:
    """Copy the source into a fresh folder under ``into``."""
    # The build runs this backend, not a copy that the project vendors.
    if is_file(source.path):
        tree = archives.unpack(source.path, into)
        shutil.rmtree(tree / NAME, ignore_errors=True)
        return tree
    # "tree" is a name that no build tool misinterprets.
    return archives.copy_tree(source.path, into / "tree", without=NAME)
