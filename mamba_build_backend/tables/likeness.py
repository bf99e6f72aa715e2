"""Find the release that is most similar to a tree by the content of its files, and the differences. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .forks import CUDA, CXX, Fork
from .projects import PatchRow
from .released import EMPTY, ReleasedFiles
from .rows import admits, is_version

_FEWEST_KERNELS = 2
"""CUDA and C++ files with the names of a release's files: a single one may belong to another project, such as static_switch.h.
Copies of VMamba's scan keep two, one of them unchanged."""


def likeness(
    files: Mapping[str, str],
    name: str,
    version: str,
    released: Sequence[ReleasedFiles],
) -> Fork | None:
    """Return the release that is most similar to ``files`` (digests by path); None if there is none.

    ``name`` and ``version`` are the tree's own: they decide between equally similar releases.
    """
    best: tuple[tuple[int, ...], Fork] | None = None
    for known in released:
        places = placed(known.contents, files)
        kernels = sum(path.endswith((*CUDA, *CXX)) for path in places)
        by_name = any(
            stem in path.rpartition("/")[2] for stem in _stems(known) for path in files if path.endswith(CUDA)
        )
        for number, item in enumerate(known.versions):
            fork = _compared(known, item, files, places)
            telling = sum(files[path] != EMPTY for path in fork.same)
            if not (telling or by_name) or (kernels < _FEWEST_KERNELS and name != known.project):
                continue
            # If only names match, it may be a copy of a copy, based on an old release.
            rank = (name == known.project, telling, item == version, -len(fork.missing), number if telling else -number)
            if best is None or rank > best[0]:
                best = rank, fork
    return best[1] if best else None


def _stems(known: ReleasedFiles) -> set[str]:
    """Return the prefixes of the names of a project's own kernels."""
    names = (path.rpartition("/")[2] for path in known.contents if path.endswith(CUDA[:1]))
    return {f"{name.partition('_fwd')[0]}_" for name in names if "_fwd" in name}


def _compared(known: ReleasedFiles, version: str, files: Mapping[str, str], places: Mapping[str, str]) -> Fork:
    release = known.files_of(version)
    here = {path: places[path] for path in release if path in places}
    same = tuple(place for path, place in here.items() if files[place] == release[path])
    return Fork(
        known.project,
        version,
        same=same,
        changed=tuple(place for place in here.values() if place not in same),
        new=tuple(sorted(set(files) - set(here.values()))),
        missing=tuple(path for path in release if path not in places),
        released=tuple(sorted(place for path, place in places.items() if known.is_released(path, files[place]))),
    )


def placed(paths: Iterable[str], there: Iterable[str]) -> dict[str, str]:
    """Locate a release's files in a tree: at the same path, or at the only path that ends with it (or with it without its first folder).

    >>> placed(["scan/ops/a.py", "csrc/b.cu"], ["my_scan/ops/a.py", "kernels/csrc/b.cu"])
    {'scan/ops/a.py': 'my_scan/ops/a.py', 'csrc/b.cu': 'kernels/csrc/b.cu'}
    """
    by_name: dict[str, list[str]] = {}
    for path in there:
        by_name.setdefault(path.rpartition("/")[2], []).append(path)
    found: dict[str, str] = {}
    for path in paths:
        alike = by_name.get(path.rpartition("/")[2], [])
        inner = path.partition("/")[2]
        for ending in (path, *([inner] if inner.count("/") or path.endswith((*CUDA, *CXX)) else [])):
            fitting = [item for item in alike if item == ending or (ending and item.endswith(f"/{ending}"))]
            own = [item for item in fitting if item == path]
            if len(own or fitting) == 1:
                found[path] = (own or fitting)[0]
                break
    taken = list(found.values())
    return {path: place for path, place in found.items() if place == path or taken.count(place) == 1}


def is_for(patch: PatchRow, names: Iterable[str], fork: Fork, known: ReleasedFiles, files: Mapping[str, str]) -> bool:
    """Whether a patch is for a tree's content: ``names`` are the released paths that it changes, ``files`` the tree's digests.

    A file with the content of a release gets the patches of that release. A changed file gets the patches of the tree's
    release. A patch that the source needs to compile or import may be any variant that fits.
    """
    if patch.upstream != fork.project:
        return False
    places = placed(known.contents, files)
    for name in names:
        place = places.get(name)
        held = known.contents.get(name, {}).get(files[place], ()) if place else ()
        own = (fork.release,) if fork.release in held else held
        if held and not any(admits(patch.versions, item) for item in own):
            return False
        if not held and patch.is_fix and not admits(patch.versions, fork.release):
            return False
    return True


def is_older(version: str, than: str) -> bool:
    """Whether a version is valid, and older than another."""
    from ..core._compat import version as versions

    return is_version(version) and versions.Version(version) < versions.Version(than)
