"""Make a toolkit from NVIDIA's archives: download them, check their hashes, unpack them safely, keep the toolkit cached."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..core.errors import SourceError, ToolError
from ..core.facts import Origin, Toolkit
from ..core.files import sha256
from ..core.outside_text import secrets, without_secrets
from ..core.paths import is_dir, is_file, is_link
from ..core.process import Echo
from ..core.storage import prepared
from ..plan.offers import MATHS
from ..plan.remedies import fetch_archives
from ..probe.cuda import read_toolkit
from ..probe.fetched import archive_in, mirror_folder, toolkit_folder
from ..tables import Archive, Archives, RedistHost, load_tables
from .download import Download, UnfetchedError
from .index import FETCHER
from .pip_config import read_index_config

_GROWTH, _SPARE = 20, 100_000_000
"""An archive may grow by this factor plus these bytes.

NVIDIA's archives grow about fourfold, header-only ones tenfold.
"""
_MEMBERS = 100_000
_DOWNLOADS = ".archives"
_NVCC, _FOUND_IN = "bin/nvcc", "NVIDIA's archives"
_OWN_WAY = "-C cuda-home=/path/to/cuda   (a toolkit that is on this machine)"


@dataclass(frozen=True)
class _Shop:
    """Inputs of all steps."""

    archives: Archives
    host: RedistHost
    environ: Mapping[str, str]
    echo: Echo


def obtain(archives: Archives, cache: Path, environ: Mapping[str, str], echo: Echo) -> Toolkit:
    """Return the toolkit, from the cache or newly made.

    Raises SourceError, StorageError, ToolError if nvcc does not run.
    """
    shop = _Shop(archives, load_tables().nvidia, environ, echo)
    folder, cuda = toolkit_folder(archives.release, cache), archives.release.cuda
    known = is_dir(folder)
    found = _prepared(shop, folder)
    if known and _lacks(found):
        # The cached toolkit is damaged: make a new one.
        shutil.rmtree(folder, ignore_errors=True)
        found = _prepared(shop, folder)
    wrong = found.problem or (f"it lacks {', '.join(_lacks(found))}" if _lacks(found) else "")
    if wrong or found.version != cuda:
        wrong = wrong or f"its version is {found.version}"
        raise ToolError(f"nvcc {cuda} of NVIDIA's archives, in {folder}: {wrong}", "", _OWN_WAY)
    return found


def _prepared(shop: _Shop, folder: Path) -> Toolkit:
    """Return the cached toolkit as its nvcc reports it; make it first if necessary."""

    def waits() -> None:
        shop.echo(f"waiting for another build, which is unpacking nvcc {shop.archives.release.cuda}")

    prepared(folder, lambda draft: _make(shop, draft), waits)
    if not is_file(folder / _NVCC):
        return Toolkit(str(folder), _FOUND_IN, missing=(_NVCC,), origin=Origin.ARCHIVE)
    return read_toolkit(folder, _FOUND_IN, shop.environ, Origin.ARCHIVE)


def _lacks(found: Toolkit) -> list[str]:
    return [name for name in found.missing if name not in MATHS]


def _make(shop: _Shop, draft: Path) -> None:
    """Unpack all archives over one another into ``draft``."""
    _check_unpacker(shop.archives)
    fetched = draft / _DOWNLOADS
    fetched.mkdir()
    given = mirror_folder(shop.archives.mirror)
    paths = [_given(shop, given, item) for item in shop.archives.release.archives] if given else _fetch(shop, fetched)
    links: list[Path] = []
    for item, path in zip(shop.archives.release.archives, paths):
        links += _unpack(path, item, draft)
    for link in links:
        inside = os.path.realpath(draft) + os.sep
        if not (os.path.realpath(link) + os.sep).startswith(inside):
            raise _unsafe(link.name, "a link that points outside")
    shutil.rmtree(fetched)


def _check_unpacker(archives: Archives) -> None:
    try:
        import lzma  # noqa: F401 - missing in a Python that was compiled without liblzma
    except ImportError:
        raise SourceError(
            "this Python was built without lzma, and NVIDIA's archives are .tar.xz",
            f"lzma is needed to unpack nvcc {archives.release.cuda}",
            ("use a Python with lzma   (test: python -c 'import lzma')", _OWN_WAY),
        ) from None


def _given(shop: _Shop, folder: Path, item: Archive) -> Path:
    path = archive_in(folder, item)
    if path is None:
        raise _unfetched(shop, item, "it is not there")
    try:
        found = sha256(path)
    except OSError as error:
        raise _unfetched(shop, item, f"{path}: {error.strerror}") from None
    if found != item.sha256:
        raise _unfetched(shop, item, f"its sha256 is {found}, expected {item.sha256}")
    return path


def _fetch(shop: _Shop, into: Path) -> list[Path]:
    from .web import open_session

    release, mirror = shop.archives.release, shop.archives.mirror
    shop.echo(
        f"downloading nvcc {release.cuda} from {without_secrets(mirror)} ({release.bytes / 1e6:.0f} MB); "
        f"licence: {shop.host.licence}, {shop.host.licence_address}"
    )
    try:
        session = open_session(read_index_config(shop.environ), [mirror], local=False)
    except ImportError:  # the plan expected a complete cache
        raise _unfetched(
            shop, release.archives[0], f"this environment lacks {FETCHER}: python -m pip install {FETCHER}"
        ) from None
    except Exception as error:  # noqa: BLE001 - the HTTP library cannot read a proxy or a certificate
        why = f"pip's configuration: {without_secrets(str(error), secrets(shop.environ))}"
        raise _unfetched(shop, release.archives[0], why) from None
    paths = []
    with closing(session):
        for item in release.archives:
            path = into / item.name

            def tell(have: int, item: Archive = item) -> None:
                shop.echo(f"{item.name}: {have / 1e6:.0f} of {item.bytes / 1e6:.0f} MB")

            address = f"{mirror}/{item.path}"
            try:
                Download(session, address, item.bytes, item.sha256, shop.environ, tell).into(path)
            except UnfetchedError as error:
                raise _unfetched(shop, item, str(error)) from None
            paths.append(path)
    return paths


def _unfetched(shop: _Shop, item: Archive, why: str) -> SourceError:
    """Return the error for an unavailable archive: which archives are needed, and where to put them."""
    archives, host = shop.archives, shop.host
    folder = mirror_folder(archives.mirror)
    needed = ", ".join(part.name for part in archives.release.archives)
    ways = [*fetch_archives(archives.release.archives, host, str(folder) if folder else "")]
    if archives.mirror == host.address:
        ways.append(f"-C cuda-mirror={host.address_china}   (NVIDIA's host in China, or the address of another mirror)")
    elif not folder:
        ways.append("-C cuda-mirror=auto   (NVIDIA's own host)")
    return SourceError(
        f"{item.name} cannot be {'read' if folder else 'downloaded'} from {without_secrets(archives.mirror)} ({why})",
        f"nvcc {archives.release.cuda} needs {needed}",
        (*ways, _OWN_WAY),
    )


def _unpack(archive: Path, item: Archive, into: Path) -> list[Path]:
    """Unpack the content of the archive's one folder; return its links.

    Raises SourceError, and OSError for disk errors.
    """
    import lzma

    links: list[Path] = []
    left = item.bytes * _GROWTH + _SPARE
    try:
        with tarfile.open(archive, "r:xz") as tar:
            for number, member in enumerate(tar):
                if member.size > left or number > _MEMBERS:
                    raise _unsafe(item.name, "more data than expected")
                if (place := _place(member.name, item, into)) is not None:
                    left -= _write(tar, member, place, item)
                    links += [place] if member.issym() else []
    except (tarfile.TarError, lzma.LZMAError, EOFError, ValueError, KeyError) as error:
        raise _damaged(item, error) from None
    except OSError as error:
        if error.errno is not None:
            raise  # a disk error, not a damaged archive
        raise _damaged(item, error) from None
    return links


def _place(name: str, item: Archive, into: Path) -> Path | None:
    """Return a member's path; None for the archive's own folder. Raises SourceError for a path outside ``into``."""
    parts = PurePosixPath(name).parts
    if parts[:1] != (item.top,) or ".." in parts or "\0" in name or _DOWNLOADS in parts:
        raise _unsafe(item.name, f"{name!r}, which is outside the archive's own folder")
    if len(parts) == 1:
        return None
    place = into.joinpath(*parts[1:])
    if os.path.realpath(place.parent) != os.path.join(os.path.realpath(into), *parts[1:-1]):
        raise _unsafe(item.name, f"{name!r}, whose path leads through a link")
    return place


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path, item: Archive) -> int:
    """Write a member; return its size in bytes."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if member.isdir():
        place.mkdir(exist_ok=True)
        return 0
    if is_link(place) or is_file(place):
        place.unlink()  # each archive has its own licence under the same name
    if member.issym() and not os.path.isabs(member.linkname):
        place.symlink_to(member.linkname)
        return 0
    # A hard link is another name of a member in the archive; write it as a separate file.
    content = tar.extractfile(member) if member.isfile() or member.islnk() else None
    if content is None:
        raise _unsafe(item.name, f"{member.name!r}, which is neither a file nor a folder nor a relative link")
    with content, place.open("wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)
        size = file.tell()
    place.chmod(0o755 if member.mode & 0o111 else 0o644)
    return size


def _damaged(item: Archive, error: Exception) -> SourceError:
    said = str(error).splitlines()[0] if str(error) else "cut off"
    return SourceError(f"{item.name} is damaged: {said}", "a complete archive is needed", _OWN_WAY)


def _unsafe(name: str, what: str) -> SourceError:
    return SourceError(f"{name} contains {what}", "NVIDIA's own archives never contain that", _OWN_WAY)
