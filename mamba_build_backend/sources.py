"""The upstream source: from the sdist that carries it, the cache, a path, or the package index; always verified."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from . import git_source
from .errors import SourceError
from .pip_config import IndexConfig, read_index_config
from .plan import BuildPlan
from .process import Echo
from .storage import disk_errors, is_disk_error, sha256
from .tables import UpstreamRow, load_tables

EMBEDDED = "upstream"
"""The folder of an sdist that holds the upstream archive."""

FETCHER = "unearth"
"""The build requirement that reads package indexes; asked for only where a source has to be fetched."""

_ATTEMPTS = 3


def embedded_archive(project: Path) -> str | None:
    """The file name of the upstream archive in this source tree, if it carries one."""
    folder = project / EMBEDDED
    names = sorted(path.name for path in folder.glob("*.tar.gz")) if folder.is_dir() else []
    return names[0] if names else None


def cached_archive(row: UpstreamRow, cache: Path) -> Path:
    """Where an archive that was fetched is kept. The hash is in the path, so another content has another place."""
    return cache / "sources" / row.index_sha256[:16] / row.index_file


def needs_fetch(plan: BuildPlan, cache: Path) -> bool:
    """Whether building would ask the package index."""
    return plan.source.value == "index" and not cached_archive(plan.upstream.value, cache).is_file()


def repository_of(plan: BuildPlan) -> str | None:
    """The git repository that the plan takes the source from: upstream's, or a mirror that the setting names."""
    row, source = plan.upstream.value, plan.source.value
    if source == "git":
        return row.repository
    if source in ("embedded", "index", "self") or not row.git_commit:
        return None
    path = Path(source).expanduser()
    return str(path.absolute()) if path.is_dir() and git_source.is_repository(path) else None


def obtain_archive(plan: BuildPlan, project: Path, cache: Path, environ: Mapping[str, str], echo: Echo) -> Path:
    """The verified upstream archive. Raises SourceError where it cannot be had or is not what the table says."""
    row, source = plan.upstream.value, plan.source.value
    if source == "embedded":
        return verify(project / EMBEDDED / row.index_file, row)
    if source != "index":
        path = Path(source).expanduser()
        mirror = f"a git mirror that has {row.git_tag}" if row.git_commit else ""
        needed = " or ".join(way for way in (row.index_sha256 and f"the archive {row.index_file}", mirror) if way)
        if not path.is_file() or not row.index_sha256:
            what = (
                "a folder"
                if path.is_dir()
                else "an archive, which holds no CUDA sources"
                if path.is_file()
                else "not there"
            )
            raise SourceError(
                f"source: {source} is {what}",
                f"for {row.title} {needed} is needed",
                "-C source=auto   (the package index, or upstream's repository)",
            )
        return verify(path, row)
    kept = cached_archive(row, cache)
    if kept.is_file() and sha256(kept) == row.index_sha256:
        return kept
    with disk_errors(cache, "-C cache-dir=/another/folder"):
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=kept.parent) as folder:
            echo(f"fetching {row.index_file} from the package index")
            fetched = _fetch(row, read_index_config(environ), Path(folder))
            verify(fetched, row).replace(kept)
    return kept


def verify(path: Path, row: UpstreamRow) -> Path:
    """Compare the file's hash with the table's; return the path."""
    try:
        found = sha256(path)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from None
    if found != row.index_sha256:
        others = [item for item in load_tables().upstream if item.index_sha256 == found]
        if others:
            fix = f"-C upstream-version={others[0].version}   (build what it is)"
            raise SourceError(f"{path} is {others[0].title}", f"{row.title} is what is to be built", fix)
        raise SourceError(
            f"{path} has the sha256 {found}",
            f"{row.title} as released has {row.index_sha256}: the file is damaged, or is something else",
            "-C source=auto   (fetch the released one)",
        )
    return path


def _fetch(row: UpstreamRow, config: IndexConfig, folder: Path) -> Path:
    """Download with unearth, the package finder of PDM; several attempts, since networks hiccup."""
    from unearth import PackageFinder
    from unearth.errors import HashMismatchError

    if config.no_index and not config.find_links:
        raise _unreachable(row, "pip is configured with no-index and no find-links")
    urls = [] if config.no_index else [*config.index_urls, *config.extra_index_urls]
    finder = PackageFinder(
        session=_session(config),
        index_urls=urls,
        find_links=config.find_links,
        trusted_hosts=config.trusted_hosts,
        ignore_compatibility=True,
        no_binary=[row.name],
    )
    if not config.index_urls and not config.no_index:
        # Only extra ones are configured: the default index comes first, as for pip.
        default = PackageFinder().sources[0]
        finder.sources[:] = [default, *(source for source in finder.sources if source != default)]
    last = "no index lists it"
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(2.0**attempt)
        try:
            matches = [
                m
                for m in finder.find_matches(f"{row.name}=={row.version}", allow_yanked=True)
                if m.link.filename == row.index_file
            ]
            if not matches:
                last = f"no index lists {row.index_file}, or none answers"
                continue
            link = matches[0].link
            # One folder for the archive, another for its content, which is unpacked later, from the verified file.
            finder.download_and_unpack(link, folder / "content", folder, hashes={"sha256": [row.index_sha256]})
        except HashMismatchError as error:
            found = error.actual.get("sha256", "?")
            raise SourceError(
                f"the package index gave a {row.index_file} with the sha256 {found}",
                f"{row.name} {row.version} as released has {row.index_sha256}",
                "use another index, or -C source=/path/to/" + row.index_file,
            ) from None
        except OSError as error:
            if is_disk_error(error):
                raise
            last = str(error)
            continue
        except Exception as error:  # the HTTP library's errors are many and private to unearth
            last = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no answer'}"
            continue
        if link.is_file:
            shutil.copyfile(link.file_path, folder / row.index_file)
        return folder / row.index_file
    raise _unreachable(row, last)


def _session(config: IndexConfig) -> object | None:
    if config.cert is None and config.proxy is None:
        return None
    from unearth.fetchers import PyPIClient

    options: dict[str, object] = {"trusted_hosts": config.trusted_hosts, "timeout": config.timeout}
    if config.cert:
        import ssl

        options["verify"] = ssl.create_default_context(cafile=config.cert)
    if config.proxy:
        options["proxy"] = config.proxy
    session: object = PyPIClient(**options)
    return session


def _unreachable(row: UpstreamRow, why: str) -> SourceError:
    return SourceError(
        f"{row.index_file} could not be fetched ({why}) and is not in the cache",
        "the source of upstream is needed once",
        (
            "python -m pip config set global.index-url URL   (a package index that you can reach)",
            f"-C source=/path/to/{row.index_file}   (copied from another machine)",
            "build from the sdist, which carries it",
        ),
    )


def unpack(archive: Path, into: Path) -> Path:
    """Unpack an archive into a new folder, refusing members that lead out of it; return its single top folder."""
    into.mkdir(parents=True)
    try:
        with tarfile.open(archive) as tar:
            for member in tar.getmembers():
                _check_member(member, archive)
            if hasattr(tarfile, "data_filter"):
                tar.extractall(into, filter="data")
            else:
                tar.extractall(into)  # noqa: S202 - every member was checked above
    except (tarfile.TarError, EOFError, zipfile.BadZipFile) as error:
        raise SourceError(
            f"{archive.name} is damaged: {error}", "a whole archive is needed", "-C source=auto"
        ) from None
    tops = list(into.iterdir())
    if len(tops) != 1 or not tops[0].is_dir():
        raise SourceError(f"{archive.name} does not hold one folder", "a source archive has one")
    return tops[0]


def _check_member(member: tarfile.TarInfo, archive: Path) -> None:
    path = PurePosixPath(member.name)
    inside = not path.is_absolute() and ".." not in path.parts
    if not inside or not (member.isfile() or member.isdir()):
        raise SourceError(
            f"{archive.name} holds {member.name!r}, which is a link, a device or a path that leads outside",
            "only files and folders may be in it",
        )


def copy_tree(project: Path, into: Path) -> Path:
    """Copy the project's own tree, for ``upstream=self``; what builds leave behind stays where it is."""
    ignored = shutil.ignore_patterns(
        ".git", "__pycache__", "*.egg-info", "build", "dist", ".venv", "venv", "mamba_build_backend"
    )
    shutil.copytree(project, into, symlinks=True, ignore=ignored, dirs_exist_ok=True)
    return into
