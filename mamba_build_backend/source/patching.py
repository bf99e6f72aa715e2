"""Apply the plan's patches to a copy of upstream's tree: in order, each hunk exactly where it says, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..core.errors import SourceError
from ..core.paths import is_file, read_bytes, resolved
from ..tables import PATCHES, PatchRow
from . import unified_diff


def apply_patches(patches: Sequence[PatchRow], tree: Path, title: str) -> None:
    """Patch ``tree``, which is ``title``'s. Raises SourceError, naming patch, file, hunk and line."""
    for patch in patches:
        # All of it is worked out before the first file is written.
        for file, content in patched_files(patch, tree, title):
            file.write_bytes(content)


def patched_files(patch: PatchRow, tree: Path, title: str) -> list[tuple[Path, bytes]]:
    """The files of ``tree`` that a patch changes, and what they become; nothing is written. Raises SourceError."""
    path = PATCHES / patch.file
    if not is_file(path):
        raise SourceError(
            f"the patch {patch.file} is not there", f"{title} does not compile without it", "use a whole checkout"
        )
    try:
        changes = unified_diff.parse(read_bytes(path))
    except ValueError as error:
        raise SourceError(
            f"the patch {patch.file} cannot be read: {error}",
            f"{title} does not compile without it",
            f"mend patches/{patch.file}",
        ) from None
    return [_changed(change, tree, patch, title) for change in changes]


def _changed(change: unified_diff.FileDiff, tree: Path, patch: PatchRow, title: str) -> tuple[Path, bytes]:
    """A file of the tree, and what it becomes. Raises SourceError."""
    file = tree / change.name
    # A link could lead to a file that somebody else works on.
    if not is_file(file) or resolved(tree) not in resolved(file).parents:
        raise _misfit(patch, title, f" (there is no {change.name})")
    content = read_bytes(file)
    try:
        return file, unified_diff.applied(content, change.hunks)
    except unified_diff.DoesNotFitError as error:
        place = f" (hunk {error.hunk}, line {error.line} of {change.name})"
        if unified_diff.is_applied(content, change.hunks):
            place = " (what it changes is changed already)"
        raise _misfit(patch, title, place) from None


def _misfit(patch: PatchRow, title: str, place: str) -> SourceError:
    return SourceError(
        f"the patch {patch.file} does not fit this source of {title}{place}",
        f"it is needed: {patch.why}",
        ("-C source=auto   (upstream's own source, which it fits)", f"mend patches/{patch.file}"),
    )
