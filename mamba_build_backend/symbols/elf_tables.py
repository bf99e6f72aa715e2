"""Read the tables of an ELF file within bounds: every number is checked against the size of the file.

An audit reads untrusted files. pyelftools trusts the file: it follows cyclic lists, accepts tables larger than the
file, and unpacks any compressed section. Here time and memory are proportional to the file size, and inconsistent data
raises :class:`DamagedError`. The tests compare the results with pyelftools on real libraries.

Layouts: elf(5); Linux Standard Base Core 3.0, 10.7, for symbol versions.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Union

from ..core.paths import open_plain

Data = Union[bytes, mmap.mmap]

STRTAB, DYNAMIC, NOBITS, DYNSYM = 3, 6, 8, 11
VERDEF, VERNEED, VERSYM = 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
ALLOC, EXECUTABLE, COMPRESSED = 0x2, 0x4, 0x800
SHARED_OBJECT = 3
UNDEFINED = 0
"""Section index of a symbol that another library defines."""
LOCAL, WEAK, UNIQUE = 0, 2, 10
"""Symbol bindings; the last is STB_GNU_UNIQUE."""
NEEDED, RPATH, RUNPATH = 1, 15, 29
"""Tags of the dynamic section."""

_MOST_SECTIONS = 10_000
"""A library has about forty sections."""
_LONGEST_NAME = 1 << 16
"""Bytes. torch's longest template names have a few thousand."""
_MOST_OF_NAMES = 4
"""Total length of all names as a multiple of their table: linkers let one name be the end of another."""


class DamagedError(ValueError):
    """The file is not ELF, or is inconsistent."""


class Section(NamedTuple):
    """A row of the section table. ``name_at``: index in the table of names; ``offset`` and ``size`` in bytes."""

    name_at: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int


class Symbol(NamedTuple):
    """A row of the dynamic symbol table. ``name_at``: index in the strings; ``size`` in bytes."""

    name_at: int
    kind: int
    binding: int
    section: int
    size: int


@dataclass(frozen=True)
class _Layout:
    """Formats of 64- or 32-bit files, and the positions of a symbol's name, info, section and size."""

    head: struct.Struct
    section: struct.Struct
    symbol: struct.Struct
    symbol_fields: tuple[int, int, int, int]
    dynamic: struct.Struct


def _layout(order: str, *, wide: bool) -> _Layout:
    # type, machine, version, entry, program headers, sections, flags, header size, …
    word = "Q" if wide else "I"
    return _Layout(
        struct.Struct(f"{order}HHI{word}{word}{word}IHHHHHH"),
        struct.Struct(f"{order}II{word * 4}II{word * 2}"),
        struct.Struct(f"{order}IBBHQQ" if wide else f"{order}IIIBBH"),
        (0, 1, 3, 5) if wide else (0, 3, 5, 2),
        struct.Struct(f"{order}qQ" if wide else f"{order}iI"),
    )


class Strings:
    """A table of names. Each name is read once; the total length is bounded by a multiple of the table."""

    def __init__(self, data: Data, start: int, size: int) -> None:
        """``start`` and ``size`` in bytes; the table must be inside the file."""
        self._data, self._start, self._end = data, start, start + size
        self._left = size * _MOST_OF_NAMES + _LONGEST_NAME
        self._known: dict[int, str] = {}

    def at(self, offset: int) -> str:
        """Return the name at an offset. Raises DamagedError."""
        if offset not in self._known:
            self._known[offset] = self.raw(offset).decode("utf-8", "backslashreplace")
        return self._known[offset]

    def raw(self, offset: int) -> bytes:
        """Return the name at an offset as bytes, without caching. Raises DamagedError."""
        begin = self._start + offset
        end = self._data.find(b"\0", begin, min(self._end, begin + _LONGEST_NAME))
        if begin >= self._end or end < 0:
            raise DamagedError("a name goes beyond its table, or is too long")
        self._left -= end - begin
        if self._left < 0:
            raise DamagedError("its names are many times longer than their table")
        return self._data[begin:end]


class ElfFile:
    """An ELF file of either width and byte order.

    ``machine`` is e_machine, ``kind`` e_type; ``sections`` may be empty.
    """

    def __init__(self, data: Data) -> None:
        """Raises DamagedError."""
        ident = data[:16]
        if len(ident) < 16 or ident[:4] != b"\x7fELF" or ident[4] not in (1, 2) or ident[5] not in (1, 2):
            raise DamagedError("it has no ELF header")
        self._data, self._size = data, len(data)
        self.is_wide, self.is_little = ident[4] == 2, ident[5] == 1
        self._order = "<" if self.is_little else ">"
        self._layout = _layout(self._order, wide=self.is_wide)
        if self._size < 16 + self._layout.head.size:
            raise DamagedError("it was cut off")
        head = self._layout.head.unpack_from(data, 16)
        self.kind, self.machine = head[0], head[1]
        self.sections = self._sections(table=head[5], row=head[10], count=head[11])
        named = head[12]
        if named == 0xFFFF and self.sections:  # SHN_XINDEX: the first section has the index
            named = self.sections[0].link
        self._names = self._strings(named) if self.sections else None

    def _sections(self, table: int, row: int, count: int) -> tuple[Section, ...]:
        layout = self._layout.section
        if not table:
            return ()
        if table + layout.size > self._size or row != layout.size:
            raise DamagedError("its section table is outside the file, or has rows of another size")
        if count == 0:  # more than two bytes can express: the first section has the count
            count = Section(*layout.unpack_from(self._data, table)).size
        if count > _MOST_SECTIONS or table + count * layout.size > self._size:
            raise DamagedError(f"it claims to have {count} sections")
        return tuple(map(Section._make, layout.iter_unpack(self._data[table : table + count * layout.size])))

    def name(self, section: Section) -> str:
        """Return the name of a section. Raises DamagedError."""
        return self._names.at(section.name_at) if self._names is not None else ""

    def find(self, kind: int) -> Section | None:
        """Return the first section of a kind, or None."""
        return next((item for item in self.sections if item.kind == kind), None)

    def is_inside(self, section: Section) -> bool:
        """Whether a section is inside the file."""
        return section.offset + section.size <= self._size

    def content(self, section: Section) -> bytes:
        """Return the bytes of a section. Raises DamagedError if it has none in the file, or is compressed."""
        if section.kind == NOBITS or section.flags & COMPRESSED or not self.is_inside(section):
            raise DamagedError(f"its section {self.name(section)} is compressed, or not in the file")
        return self._data[section.offset : section.offset + section.size]

    def strings(self, section: Section) -> Strings:
        """Return the names of a table's rows. Raises DamagedError."""
        return self._strings(section.link)

    def _strings(self, index: int) -> Strings:
        if index >= len(self.sections) or self.sections[index].kind != STRTAB:
            raise DamagedError("a table has no names")
        table = self.sections[index]
        if not self.is_inside(table) or table.flags & COMPRESSED:
            raise DamagedError("a table of names goes beyond the end of the file")
        return Strings(self._data, table.offset, table.size)

    def _rows(self, section: Section, layout: struct.Struct) -> Iterator[tuple[int, ...]]:
        if section.entry_size not in (0, layout.size):
            raise DamagedError(f"its section {self.name(section)} has rows of {section.entry_size} bytes")
        content = self.content(section)
        return layout.iter_unpack(content[: len(content) // layout.size * layout.size])

    def symbols(self, table: Section) -> Iterator[Symbol]:
        """Yield the rows of a symbol table. Raises DamagedError."""
        name, info, section, size = self._layout.symbol_fields
        for row in self._rows(table, self._layout.symbol):
            yield Symbol(row[name], row[info] & 0xF, row[info] >> 4, row[section], row[size])

    def dynamic(self, table: Section) -> Iterator[tuple[int, int]]:
        """Yield tags and values up to the terminating row. Raises DamagedError."""
        for tag, value in self._rows(table, self._layout.dynamic):
            if tag == 0:
                return
            yield tag, value

    def symbol_versions(self) -> tuple[int, ...]:
        """Return the version number of each dynamic symbol; empty if there are none. Raises DamagedError."""
        table = self.find(VERSYM)
        if table is None:
            return ()
        content = self.content(table)
        return struct.unpack_from(f"{self._order}{len(content) // 2}H", content)

    def version_needs(self) -> Iterator[tuple[str, str, int]]:
        """Yield library, version and version number. Raises DamagedError."""
        table = self.find(VERNEED)
        if table is None:
            return
        strings = self.strings(table)
        walk = _Walk(self.content(table))
        need, aux = (struct.Struct(f"{self._order}{fields}") for fields in ("HHIII", "IHHII"))
        for at, (_, count, file, first, _) in walk.rows(need, 0, table.info):
            for _, (_, _, number, name, _) in walk.rows(aux, at + first, count):
                yield strings.at(file), strings.at(name), number

    def version_definitions(self) -> Iterator[tuple[int, str]]:
        """Yield number and name of each version that the library defines. Raises DamagedError."""
        table = self.find(VERDEF)
        if table is None:
            return
        strings = self.strings(table)
        walk = _Walk(self.content(table))
        definition, aux = (struct.Struct(f"{self._order}{fields}") for fields in ("HHHHIII", "II"))
        for at, (_, _, number, count, _, first, _) in walk.rows(definition, 0, table.info):
            for _, (name, _) in walk.rows(aux, at + first, min(count, 1)):
                yield number, strings.at(name)


class _Walk:
    """Linked lists in one table; the total number of rows read is bounded by the table's size."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._left = len(content) // 4

    def rows(self, layout: struct.Struct, at: int, count: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield each row's position and fields; the last field is the distance to the next row. Raises DamagedError."""
        for _ in range(count):
            self._left -= layout.size // 4
            if at + layout.size > len(self._content) or self._left < 0:
                raise DamagedError("a list of symbol versions goes beyond its table, or in a circle")
            row = layout.unpack_from(self._content, at)
            yield at, row
            if not row[-1]:
                return
            at += row[-1]


@contextmanager
def opened(path: Path) -> Iterator[ElfFile]:
    """Map a file into memory. Raises OSError, and DamagedError if the file is not ELF."""
    with open_plain(path) as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise DamagedError("it is empty") from None
        with data:
            yield ElfFile(data)
