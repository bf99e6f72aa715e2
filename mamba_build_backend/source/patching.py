"""Apply the plan's patches to a copy of upstream's tree: in order, each hunk exactly at its line, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..core import unified_diff
from ..core.errors import SourceError
from ..core.paths import is_file, is_link, read_bytes, resolved
from ..core.source_files import source_files
from ..core.tree_facts import Fit
from ..tables import PATCHES, Fork, PatchRow, load_tables
from ..tables.forks import SOURCES
from ..tables.likeness import placed


def apply_patches(patches: Sequence[PatchRow], tree: Path, title: str) -> None:
    """Patch ``tree``, the source of ``title``. Raises SourceError with patch, file, hunk and line."""
    for patch in patches:
        # Compute the whole patch before writing the first file.
        for file, content in patched_files(patch, tree, title):
            file.write_bytes(content)


def apply_to_fork(patch: PatchRow, tree: Path, fork: Fork, title: str) -> bool:
    """Patch the files of a changed tree that equal the release's or still fit the patch; return whether there were any.

    Raises SourceError if another file needs the patch, and then writes nothing.
    """
    files = {path.relative_to(tree).as_posix(): path for path in source_files(tree) if not is_link(path)}
    known = next(item for item in load_tables().released if item.project == fork.project)
    places = placed(known.contents, (name for name in files if name.endswith(SOURCES)))

    def read(name: str) -> bytes | None:
        return read_bytes(files[places[name]]) if name in places else None

    fitted = unified_diff.fit(_changes(patch, title), read)
    if fitted.fit is Fit.MISFIT:
        raise _misfit(patch, title, f" ({fitted.place})")
    for name, content in fitted.files.items():
        files[places[name]].write_bytes(content)
    return fitted.fit is Fit.FITS


def patched_files(patch: PatchRow, tree: Path, title: str) -> list[tuple[Path, bytes]]:
    """Return the files of ``tree`` that a patch changes, with their new content; writes nothing. Raises SourceError."""
    return [_changed(change, tree, patch, title) for change in _changes(patch, title)]


def _changes(patch: PatchRow, title: str) -> tuple[unified_diff.FileDiff, ...]:
    path = PATCHES / patch.file
    if not is_file(path):
        raise SourceError(
            f"the patch {patch.file} is missing", f"{title} does not compile without it", "use a complete checkout"
        )
    try:
        return unified_diff.parse(read_bytes(path))
    except ValueError as error:
        raise SourceError(
            f"the patch {patch.file} cannot be read: {error}",
            f"{title} does not compile without it",
            f"fix patches/{patch.file}",
        ) from None


def _changed(change: unified_diff.FileDiff, tree: Path, patch: PatchRow, title: str) -> tuple[Path, bytes]:
    """Return a file of the tree and its new content. Raises SourceError."""
    file = tree / change.name
    # A link could point to a file outside the copy.
    if not is_file(file) or resolved(tree) not in resolved(file).parents:
        raise _misfit(patch, title, f" (there is no {change.name})")
    content = read_bytes(file)
    try:
        return file, unified_diff.applied(content, change.hunks)
    except unified_diff.DoesNotFitError as error:
        place = f" (hunk {error.hunk}, line {error.line} of {change.name})"
        if unified_diff.is_applied(content, change.hunks):
            place = " (its change is already applied)"
        raise _misfit(patch, title, place) from None


def _misfit(patch: PatchRow, title: str, place: str) -> SourceError:
    return SourceError(
        f"the patch {patch.file} does not fit this source of {title}{place}",
        f"the patch is needed: {patch.why}",
        ("-C source=auto   (upstream's own source, which the patch fits)", f"fix patches/{patch.file}"),
    )
