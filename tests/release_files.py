"""Write ``projects/NAME/files.toml``: the content of each source file in each release. Read the diff.

Give a mirror of each repository, ``git clone --mirror URL``, and the archives of releases that have no tag::

    python tests/release_files.py mamba-ssm=/path/to/mamba.git causal-conv1d=/path/to/causal-conv1d.git causal_conv1d-1.7.0.tar.gz
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from mamba_build_backend.core.files import sha256  # noqa: E402
from mamba_build_backend.core.projects import PROJECTS  # noqa: E402
from mamba_build_backend.tables import ProjectVersion, load_tables  # noqa: E402
from mamba_build_backend.tables.forks import SOURCES  # noqa: E402
from mamba_build_backend.tables.released import FILES, digest  # noqa: E402

HEAD = "# The source files of each release, by content: made by tests/release_files.py, with what it needs. Each line: the first digits of\n# git's hash, and the first and the last release that hold it.\n"


def of_tag(repository: str, row: ProjectVersion) -> Iterator[tuple[str, bytes]]:
    """The files of a tag's commit."""
    command = ["git", "-C", repository, "archive", "--format=tar", row.git_commit]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as git, tarfile.open(fileobj=git.stdout, mode="r|") as tar:
        yield from of_tar(tar, "")


def of_tar(tar: tarfile.TarFile, top: str) -> Iterator[tuple[str, bytes]]:
    """The sources in an open archive, below its folder ``top``."""
    for member in tar:
        if member.isfile() and member.name.startswith(top) and member.name.endswith(SOURCES):
            file = tar.extractfile(member)
            assert file is not None
            yield member.name[len(top) :], file.read()


def files_of(row: ProjectVersion, repository: str, archives: dict[str, Path]) -> dict[str, str]:
    """The digest of each source of a release."""
    if row.git_commit:
        return {name: digest(data) for name, data in of_tag(repository, row)}
    with tarfile.open(archives[row.index_sha256]) as tar:
        return {name: digest(data) for name, data in of_tar(tar, row.index_file.removesuffix(".tar.gz") + "/")}


def table(rows: list[ProjectVersion], repository: str, archives: dict[str, Path]) -> str:
    """The file's text."""
    held: dict[str, list[str | None]] = {}
    for number, row in enumerate(rows):
        for name, content in files_of(row, repository, archives).items():
            held.setdefault(name, [None] * len(rows))[number] = content
    out = [HEAD]
    for name in sorted(held):
        out.append(f'\n["{name}"]\n')
        spans: dict[str, list[tuple[str, str]]] = {}
        for content, group in groupby(zip(held[name], rows), key=lambda item: item[0]):
            versions = [row.version for _, row in group]
            if content:
                spans.setdefault(content, []).append((versions[0], versions[-1]))
        for content, found in spans.items():
            assert len(found) == 1, f"{name}: the content {content} comes and goes: {found}"
            out.append(f'{content} = "{" ".join(dict.fromkeys(found[0]))}"\n')
    return "".join(out)


def main() -> None:
    """Write each project's file."""
    mirrors = dict(item.split("=", 1) for item in sys.argv[1:] if "=" in item)
    archives = {sha256(Path(item)): Path(item) for item in sys.argv[1:] if "=" not in item}
    if not mirrors:
        sys.exit(__doc__)
    for project, repository in mirrors.items():
        text = table(load_tables().versions_of(project), repository, archives)
        (PROJECTS / project / FILES).write_text(text, encoding="utf-8")
        print(f"projects/{project}/{FILES}: {text.count(' = ')} contents, {len(text)} bytes")


if __name__ == "__main__":
    main()
