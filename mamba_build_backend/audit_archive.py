"""A wheel's archive against what the wheel says of itself: file names, RECORD, WHEEL and METADATA. Reads no ELF."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import stat
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

from ._compat import utils, version
from .errors import AuditError, Problem
from .variants import plain_name

_HASHES = ("sha256", "sha384", "sha512")
_UNRECORDED = ("RECORD", "RECORD.jws", "RECORD.p7s")
_MOST_BYTES = 16 << 30
_MOST_RATIO = 200
"""What deflate makes of extensions is a tenth; a file of zeros is a thousandth."""
_REPACKED = (
    "download or build it again",
    "python -m wheel pack FOLDER   (writes RECORD, for one that was changed on purpose)",
)


def check_safe(wheel: Path, archive: zipfile.ZipFile) -> None:
    """Raise AuditError for what must not be unpacked: files that lead outside, links, doubles, a bomb."""
    seen: set[str] = set()
    whole = 0
    for item in archive.infolist():
        path = PurePosixPath(item.filename)
        kind = stat.S_IFMT(item.external_attr >> 16)
        outside = path.is_absolute() or ".." in path.parts or "\\" in item.filename or path.parts[:1] == ("~",)
        if outside or not path.parts or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _unsafe(wheel, f"holds {item.filename!r}, which is a link or a path that leads outside")
        if item.filename in seen:
            raise _unsafe(wheel, f"holds {item.filename!r} twice, and tools differ in which of them they take")
        seen.add(item.filename)
        whole += item.file_size
    packed = max(wheel.stat().st_size, 1)
    if whole > _MOST_BYTES or (whole > 64 << 20 and whole > packed * _MOST_RATIO):
        raise _unsafe(wheel, f"is {packed:,} bytes and would unpack to {whole:,}")


def _unsafe(wheel: Path, found: str) -> AuditError:
    return AuditError(f"{wheel.name} {found}", "it is not unpacked", "download or build it again")


def check_archive(wheel: Path, archive: zipfile.ZipFile) -> list[Problem]:
    """What does not agree: the name of the file, the .dist-info folder, RECORD and the files themselves."""
    names = [name for name in archive.namelist() if not name.endswith("/")]
    infos = sorted({name.split("/")[0] for name in names if name.split("/")[0].endswith(".dist-info")})
    if len(infos) != 1 or any(f"{infos[0]}/{name}" not in names for name in ("METADATA", "WHEEL", "RECORD")):
        held = (
            f"{len(infos)} .dist-info folders"
            if len(infos) != 1
            else f"not all of METADATA, WHEEL and RECORD in {infos[0]}"
        )
        return [Problem("dist-info", f"{wheel.name} holds {held}", "a wheel has one, with the three files", _REPACKED)]
    return [*_check_name(wheel, archive, infos[0]), *_check_record(archive, infos[0], names)]


def _check_name(wheel: Path, archive: zipfile.ZipFile, info: str) -> Iterator[Problem]:
    name, release, _, tags = utils.parse_wheel_filename(plain_name(wheel.name))
    said = HeaderParser().parsestr(archive.read(f"{info}/METADATA").decode("utf-8"))
    inside = f"{said['Name']} {said['Version']}"
    try:
        same = utils.canonicalize_name(str(said["Name"])) == name and version.Version(str(said["Version"])) == release
    except version.InvalidVersion:
        same = False
    undo = ("undo the renaming", "python -m wheel tags   (changes tags in both places)")
    if not same:
        yield Problem(
            "name", f"{wheel.name} is named {name} {release}, and its METADATA says {inside}", "pip refuses it", undo
        )
    lines = HeaderParser().parsestr(archive.read(f"{info}/WHEEL").decode("utf-8")).get_all("Tag") or []
    inside_tags = {tag for line in lines for tag in _expanded(str(line))}
    if inside_tags != {str(tag) for tag in tags}:
        found = f"{wheel.name} is tagged otherwise inside: {', '.join(sorted(inside_tags)) or 'not at all'}"
        yield Problem("tag", found, "the file name and WHEEL say the same of a wheel that was not renamed", undo)


def _expanded(tag: str) -> Iterator[str]:
    parts = [part.split(".") for part in tag.strip().split("-")]
    if len(parts) == 3:
        yield from (f"{python}-{abi}-{platform}" for python in parts[0] for abi in parts[1] for platform in parts[2])


def _check_record(archive: zipfile.ZipFile, info: str, names: list[str]) -> Iterator[Problem]:
    text = archive.read(f"{info}/RECORD").decode("utf-8")
    rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(text)) if row}
    free = {f"{info}/{name}" for name in _UNRECORDED}
    wrong = [f"{name} is not listed" for name in names if name not in rows and name not in free]
    wrong += [f"{name} is listed and not there" for name in rows if name not in names]
    for name in names:
        if name in rows and name not in free and (why := _difference(archive, name, rows[name])):
            wrong.append(f"{name} {why}")
    if wrong:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        found = f"RECORD does not fit the files: {'; '.join(wrong[:3])}{more}"
        yield Problem("record", found, "the wheel was changed after it was made, or damaged", _REPACKED)


def _difference(archive: zipfile.ZipFile, name: str, said: list[str]) -> str:
    """How a file differs from its row in RECORD; empty where it does not."""
    method, _, wanted = (said[0] if said else "").partition("=")
    if method not in _HASHES:
        return f"has {method or 'no hash'}, where sha256 or a longer one is needed"
    digest, size = hashlib.new(method), 0
    with archive.open(name) as file:
        while block := file.read(1 << 20):
            digest.update(block)
            size += len(block)
    if len(said) > 1 and said[1] and said[1] != str(size):
        return f"has {size} bytes and not {said[1]}"
    found = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode("ascii")
    return "" if found == wanted.rstrip("=") else f"has another {method}"
