"""Write a static package index of finished wheels: PEP 503 pages for any web server, and PEP 691 JSON. Copies no wheels."""

from __future__ import annotations

import html
import json
import os
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from hashlib import sha256 as sha256_of
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from ..core import damage
from ..core._compat import utils, version
from ..core.errors import SettingsError
from ..core.files import sha256, write_whole
from ..core.paths import entries, is_dir, is_file, is_link, matching, open_plain, read_bytes
from ..core.process import quoted
from ..core.storage import disk_errors
from ..tables import is_version
from ..wheel import variants

SCHEMA = 1
_MOST_OF_METADATA = 2 << 20
"""Bytes."""
PAGES = ("index.html", "index.v1_json")
_API = "1.1"  # PEP 700: files have sizes, projects have versions


@dataclass(frozen=True)
class Listed:
    """A wheel in an index."""

    path: Path
    project: str
    version: str
    sha256: str
    size: int
    requires_python: str
    metadata: bytes
    variant: bytes = b""
    """Its ``variant.json``, if its name has a variant label."""

    @property
    def variants_name(self) -> str:
        """The index file that defines the variant labels of this version (PEP 825)."""
        return f"{self.project.replace('-', '_')}-{self.version}-variants.json"


@dataclass(frozen=True)
class Index:
    """Result of ``write_index``."""

    page: Path
    wheels: tuple[Listed, ...]
    left_out: tuple[tuple[str, str], ...]
    """Files that are not readable wheels, each with the reason."""


def write_index(folder: Path, wheel_dir: Path | None = None) -> Index:
    """Write ``folder/simple`` for the wheels in ``wheel_dir``, which is ``folder`` itself or inside it.

    Raises SettingsError if there is no wheel, StorageError if the folder is not writable.
    """
    folder = folder.absolute()
    wheel_dir = folder if wheel_dir is None else wheel_dir.absolute()
    if folder != wheel_dir and folder not in wheel_dir.parents:
        raise SettingsError(
            f"{wheel_dir} is not in {folder}", "a web server serves only files below one folder", f"index {wheel_dir}"
        )
    files = sorted(path for path in matching(wheel_dir, "*.whl") if not path.name.startswith("."))
    if not files:
        found = "contains no wheels" if is_dir(wheel_dir) else "does not exist"
        raise SettingsError(
            f"{wheel_dir} {found}",
            "an index lists finished wheels",
            "python -m mamba_build_backend build -w " + str(wheel_dir),
        )
    wheels: list[Listed] = []
    left_out: list[tuple[str, str]] = []
    for path in files:
        try:
            item = _read(path)
            _variants([*wheels, item], item)
            wheels.append(item)
        except ValueError as error:
            left_out.append((path.name, str(error)))
    wheels.sort(key=lambda item: (item.project, version.Version(item.version), item.path.name))
    root = folder / "simple"
    _check_pages(root, dict.fromkeys(item.project for item in wheels))
    with disk_errors(root, "choose another folder"):
        for item in wheels:
            _write(item.path.with_name(f"{item.path.name}.metadata"), item.metadata)
            if item.variant:
                _write(item.path.with_name(item.variants_name), _variants(wheels, item).encode())
        _write_pages(root, wheels)
    return Index(root / PAGES[0], tuple(wheels), tuple(left_out))


class _NotFittingError(ValueError):
    """A readable archive that is not a wheel."""


def _read(path: Path) -> Listed:
    """Read a wheel's entry. Raises ValueError with the reason why it is not a wheel."""
    try:
        plain = variants.plain_name(path.name)
        name, release, _, _ = utils.parse_wheel_filename(plain)
        with open_plain(path) as file, zipfile.ZipFile(file) as archive:
            inside = [
                item for item in archive.namelist() if item.count("/") == 1 and item.endswith(".dist-info/METADATA")
            ]
            if len(inside) != 1:
                raise _NotFittingError(f"it has {len(inside) or 'no'} METADATA")
            if archive.getinfo(inside[0]).file_size > _MOST_OF_METADATA:
                raise _NotFittingError("its METADATA is too long")
            text = archive.read(inside[0])
            variant = b""
            if plain != path.name:
                variant = archive.read(f"{PurePosixPath(inside[0]).parent}/{variants.FILE_NAME}")
                variants.merged([variant])
    except (KeyError, TypeError, AttributeError):
        raise ValueError(
            f"its name has a variant label, but its {variants.FILE_NAME} does not define the label"
        ) from None
    except utils.InvalidWheelFilename as error:
        raise ValueError(str(error)) from None
    except _NotFittingError:
        raise
    except damage.ZIP as error:
        raise ValueError(f"it is damaged or was cut off ({damage.why(error)})") from None
    message = BytesHeaderParser().parsebytes(text)
    variant_files = f"{message['Name']} {message['Version']}"
    # Compare as versions: a local label may have capital letters, a parsed one has none.
    told_release = str(message["Version"])
    fits = is_version(told_release) and version.Version(told_release) == release
    if utils.canonicalize_name(str(message["Name"])) != name or not fits:
        raise ValueError(f"its METADATA says {variant_files}")
    requires = str(message["Requires-Python"] or "")
    return Listed(path, name, str(release), sha256(path), path.stat().st_size, requires, text, variant)


def _variants(wheels: Sequence[Listed], item: Listed) -> str:
    """Return the definitions of a version's variant labels. Raises ValueError if one label has two definitions."""
    return variants.merged([one.variant for one in wheels if one.variants_name == item.variants_name and one.variant])


def _write_pages(root: Path, wheels: Sequence[Listed]) -> None:
    projects = list(dict.fromkeys(item.project for item in wheels))
    links = [f'<a href="{quote(name)}/">{html.escape(name)}</a><br>' for name in projects]
    _write(root / PAGES[0], _page("Simple index", links))
    _write(root / PAGES[1], _json({"projects": [{"name": name} for name in projects]}))
    for name in projects:
        own = [item for item in wheels if item.project == name]
        variant_files = sorted({item.path.with_name(item.variants_name) for item in own if item.variant})
        links = [
            *(_link(item, root / name) for item in own),
            *(_plain_link(path, root / name) for path in variant_files),
        ]
        _write(root / name / PAGES[0], _page(f"Links for {name}", links))
        files = [
            *(_file(item, root / name) for item in own),
            *(_plain_file(path, root / name) for path in variant_files),
        ]
        versions = list(dict.fromkeys(item.version for item in own))
        _write(root / name / PAGES[1], _json({"name": name, "versions": versions, "files": files}))
    for path in entries(root):
        if is_dir(path) and not is_link(path) and path.name not in projects:  # the project's last wheel is gone
            for page in PAGES:
                if _is_ours(path / page):
                    (path / page).unlink(missing_ok=True)
            with suppress(OSError):  # the folder has other files
                path.rmdir()


_HTML_HEAD = (
    '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><meta name="pypi:repository-version" content="1.0">'
)
_HEADS = (_HTML_HEAD.encode(), b'{\n "meta": {\n  "api-version": "')
"""The beginnings of the pages that this command writes."""


def _is_ours(page: Path) -> bool:
    """Whether this command wrote the page, so that it may be replaced; True for a missing page."""
    try:
        with open_plain(page) as file:
            return file.read(max(map(len, _HEADS))).startswith(_HEADS)
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _check_pages(root: Path, projects: Iterable[str]) -> None:
    """Raise SettingsError if another program's page, or a link, is in the place of a page."""
    places = [root, *(root / name for name in projects)]
    for place in places:
        taken = [place, *(place / page for page in PAGES if not _is_ours(place / page))]
        for path in taken if is_link(place) else taken[1:]:
            raise SettingsError(
                f"{path} was not written by this command",
                "the index command replaces only its own pages",
                (
                    "python -m mamba_build_backend index ANOTHER_FOLDER",
                    f"rm {quoted([path])}   (if it is an old index page)",
                ),
            )


def _address(path: Path, page: Path) -> str:
    return quote(Path(os.path.relpath(path, page)).as_posix())


def _plain_link(path: Path, page: Path) -> str:
    return f'<a href="{_address(path, page)}#sha256={sha256(path)}">{html.escape(path.name)}</a><br>'


def _plain_file(path: Path, page: Path) -> dict[str, Any]:
    digest, size = sha256(path), path.stat().st_size
    return {"filename": path.name, "url": _address(path, page), "hashes": {"sha256": digest}, "size": size}


def _link(item: Listed, page: Path) -> str:
    digest = f"sha256={sha256_of(item.metadata).hexdigest()}"
    attributes = {
        "href": f"{_address(item.path, page)}#sha256={item.sha256}",
        **({"data-requires-python": item.requires_python} if item.requires_python else {}),
        "data-dist-info-metadata": digest,  # PEP 658's name, which older installers read
        "data-core-metadata": digest,
    }
    shown = " ".join(f'{key}="{html.escape(value)}"' for key, value in attributes.items())
    return f"<a {shown}>{html.escape(item.path.name)}</a><br>"


def _file(item: Listed, page: Path) -> dict[str, Any]:
    return {
        "filename": item.path.name,
        "url": _address(item.path, page),
        "hashes": {"sha256": item.sha256},
        **({"requires-python": item.requires_python} if item.requires_python else {}),
        "core-metadata": {"sha256": sha256_of(item.metadata).hexdigest()},
        "size": item.size,
    }


def _page(title: str, links: Iterable[str]) -> bytes:
    lines = [
        f"{_HTML_HEAD}<title>{html.escape(title)}</title></head>",
        "<body>",
        f"<h1>{html.escape(title)}</h1>",
        *links,
        "</body>",
        "</html>",
    ]
    return ("\n".join(lines) + "\n").encode()


def _json(data: dict[str, Any]) -> bytes:
    return (json.dumps({"meta": {"api-version": _API}, **data}, indent=1, ensure_ascii=False) + "\n").encode()


def _write(path: Path, data: bytes) -> None:
    """Write a file, unless it already has this content."""
    if is_file(path) and read_bytes(path) == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data)


def index_json(index: Index) -> dict[str, Any]:
    """Return the index as JSON data."""
    return {
        "schema": SCHEMA,
        "ok": not index.left_out,
        "index": str(index.page),
        "wheels": [
            {"project": item.project, "version": item.version, "wheel": str(item.path), "sha256": item.sha256}
            for item in index.wheels
        ],
        "left_out": [{"file": name, "why": why} for name, why in index.left_out],
    }
