"""Draw the sizes in a wheel's shared libraries as bars of text. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from .types import Extension

_BLOCKS = " ▏▎▍▌▋▊▉█"
"""A character cell, filled from the left by eighths."""
_MOST_CELLS = 60
_LEAST_CELLS = 4
_NARROW = 60
"""With fewer columns, percentages are left out."""
_KINDS = {
    "gpu": "GPU other",
    "code": "host code",
    "data": "data",
    "symbols": "symbols",
    "debug": "not stripped",
    "rest": "other",
}
"""Labels by ``Section.kind``; ``gpu`` is the GPU code that belongs to no architecture."""


def shares(extensions: Sequence[Extension]) -> dict[str, int]:
    """Return bytes by purpose: GPU code by architecture, then the rest. The sum is the size of the files."""
    sass: dict[int, int] = {}
    ptx: dict[int, int] = {}
    kinds = dict.fromkeys(_KINDS, 0)
    for item in extensions:
        for found, sizes in ((sass, item.sass), (ptx, item.ptx)):
            for arch, size in sizes:
                found[int(arch)] = found.get(int(arch), 0) + size
                kinds["gpu"] -= size
        for section in item.sections:
            kinds[section.kind] += section.size
        # The file's headers, the section table, and padding between sections.
        kinds["rest"] += item.size - sum(section.size for section in item.sections)
    return {
        **{f"sm_{arch}": size for arch, size in sorted(sass.items())},
        **{f"compute_{arch} PTX": size for arch, size in sorted(ptx.items())},
        **{_KINDS[kind]: size for kind, size in kinds.items()},
    }


def chart(extensions: Sequence[Extension], width: int, *, ascii_only: bool = False) -> list[str]:
    """Return a line with a bar for each nonempty share, at most ``width`` columns (40 is enough for every name)."""
    found = {name: size for name, size in shares(extensions).items() if size > 0}
    whole, most = sum(found.values()), max(found.values(), default=0)
    names = max(map(len, found), default=0)
    out = []
    for name, size in found.items():
        head = f"{name:<{names}} {in_units(size):>8}"
        head += f" {size / whole * 100:5.1f} %  " if width >= _NARROW else " "
        cells = max(_LEAST_CELLS, min(_MOST_CELLS, width - len(head)))
        out.append(head + (_ascii_bar if ascii_only else _bar)(size / most, cells))
    return out


def _bar(part: float, cells: int) -> str:
    eighths = max(1, round(part * cells * 8))
    return _BLOCKS[8] * (eighths // 8) + _BLOCKS[eighths % 8].strip()


def _ascii_bar(part: float, cells: int) -> str:
    return "#" * round(part * cells) or "."


def in_units(size: int) -> str:
    """Format bytes with a unit: ``8.6 MB``, ``31.4 kB``, ``512 B``."""
    if size >= 999_950:
        return f"{size / 1e6:.1f} MB"
    return f"{size / 1e3:.1f} kB" if size >= 1000 else f"{size} B"


def is_drawable(encoding: str | None) -> bool:
    """Whether an output with this encoding can show the block characters."""
    try:
        _BLOCKS.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
