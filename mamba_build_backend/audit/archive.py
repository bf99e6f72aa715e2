"""Read a wheel's archive and check it against the wheel's own name, metadata and RECORD. Reads no ELF files."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import math
import re
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from itertools import islice
from pathlib import Path, PurePosixPath

from ..core import damage
from ..core._compat import requirements, utils, version
from ..core.errors import AuditError, Problem
from ..core.paths import open_plain
from ..tables import is_version
from ..wheel.build_record import RECORD_NAME, BuildRecord
from ..wheel.read_record import read_record
from ..wheel.variants import plain_name

_HASHES = ("sha256", "sha384", "sha512")
_UNRECORDED = ("RECORD", "RECORD.jws", "RECORD.p7s")
_MOST_BYTES = 16 << 30
_ALWAYS_UNPACKED = 32 << 20
_MOST_RATIO = 50
"""Extension modules compress about 10:1, a file of zeros 1000:1; a higher ratio than this indicates a zip bomb."""
_MOST_LIBRARIES = 2000
_MOST_ENTRIES = 200_000
_MOST_OF_A_TEXT = {"METADATA": 2 << 20, "WHEEL": 64 << 10, "RECORD": 32 << 20, RECORD_NAME: 4 << 20}
"""Bytes. The largest METADATA on PyPI contain a changelog of some hundred kB."""
_MOST_TAGS = 1000
_MOST_REQUIREMENTS = 1000
"""Requirements that name torch."""
_REPACKED = (
    "download or build it again",
    "python -m wheel pack FOLDER   (writes a new RECORD, if you changed the wheel on purpose)",
)


@dataclass(frozen=True)
class Contents:
    """Content of an archive: problems, shared libraries by their names in it, its requirement on torch, its build record."""

    problems: tuple[Problem, ...]
    libraries: tuple[tuple[str, Path], ...]
    torch: requirements.Requirement | None
    """None if the metadata do not require torch."""
    record: BuildRecord | None
    """None if the wheel has no build record."""


def read_archive(wheel: Path, folder: Path) -> Contents:
    """Check a wheel's archive, and unpack its shared libraries into ``folder``.

    Raises AuditError if it is not a wheel.
    """
    try:
        file = open_plain(wheel)
    except FileNotFoundError:
        raise AuditError(f"{wheel} does not exist", "the path of a wheel is needed") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise AuditError(f"{wheel} cannot be read: {why}", "the path of a wheel is needed") from None
    with file, _damage_told(wheel), zipfile.ZipFile(file) as archive:
        check_safe(wheel, archive)
        names = archive.namelist()
        info, problems = _dist_info(wheel, names)
        metadata = None
        if info:
            metadata = _headers(archive, f"{info}/METADATA")
            problems = [*_check_name(wheel, archive, info, metadata), *_check_record(archive, info, names)]
        libraries = [name for name in names if re.search(r"\.so(\.[0-9]+)*$", name)]
        if len(libraries) > _MOST_LIBRARIES:
            raise _unsafe(wheel, f"holds {len(libraries):,} shared libraries")
        return Contents(
            problems=tuple(problems),
            libraries=tuple((name, Path(archive.extract(name, folder))) for name in libraries),
            torch=_torch_requirement(metadata) if metadata is not None else None,
            record=_record(wheel, archive),
        )


@contextmanager
def _damage_told(wheel: Path) -> Iterator[None]:
    try:
        yield
    except damage.ZIP as error:
        if damage.is_of_the_disk(error):
            raise
        raise AuditError(
            f"{wheel.name} is damaged or was cut off ({damage.why(error)})",
            "a complete file is needed",
            "download or build it again",
        ) from None


def _text(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read a metadata file of the wheel. Raises AuditError if it is far larger than such files are."""
    size, most = archive.getinfo(name).file_size, _MOST_OF_A_TEXT[PurePosixPath(name).name]
    if size > most:
        raise AuditError(
            f"{name} in the wheel has {size:,} bytes", f"at most {most:,} are allowed", "download or build it again"
        )
    return archive.read(name)


def _headers(archive: zipfile.ZipFile, name: str) -> Message:
    return HeaderParser().parsestr(_text(archive, name).decode("utf-8"))


def _record(wheel: Path, archive: zipfile.ZipFile) -> BuildRecord | None:
    for name in archive.namelist():
        if name.endswith(f".dist-info/{RECORD_NAME}"):
            record = json.loads(_text(archive, name))
            if not isinstance(record, dict):
                raise AuditError(f"{wheel.name}: {name} is no build record", "an object is needed")
            return read_record(record) if record else None
    return None


def _torch_requirement(metadata: Message) -> requirements.Requirement | None:
    asked = (
        text for text in metadata.get_all("Requires-Dist") or [] if re.match(r"\s*torch\b", str(text), re.IGNORECASE)
    )
    for text in islice(asked, _MOST_REQUIREMENTS):
        try:
            item = requirements.Requirement(str(text))
        except requirements.InvalidRequirement:
            continue  # pip reports it
        if utils.canonicalize_name(item.name) == "torch" and item.marker is None:
            return item
    return None


def check_safe(wheel: Path, archive: zipfile.ZipFile) -> None:
    """Raise AuditError for an archive that must not be unpacked: paths that lead outside, links, duplicates, a zip bomb."""
    seen: set[str] = set()
    whole = 0
    if len(archive.infolist()) > _MOST_ENTRIES:
        raise _unsafe(wheel, f"holds {len(archive.infolist()):,} files")
    for item in archive.infolist():
        path = PurePosixPath(item.filename)
        kind = stat.S_IFMT(item.external_attr >> 16)
        outside = path.is_absolute() or ".." in path.parts or "\\" in item.filename or path.parts[:1] == ("~",)
        if outside or not path.parts or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _unsafe(wheel, f"holds {item.filename!r}, which is a link or a path that leads outside")
        if str(path) in seen:
            raise _unsafe(wheel, f"holds {item.filename!r} twice, and tools differ in which copy they use")
        if str(path) != item.filename.rstrip("/"):
            raise _unsafe(wheel, f"holds {item.filename!r}, which is {str(path)!r} in another spelling")
        seen.add(str(path))
        whole += item.file_size
    packed = max(wheel.stat().st_size, 1)
    if whole > _MOST_BYTES or (whole > _ALWAYS_UNPACKED and whole > packed * _MOST_RATIO):
        raise _unsafe(wheel, f"is {packed:,} bytes and would unpack to {whole:,}")


def _unsafe(wheel: Path, found: str) -> AuditError:
    return AuditError(f"{wheel.name} {found}", "it is not unpacked", "download or build it again")


def _dist_info(wheel: Path, names: list[str]) -> tuple[str, list[Problem]]:
    """Return the .dist-info folder; or an empty name and the problem if there is not exactly one."""
    infos = sorted({name.split("/")[0] for name in names if name.split("/")[0].endswith(".dist-info")})
    if len(infos) == 1 and all(f"{infos[0]}/{name}" in names for name in ("METADATA", "WHEEL", "RECORD")):
        return infos[0], []
    held = (
        f"{len(infos)} .dist-info folders"
        if len(infos) != 1
        else f"not all of METADATA, WHEEL and RECORD in {infos[0]}"
    )
    found = f"{wheel.name} holds {held}"
    return "", [Problem("dist-info", found, "a wheel has exactly one, with these three files", _REPACKED)]


def _check_name(wheel: Path, archive: zipfile.ZipFile, info: str, stated: Message) -> Iterator[Problem]:
    name, release, _, tags = utils.parse_wheel_filename(plain_name(wheel.name))
    inside = f"{stated['Name']} {stated['Version']}"
    told = str(stated["Version"])
    same = utils.canonicalize_name(str(stated["Name"])) == name
    same = same and is_version(told) and version.Version(told) == release
    undo = ("undo the renaming", "python -m wheel tags   (changes tags in both places)")
    if not same:
        yield Problem(
            "name",
            f"the file name of {wheel.name} says {name} {release}, its METADATA says {inside}",
            "pip rejects such a wheel",
            undo,
        )
    lines = [str(line) for line in _headers(archive, f"{info}/WHEEL").get_all("Tag") or []]
    if (count := sum(map(_count, lines))) > _MOST_TAGS:
        yield Problem("tag", f"{wheel.name} has {count:,} tags inside", "a wheel has one or a few", undo)
        return
    inside_tags = {tag for line in lines for tag in _expanded(line)}
    if inside_tags != {str(tag) for tag in tags}:
        found = f"{wheel.name} has other tags inside: {', '.join(sorted(inside_tags)) or 'none'}"
        yield Problem("tag", found, "the tags in the file name and in WHEEL must be the same", undo)


def _count(tag: str) -> int:
    """Return how many tags a compressed tag stands for: the product of its parts' counts."""
    return math.prod(part.count(".") + 1 for part in tag.split("-"))


def _expanded(tag: str) -> Iterator[str]:
    parts = [part.split(".") for part in tag.strip().split("-")]
    if len(parts) == 3:
        yield from (f"{python}-{abi}-{platform}" for python in parts[0] for abi in parts[1] for platform in parts[2])


def _check_record(archive: zipfile.ZipFile, info: str, names: list[str]) -> Iterator[Problem]:
    text = _text(archive, f"{info}/RECORD").decode("utf-8")
    try:
        rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(text)) if row}
    except csv.Error as error:
        yield Problem("record", f"RECORD cannot be read: {error}", "RECORD is a CSV file", _REPACKED)
        return
    names = [name for name in names if not name.endswith("/")]
    there = set(names)
    free = {f"{info}/{name}" for name in _UNRECORDED}
    wrong = [f"{name} is not listed" for name in names if name not in rows and name not in free]
    wrong += [f"{name} is listed but missing" for name in rows if name not in there]
    for name in names:
        if name in rows and name not in free and (why := _difference(archive, name, rows[name])):
            wrong.append(f"{name} {why}")
    if wrong:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        found = f"RECORD does not match the files: {'; '.join(wrong[:3])}{more}"
        yield Problem("record", found, "the wheel is damaged, or was changed after the build", _REPACKED)


def _difference(archive: zipfile.ZipFile, name: str, stated: list[str]) -> str:
    """Describe how a file differs from its row in RECORD; empty if it does not."""
    method, _, wanted = (stated[0] if stated else "").partition("=")
    if method not in _HASHES:
        return f"has {method or 'no hash'}, but sha256 or a longer hash is needed"
    digest, size = hashlib.new(method), 0
    with archive.open(name) as file:
        while block := file.read(1 << 20):
            digest.update(block)
            size += len(block)
    if len(stated) > 1 and stated[1] and stated[1] != str(size):
        return f"has {size} bytes, not {stated[1]}"
    found = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode("ascii")
    return "" if found == wanted.rstrip("=") else f"has another {method}"
