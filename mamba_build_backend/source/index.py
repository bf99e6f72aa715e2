"""Fetch upstream's source archive, or CUDA's runtime for another processor, from the package index.

Finds the file as pip would, verifies it, and keeps it in the cache.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Union

from ..core import damage
from ..core._compat import version
from ..core.errors import SourceError
from ..core.files import sha256
from ..core.outside_text import secrets, without_secrets
from ..core.paths import is_file
from ..core.process import Echo
from ..core.storage import disk_errors, is_disk_error
from ..probe.fetched import cached_archive
from ..tables import CrossRuntime, ProjectVersion
from .pip_config import IndexConfig, read_index_config
from .web import Bounds, EndlessError, open_session

if TYPE_CHECKING:
    from unearth import PackageFinder

FETCHER = "unearth"
"""The build requirement that reads package indexes; only required if a source must be fetched."""

_ATTEMPTS = 3
_BOUNDS = Bounds(600.0, 256 << 20)
"""mamba's archives have 1 MB, the longest list of files on PyPI some ten."""


IndexFile = Union[ProjectVersion, CrossRuntime]


def obtain(row: IndexFile, cache: Path, environ: Mapping[str, str], echo: Echo) -> Path:
    """Return the archive, from the cache or the index; a complete download is renamed into the cache.

    Raises SourceError.
    """
    kept = cached_archive(row, cache)
    if is_file(kept) and sha256(kept) == row.index_sha256:
        return kept
    with disk_errors(cache, "-C cache-dir=/another/folder"):
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=kept.parent) as folder:
            echo(f"fetching {row.index_file} from the package index")
            fetched = _fetch(row, read_index_config(environ), Path(folder))
            # The finder has checked the hash already; check every file again before it goes into the cache.
            if (found := sha256(fetched)) != row.index_sha256:
                raise _other_content(row, found)
            fetched.replace(kept)
    return kept


def _fetch(row: IndexFile, config: IndexConfig, folder: Path) -> Path:
    """Download with unearth, the package finder of PDM."""
    from unearth import PackageFinder

    if config.no_index and not config.find_links:
        raise _unreachable(row, "pip is configured with no-index and no find-links")
    urls = [] if config.no_index else [*config.index_urls, *config.extra_index_urls]
    try:
        session = open_session(config, [*config.index_urls, *config.extra_index_urls], bounds=_BOUNDS)
    except Exception as error:  # the HTTP library cannot read a proxy or a certificate
        raise _unreachable(row, f"pip's configuration: {without_secrets(str(error), _secrets(config))}") from None
    finder = PackageFinder(
        session=session,
        index_urls=urls,
        find_links=config.find_links,
        trusted_hosts=config.trusted_hosts,
        ignore_compatibility=True,
        no_binary=[] if isinstance(row, CrossRuntime) else [row.name],
    )
    if not config.index_urls and not config.no_index:
        # Only extra indexes are configured: the default index comes first, as for pip.
        default = PackageFinder().sources[0]
        finder.sources[:] = [default, *(source for source in finder.sources if source != default)]
    with closing(finder.session):  # otherwise the session keeps its connections until this process ends
        return _download(finder, row, folder, _secrets(config))


def _secrets(config: IndexConfig) -> tuple[str, ...]:
    """Return the passwords in pip's configuration files, which the environment does not contain."""
    values = (*config.index_urls, *config.extra_index_urls, *config.find_links, config.proxy or "")
    return secrets({str(number): value for number, value in enumerate(values)})


def _download(finder: PackageFinder, row: IndexFile, folder: Path, known: tuple[str, ...]) -> Path:
    """Download with several attempts; ``known`` are passwords that no error message may contain."""
    from unearth.errors import HashMismatchError

    last = "no index answers"
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(2.0**attempt)
        try:
            listed = list(finder.find_all_packages(row.name, allow_yanked=True))
            matches = [item for item in listed if item.link.filename == row.index_file]
            if listed and not matches:
                newest = max(listed, key=lambda item: version.parse(item.version or "0"))
                raise _unreachable(row, f"the index does not have this file; its newest version is {newest.version}")
            if not matches:
                last = f"no index answers, or none has {row.name}"
                continue
            link = matches[0].link
            if link.is_file and not is_file(link.file_path):
                raise _unreachable(row, f"{link.file_path} is not a regular file")
            # Separate folders: unearth also unpacks an archive (we unpack later, from the verified file), and leaves a
            # wheel packed.
            content = folder / "content"
            content.mkdir(exist_ok=True)
            finder.download_and_unpack(link, content, folder, hashes={"sha256": [row.index_sha256]})
        except SourceError:
            raise
        except HashMismatchError as error:
            raise _other_content(row, error.actual.get("sha256", "?")) from None
        except OSError as error:
            if is_disk_error(error):
                raise
            last = without_secrets(str(error), known)
            continue
        except EndlessError:
            raise _unreachable(
                row, f"the download took over {_BOUNDS.seconds:g} s, or is over {_BOUNDS.size >> 20} MB"
            ) from None
        except Exception as error:  # the HTTP library's errors are many and private to unearth
            last = f"{type(error).__name__}: {without_secrets(damage.why(error), known)}"
            continue
        if link.is_file:
            shutil.copyfile(link.file_path, folder / row.index_file)
        return next(path for path in (folder / row.index_file, content / row.index_file) if is_file(path))
    raise _unreachable(row, last)


def _other_content(row: IndexFile, found: str) -> SourceError:
    own = "" if isinstance(row, CrossRuntime) else f", or -C source=/path/to/{row.index_file}"
    return SourceError(
        f"{row.index_file} from the package index has the sha256 {found}",
        f"the released {row.name} {row.version} has {row.index_sha256}",
        f"use another index{own}",
    )


_OTHER_INDEX = "python -m pip config set global.index-url URL   (a package index that you can reach)"


def _unreachable(row: IndexFile, why: str) -> SourceError:
    found = f"{row.index_file} could not be fetched ({why}) and is not in the cache"
    if isinstance(row, CrossRuntime):
        return SourceError(found, f"a wheel for {row.machine} needs the CUDA runtime in this file", _OTHER_INDEX)
    return SourceError(
        found,
        "the build needs upstream's source once",
        (
            _OTHER_INDEX,
            f"-C source=/path/to/{row.index_file}   (copied from another machine)",
            "build from the sdist, which contains upstream's source",
        ),
    )
