"""Which patches a source needs."""

from __future__ import annotations

from ..core.settings import Settings
from ..tables import PatchRow, ProjectVersion, Tables, minor
from .types import Abi, Choice, Rejected, TorchTarget


def decide_patches(
    settings: Settings, row: ProjectVersion, cuda: str, target: TorchTarget, abi: Abi, tables: Tables
) -> Choice[tuple[PatchRow, ...]]:
    """The patches that this source needs for this CUDA and this torch, in the order of the series.

    A wheel for many torches needs those of the newest of them: what such a patch changes works with an older one, too.
    """
    release = minor(target.version) if target.version else ""
    if abi.is_stable:
        release = tables.torch[-1].version
    pairs = [
        (
            patch,
            patch.misfit(row, cuda, release, target.cxx_standard)
            or ("setting fixes: upstream's own results" if patch.is_fix and not settings.fixes else ""),
        )
        for patch in tables.patches
    ]
    chosen = tuple(patch for patch, why in pairs if not why)
    because = (
        "; ".join(dict.fromkeys(patch.why for patch in chosen if not patch.is_fix))
        or f"{row.title} compiles as it is, as far as is known"
    )
    return Choice(chosen, because, tuple(Rejected(patch.file, why) for patch, why in pairs if why))
