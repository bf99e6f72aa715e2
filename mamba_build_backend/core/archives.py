"""Source archives and trees: unpack safely, copy without build leftovers, identify by content."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from . import damage
from .errors import SourceError
from .paths import entries, is_dir, is_file, open_plain
from .source_files import left_out, source_files, tree_sha256

__all__ = ["copy_tree", "is_archive", "source_files", "tree_sha256", "unpack"]

_MOST_BYTES = 2 << 30
"""The most that a source archive may unpack to; mamba's unpacks to 10 MB."""
_MOST_ENTRIES = 100_000


def is_archive(path: Path) -> bool:
    """Whether a file starts like a tar or zip archive; it may be damaged."""
    if not is_file(path):
        return False
    try:
        return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except damage.ARCHIVE:
        return False


def unpack(archive: Path, into: Path) -> Path:
    """Unpack a tar or zip archive into a new folder; return its single top folder. Rejects members that lead outside.

    Raises SourceError, and then leaves no folder behind.
    """
    into.mkdir(parents=True)
    try:
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, into)
        else:
            _unpack_tar(archive, into)
        tops = entries(into)
        if len(tops) != 1 or not is_dir(tops[0]):
            raise SourceError(
                f"{archive.name} does not contain exactly one top folder", "a source archive contains one"
            )
    except damage.ARCHIVE as error:
        shutil.rmtree(into, ignore_errors=True)
        if damage.is_of_the_disk(error):
            raise
        raise SourceError(
            f"{archive.name} is damaged: {damage.why(error)}", "a complete archive is needed", "-C source=auto"
        ) from None
    except SourceError:
        shutil.rmtree(into, ignore_errors=True)
        raise
    return tops[0]


def _unpack_tar(archive: Path, into: Path) -> None:
    with open_plain(archive) as file, tarfile.open(fileobj=file) as tar:
        sizes = _Sizes(archive)
        for member in tar:  # not getmembers(), which would read a huge archive to its end
            sizes.add(member.size)
            if member.issparse():
                raise SourceError(f"{archive.name} contains {member.name!r}, a sparse file", "regular files are needed")
            _check_member(member.name, archive, plain=member.isfile() or member.isdir())
        if hasattr(tarfile, "data_filter"):
            tar.extractall(into, filter="data")
        else:
            tar.extractall(into)  # noqa: S202 - every member was checked above


def _unpack_zip(archive: Path, into: Path) -> None:
    with open_plain(archive) as file, zipfile.ZipFile(file) as packed:
        sizes = _Sizes(archive)
        for member in packed.infolist():
            sizes.add(member.file_size)
            # In archives made on Unix, the upper half of the attributes is the mode.
            kind = stat.S_IFMT(member.external_attr >> 16)
            _check_member(member.filename, archive, plain=kind in (0, stat.S_IFREG, stat.S_IFDIR))
        packed.extractall(into)  # noqa: S202 - every member was checked above


class _Sizes:
    """Counts the bytes and entries unpacked from an archive."""

    def __init__(self, archive: Path) -> None:
        self._archive, self._bytes, self._entries = archive, 0, 0

    def add(self, size: int) -> None:
        """Raises SourceError above the limits."""
        self._bytes, self._entries = self._bytes + size, self._entries + 1
        if self._bytes > _MOST_BYTES or self._entries > _MOST_ENTRIES:
            raise SourceError(
                f"{self._archive.name} contains over {_MOST_BYTES >> 30} GB, or over {_MOST_ENTRIES:,} files",
                "the source of an extension is far smaller",
            )


def _check_member(name: str, archive: Path, *, plain: bool) -> None:
    path = PurePosixPath(name)
    if not plain or path.is_absolute() or ".." in path.parts:
        raise SourceError(
            f"{archive.name} contains {name!r}, which is a link, a device or a path that leads outside",
            "a source archive may contain only files and folders",
        )


def copy_tree(tree: Path, into: Path, *, without: str = "") -> Path:
    """Copy a source tree without build leftovers, special files, the top entry ``without``, and ``into`` itself.

    Raises SourceError for a file that cannot be read or copied.
    """
    inside = os.path.realpath(into)

    def ignored(folder: str, names: list[str]) -> set[str]:
        here = {name for name in names if os.path.realpath(os.path.join(folder, name)) == inside}
        return here | left_out(folder, names) | ({without} if without and Path(folder) == tree else set())

    try:
        shutil.copytree(tree, into, symlinks=True, ignore=ignored, dirs_exist_ok=True)
    except shutil.Error as error:
        _, _, reason = error.args[0][0]
        raise SourceError(f"source: {tree} cannot be copied: {reason}", "all of its files must be readable") from None
    return into
