"""Archives and trees of sources: unpacked safely, copied without what builds leave behind, and known by their content."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ..core.errors import SourceError
from ..core.files import sha256
from ..core.paths import is_dir, is_link

_left_by_builds = shutil.ignore_patterns(".git", "__pycache__", "*.egg-info", "build", "dist", ".venv", "venv")


def unpack(archive: Path, into: Path) -> Path:
    """Unpack a tar or zip archive into a new folder, refusing members that lead out of it; return its single top folder.

    Raises SourceError, and leaves no folder then.
    """
    into.mkdir(parents=True)
    try:
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, into)
        else:
            _unpack_tar(archive, into)
        tops = list(into.iterdir())
        if len(tops) != 1 or not is_dir(tops[0]):
            raise SourceError(f"{archive.name} does not hold one folder", "a source archive has one")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, OSError) as error:
        shutil.rmtree(into, ignore_errors=True)
        if isinstance(error, OSError) and not isinstance(error, tarfile.TarError) and error.errno is not None:
            raise  # the disk's, not the archive's
        raise SourceError(
            f"{archive.name} is damaged: {str(error).splitlines()[0] if str(error) else 'cut off'}",
            "a whole archive is needed",
            "-C source=auto",
        ) from None
    except SourceError:
        shutil.rmtree(into, ignore_errors=True)
        raise
    return tops[0]


def _unpack_tar(archive: Path, into: Path) -> None:
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            _check_member(member.name, archive, plain=member.isfile() or member.isdir())
        if hasattr(tarfile, "data_filter"):
            tar.extractall(into, filter="data")
        else:
            tar.extractall(into)  # noqa: S202 - every member was checked above


def _unpack_zip(archive: Path, into: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            # The upper half of the attributes is the mode, where the archive was made on Unix.
            kind = stat.S_IFMT(member.external_attr >> 16)
            _check_member(member.filename, archive, plain=kind in (0, stat.S_IFREG, stat.S_IFDIR))
        packed.extractall(into)  # noqa: S202 - every member was checked above


def _check_member(name: str, archive: Path, *, plain: bool) -> None:
    path = PurePosixPath(name)
    if not plain or path.is_absolute() or ".." in path.parts:
        raise SourceError(
            f"{archive.name} holds {name!r}, which is a link, a device or a path that leads outside",
            "only files and folders may be in it",
        )


def copy_tree(tree: Path, into: Path, *, without: str = "") -> Path:
    """Copy a source tree; what builds leave behind stays where it is, and the top entry ``without`` too."""

    def ignored(folder: str, names: list[str]) -> set[str]:
        return _left_by_builds(folder, names) | ({without} if without and Path(folder) == tree else set())

    shutil.copytree(tree, into, symlinks=True, ignore=ignored, dirs_exist_ok=True)
    return into


def tree_sha256(tree: Path) -> str:
    """What a tree is known by: a hash of the names and contents of all files that :func:`copy_tree` copies.

    The same for an archive's content, a checkout and a copy of either; modes and times do not count.
    """
    digest = hashlib.sha256()
    for path in source_files(tree):
        content = f"link to {os.readlink(path)}" if is_link(path) else sha256(path)
        digest.update(f"{content}  {path.relative_to(tree).as_posix()}\n".encode())
    return digest.hexdigest()


def source_files(tree: Path) -> list[Path]:
    """All that :func:`copy_tree` copies, in the order of their names."""
    return sorted(_files(tree), key=lambda path: path.relative_to(tree).as_posix())


def _files(tree: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(tree):
        ignored = _left_by_builds(folder, [*folders, *files])
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        folders[:] = [name for name in folders if name not in ignored and name not in links]
        yield from (Path(folder, name) for name in [*files, *links] if name not in ignored)
