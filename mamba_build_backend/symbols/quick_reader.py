"""The symbol versions that a shared library asks of the system, read from its ELF headers alone.

``doctor`` runs where nothing but torch and pip is installed, so without pyelftools, and libtorch is some hundred MB: this
reads the few tables that it needs, through a memory map. The audit of finished wheels is ``elf.py``'s, with pyelftools.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterable
from pathlib import Path

_VERNEED = 0x6FFFFFFE  # SHT_GNU_verneed
_FAMILIES = ("GLIBC", "GLIBCXX", "CXXABI")


def newest_needs(libraries: Iterable[Path]) -> dict[str, str]:
    """The newest GLIBC, GLIBCXX and CXXABI version over ``libraries``; those that are missing or no ELF are left out."""
    newest: dict[str, tuple[int, ...]] = {}
    for path in libraries:
        try:
            names = needed_versions(path)
        except (OSError, ValueError, OverflowError, struct.error):  # not there, empty, or damaged
            continue
        for name in names:
            if match := re.fullmatch(r"([A-Z]+)_(\d+(?:\.\d+)*)", name):
                version = tuple(map(int, match[2].split(".")))
                newest[match[1]] = max(newest.get(match[1], ()), version)
    return {family: ".".join(map(str, newest[family])) for family in _FAMILIES if family in newest}


def needed_versions(path: Path) -> list[str]:
    """The names in the section .gnu.version_r, such as ``GLIBC_2.14``; for 64-bit little-endian files.

    Layouts: elf(5), Elf64_Ehdr, Elf64_Shdr; Linux Standard Base Core 3.0, 10.7.3, Elf64_Verneed and Elf64_Vernaux.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:6] != b"\x7fELF\x02\x01":
            raise ValueError(f"{path} is no 64-bit little-endian ELF file")
        (table,) = struct.unpack_from("<Q", data, 0x28)
        size, count = struct.unpack_from("<HH", data, 0x3A)
        # sh_type at 4, sh_offset and sh_size at 24, sh_link at 40, sh_info at 44
        for index in range(count):
            header = table + index * size
            if struct.unpack_from("<I", data, header + 4)[0] == _VERNEED:
                start, _, link, entries = struct.unpack_from("<QQII", data, header + 24)
                (strings,) = struct.unpack_from("<Q", data, table + link * size + 24)
                return list(_names(data, start, entries, strings))
    return []


def _names(data: mmap.mmap, start: int, entries: int, strings: int) -> Iterable[str]:
    need = start
    for _ in range(entries):
        _, count, _, first, following = struct.unpack_from("<HHIII", data, need)
        aux = need + first
        for _ in range(count):
            _, _, _, name, next_aux = struct.unpack_from("<IHHII", data, aux)
            end = data.find(b"\0", strings + name)
            yield data[strings + name : end].decode("ascii")
            aux += next_aux
        need += following
