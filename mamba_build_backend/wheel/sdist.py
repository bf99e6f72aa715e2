"""Write the sdist: the project's tree with upstream's verified archive in it. Reproducible."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Mapping, Sequence
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from ..core._compat import utils
from ..core.errors import SettingsError
from ..core.paths import is_file, read_bytes
from ..core.process import Echo
from ..core.source_files import source_files
from ..core.timestamp import source_date_epoch
from ..plan import BuildPlan
from ..source.locate import EMBEDDED
from ..tables import is_version
from .metadata import distribution_name, rfc822
from .project_files import project_files


def write_sdist(
    project: Path,
    table: Mapping[str, Any],
    plan: BuildPlan,
    pkg_info: str | None,
    archives: Sequence[tuple[str, Path]],
    folder: Path,
    environ: Mapping[str, str],
    echo: Echo,
) -> Path:
    """Write ``<name>-<version>.tar.gz`` into ``folder`` and return its path.

    ``archives`` are upstream's archives, or folders to pack as archives, each with its name; ``pkg_info`` is None for a
    project's own sdist with name and version in pyproject.toml, and empty if upstream's source has none.
    """
    row = plan.upstream.value
    upstream = HeaderParser().parsestr(pkg_info) if pkg_info is not None else None
    given = str(upstream["Name"] or "") if upstream else ""
    name = distribution_name(plan, table, given if row.is_own else row.name)
    version = row.version or str(table.get("version") or "")
    if upstream and upstream["Version"]:
        version = str(upstream["Version"])
    if not name or not version:
        raise SettingsError(
            "neither pyproject.toml nor setup.py names the project and its version", "an sdist is named after both"
        )
    if not is_version(version):
        raise SettingsError(
            f"{version[:80]!r} is not a version (PEP 440)", "an sdist is named after it", 'version = "1.0"'
        )
    base = f"{utils.canonicalize_name(name).replace('-', '_')}-{version}"
    path = folder / f"{base}.tar.gz"
    stamp = source_date_epoch(environ)
    files = project_files(project, environ)
    for note in files.notes:
        echo(f"note: {note}")
    with path.open("wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=stamp) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for file in files.paths:
                _add(
                    tar,
                    f"{base}/{file.relative_to(project).as_posix()}",
                    read_bytes(file),
                    stamp,
                    executable=os.access(file, os.X_OK),
                )
            for file_name, source in sorted(archives):
                data = read_bytes(source) if is_file(source) else _packed(source, file_name, stamp)
                _add(tar, f"{base}/{EMBEDDED}/{file_name}", data, stamp)
            _add(tar, f"{base}/PKG-INFO", _pkg_info(name, version, upstream, plan).encode(), stamp)
    return path


def _packed(tree: Path, name: str, stamp: int) -> bytes:
    """Pack a folder as a source archive and return its bytes."""
    out = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=out, mode="wb", mtime=stamp) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path in source_files(tree):
                inside = f"{name.removesuffix('.tar.gz')}/{path.relative_to(tree).as_posix()}"
                _add(tar, inside, read_bytes(path), stamp, executable=os.access(path, os.X_OK))
    return out.getvalue()


def _add(tar: tarfile.TarFile, name: str, data: bytes, stamp: int, *, executable: bool = False) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = len(data), stamp, 0o755 if executable else 0o644
    tar.addfile(info, io.BytesIO(data))


def _pkg_info(name: str, version: str, upstream: Message | None, plan: BuildPlan) -> str:
    # The wheel's torch pin is known only at build time.
    fields = [
        ("Metadata-Version", "2.2"),
        ("Name", name),
        ("Version", version),
        ("Dynamic", "Requires-Dist"),
        ("Dynamic", "Provides-Extra"),
    ]
    if upstream is not None:
        fields += [(key, str(upstream[key])) for key in ("Summary", "Requires-Python") if upstream[key]]
    row = plan.upstream.value
    fields += [] if row.is_own else [("Description-Content-Type", "text/markdown")]
    return rfc822(fields, "" if row.is_own else f"Portable builds of {row.name}.\n").rstrip("\n") + "\n"
