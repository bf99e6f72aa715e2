"""Choose the patches that a source needs."""

from __future__ import annotations

import shlex

from ..core.settings import Settings
from ..core.tree_facts import Fit
from ..tables import Fork, PatchRow, ProjectVersion, Tables, admits, minor
from .notebook import Notebook
from .types import Abi, Choice, Rejected, TorchTarget


def decide_patches(
    settings: Settings,
    row: ProjectVersion,
    cuda: str,
    target: TorchTarget,
    abi: Abi,
    tables: Tables,
    notebook: Notebook,
) -> Choice[tuple[PatchRow, ...]]:
    """The patches that this source needs for this CUDA and this torch, in series order.

    A stable wheel needs the patches for the newest known torch; patched code also works with older ones.
    """
    release = minor(target.version) if target.version else ""
    if abi.is_stable:
        release = tables.torch[-1].version
    pairs = [
        (
            patch,
            (_unfit(patch, row.fork) if row.fork else patch.not_for(row))
            or patch.unneeded(cuda, release, target.cxx_standard)
            or ("setting fixes: upstream's own results" if patch.is_fix and not settings.fixes else ""),
        )
        for patch in tables.patches
    ]
    chosen = tuple(patch for patch, why in pairs if not why)
    because = "; ".join(dict.fromkeys(patch.why for patch in chosen if not patch.is_fix)) or (
        "no known patch is needed, or none fits" if row.fork else f"{row.title} has no known compile problem"
    )
    if row.fork and not any(item.code == "source-damaged" for item in notebook.problems):
        _tell_misfits(
            row.fork,
            chosen,
            [patch for patch in tables.patches if not patch.unneeded(cuda, release, target.cxx_standard)],
            settings,
            notebook,
        )
    return Choice(chosen, because, tuple(Rejected(patch.file, why) for patch, why in pairs if why))


def _unfit(patch: PatchRow, fork: Fork) -> str:
    """Why a patch is not applied to a changed tree; empty if it is applied."""
    found = next((item for item in fork.fits if item.file == patch.file), None)
    if found is None:
        return f"only for {patch.meant}"
    if found.fit is Fit.MISFIT:
        return f"does not fit: {found.place}"
    return "the source has none of the lines that it changes" if found.fit is Fit.DONE else ""


def _tell_misfits(
    fork: Fork, chosen: tuple[PatchRow, ...], needed: list[PatchRow], settings: Settings, notebook: Notebook
) -> None:
    """Report hunks that do not fit into a changed file: a problem if the build needs the patch, a note for a fix.

    Patches for the same fault in other releases do not count if one of them fits.
    """
    places = {item.file: item.place for item in fork.fits if item.fit is Fit.MISFIT}
    done = {patch.why for patch in chosen}
    for patch in needed:
        own = patch.upstream == fork.project and not patch.copies and admits(patch.versions, fork.release)
        if patch.file not in places or patch.why in done or not own:
            continue
        done.add(patch.why)
        place = places[patch.file]
        if not patch.is_fix:
            notebook.problem(
                "source-patch",
                f"the patch {patch.file} does not fit {fork.path}: {place}",
                f"that file was changed, and the build needs the patch: {patch.why}",
                f"python -m mamba_build_backend patches -C source={shlex.quote(fork.path)}   (lists the patches that fit; the files are in patches/)",
                f"use an editor to make the patch's change in {place.rpartition(' of ')[2]}; the change counts as made when none of the lines that the patch removes are left",
            )
        elif settings.fixes:
            notebook.note(
                f"the fix {patch.file} does not fit and is not applied; upstream's results stay: {place} ({patch.why})"
            )
