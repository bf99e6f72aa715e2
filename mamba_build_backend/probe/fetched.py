"""Which of a build's downloads are already here: in the cache, or in the folder that ``cuda-mirror`` names."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from ..core.paths import is_dir, is_file
from ..core.setting_values import is_address
from ..core.settings import MIRROR_OFF, Settings
from ..tables import Archive, CrossRuntime, ProjectVersion, RedistRelease, Tables


def probe_fetched(settings: Settings, cache: Path, machine: str, tables: Tables) -> tuple[str, ...]:
    """The names of files that a build need not download any more; ``machine`` is the value of platform.machine()."""
    return tuple(dict.fromkeys((*_sources(cache, tables), *_archives(settings, cache, machine, tables))))


def _sources(cache: Path, tables: Tables) -> Iterator[str]:
    for runtime in tables.runtimes:
        if is_file(cached_archive(runtime, cache)):
            yield runtime.index_file
    for row in tables.versions:
        if row.index_sha256 and is_file(cached_archive(row, cache)):
            yield row.index_file
        if row.git_commit and is_dir(kept_repository(row, cache)):
            yield row.commit_name


def _archives(settings: Settings, cache: Path, machine: str, tables: Tables) -> Iterator[str]:
    folder = mirror_folder(settings.cuda_mirror)
    for release in tables.redist(machine):
        unpacked = is_file(toolkit_folder(release, cache) / "bin" / "nvcc")
        for item in release.archives:
            if unpacked or (folder and archive_in(folder, item)):
                yield item.name


def cached_archive(row: ProjectVersion | CrossRuntime, cache: Path) -> Path:
    """The cache path of an archive from PyPI. The path contains the hash, so different content has a different path."""
    return cache / "sources" / row.index_sha256[:16] / row.index_file


def kept_repository(row: ProjectVersion, cache: Path) -> Path:
    """The cache path of a commit of upstream's repository."""
    return cache / "git" / row.commit_name


def toolkit_folder(release: RedistRelease, cache: Path) -> Path:
    """The cache path of a toolkit from NVIDIA's archives, identified by their content."""
    content = hashlib.sha256("".join(item.sha256 for item in release.archives).encode()).hexdigest()
    return cache / "cuda" / f"{release.release}-{release.archives[0].arch}-{content[:16]}"


def mirror_folder(mirror: str | None) -> Path | None:
    """The folder that the setting ``cuda-mirror`` names; None if it is an address or not set."""
    return None if mirror in (None, MIRROR_OFF) or is_address(mirror) else Path(os.path.expanduser(mirror)).absolute()


def archive_in(folder: Path, item: Archive) -> Path | None:
    """An archive in a folder: at its top, or in the subfolders of NVIDIA's host."""
    return next((path for path in (folder / item.name, folder / item.path) if is_file(path)), None)
