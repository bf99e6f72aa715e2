"""Make an archive of upstream's source from its repository: the tag's commit, verified by git's own hashes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from ..core.errors import SourceError, ToolError
from ..core.paths import find_program
from ..core.process import Echo, capture
from ..core.storage import disk_errors, prepared
from ..probe.fetched import kept_repository
from ..tables import ProjectVersion

_PATIENCE = 600.0
"""Seconds for one fetch. A shallow fetch of mamba is 1 MB; the rest is for bad networks."""


def has_tag(repository: Path, row: ProjectVersion, environ: Mapping[str, str]) -> bool:
    """Whether a repository on this machine has the row's tag."""
    program = find_program("git", environ)
    try:
        return program is not None and bool(
            capture([program, "-C", repository, "tag", "--list", row.git_tag], env=environment(environ)).strip()
        )
    except ToolError:
        return False


_REACH = ("GIT_SSL_", "GIT_SSH", "GIT_PROXY", "GIT_HTTP_", "GIT_ASKPASS", "GIT_CURL")
"""git's variables for reaching a server. The others select a repository and a configuration: a git hook of the caller
sets GIT_DIR, and we must not fetch into that repository."""


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the part of the caller's environment that git gets."""
    return {name: value for name, value in environ.items() if not name.startswith("GIT_") or name.startswith(_REACH)}


def _program(row: ProjectVersion, environ: Mapping[str, str]) -> str:
    program = find_program("git", environ)
    if program is None:
        raise SourceError(
            f"the source of {row.title} is in upstream's git repository, and git is not installed",
            "git is needed to fetch it",
            (
                "apt-get install git",
                "conda install -c conda-forge git",
                "a newer -C upstream-version, whose archive on PyPI is complete",
            ),
        )
    return program


def export(
    row: ProjectVersion, repository: str, cache: Path, environ: Mapping[str, str], echo: Echo, into: Path
) -> Path:
    """Write the archive of the row's commit into the folder ``into``; return its path.

    ``repository`` is an address or a local mirror. git fetches the commit once, shallow, and checks every object
    (fetch.fsckObjects); a commit's name is the hash of its content. Raises SourceError.
    """
    program = _program(row, environ)
    env = {**environment(environ), "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    kept = kept_repository(row, cache)

    def fetch(folder: Path) -> None:
        echo(f"fetching {row.git_tag} of {repository}")
        try:
            capture([program, "init", "--quiet", "--bare", folder], env=env)
            capture(
                [program, "-C", folder, "-c", "fetch.fsckObjects=true", "fetch", "--quiet", "--depth=1", "--no-tags",
                 repository, f"refs/tags/{row.git_tag}"],
                env=env,
                timeout=_PATIENCE,
            )  # fmt: skip
            found = capture([program, "-C", folder, "rev-parse", "FETCH_HEAD^{commit}"], env=env).strip()
        except ToolError as error:
            raise SourceError(
                f"tag {row.git_tag} of {repository} could not be fetched: {error.problems[0].found}",
                f"the source of {row.title} is needed once",
                (
                    f"git clone --mirror {row.project.repository} on a machine that can, then -C source=/path/to/the/mirror",
                    "a newer -C upstream-version, whose archive on PyPI is complete",
                ),
            ) from None
        if found != row.git_commit:
            raise SourceError(
                f"tag {row.git_tag} of {repository} is commit {found}",
                f"{row.title} as released is {row.git_commit}: the tag was moved, or this is another repository",
                f"-C source={row.project.repository}",
            )

    archive = into / f"{row.name}-{row.version}.tar.gz"

    def write() -> None:
        capture(
            [program, "-C", kept, "archive", f"--prefix={row.name}-{row.version}/", "-o", archive, row.git_commit],
            env=env,
            timeout=60,
        )

    with disk_errors(cache, "-C cache-dir=/another/folder"):
        prepared(kept, fetch)
        try:
            write()
        except ToolError:
            # The cached repository is damaged or incomplete: retry with a fresh one.
            shutil.rmtree(kept, ignore_errors=True)
            prepared(kept, fetch)
            write()
    return archive
