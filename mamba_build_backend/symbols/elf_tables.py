"""The tables of an ELF file, read within bounds: no number of the file is believed that the file cannot hold.

Whoever audits a wheel reads what strangers made. pyelftools does as a file says: it walks lists that lead back to themselves, takes
tables of a size that no file has, and unpacks whatever calls itself packed. Here time and memory grow with the file alone, and what
contradicts itself raises :class:`DamagedError`. The tests compare what is read with pyelftools on real libraries.

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
"""Index of the section of a symbol that another library defines."""
LOCAL, WEAK, UNIQUE = 0, 2, 10
"""Bindings of symbols; the last is STB_GNU_UNIQUE."""
NEEDED, RPATH, RUNPATH = 1, 15, 29
"""Tags of the dynamic section."""

_MOST_SECTIONS = 10_000
"""A library has some forty."""
_LONGEST_NAME = 1 << 16
"""Bytes. The longest of torch's templates have some thousand."""
_MOST_OF_NAMES = 4
"""How often the names that are read may fill their table: a linker lets one name be the end of another."""


class DamagedError(ValueError):
    """The bytes are no ELF file's, or contradict themselves."""


class Section(NamedTuple):
    """A row of the section table. ``name_at`` is where its name is in the table of names; ``offset`` and ``size`` are bytes."""

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
    """A row of the dynamic symbol table. ``name_at`` is where its name is in the strings; ``size`` is bytes."""

    name_at: int
    kind: int
    binding: int
    section: int
    size: int


@dataclass(frozen=True)
class _Layout:
    """Formats of one class of files, 64 or 32 bits, and the places of a symbol's name, info, section and size."""

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
    """A table of names. Each is read once, and all together are no more than a few times the table."""

    def __init__(self, data: Data, start: int, size: int) -> None:
        """``start`` and ``size`` in bytes; the table lies within the file."""
        self._data, self._start, self._end = data, start, start + size
        self._left = size * _MOST_OF_NAMES + _LONGEST_NAME
        self._known: dict[int, str] = {}

    def at(self, offset: int) -> str:
        """The name there. Raises DamagedError."""
        if offset not in self._known:
            self._known[offset] = self.raw(offset).decode("utf-8", "backslashreplace")
        return self._known[offset]

    def raw(self, offset: int) -> bytes:
        """The same as bytes, read anew. Raises DamagedError."""
        begin = self._start + offset
        end = self._data.find(b"\0", begin, min(self._end, begin + _LONGEST_NAME))
        if begin >= self._end or end < 0:
            raise DamagedError("it has a name that goes beyond its table, or is too long")
        self._left -= end - begin
        if self._left < 0:
            raise DamagedError("its names are many times what their table holds")
        return self._data[begin:end]


class ElfFile:
    """An ELF file of either width and order. ``machine`` is e_machine, ``kind`` e_type; the sections are empty without a table."""

    def __init__(self, data: Data) -> None:
        """Raises DamagedError."""
        ident = data[:16]
        if len(ident) < 16 or ident[:4] != b"\x7fELF" or ident[4] not in (1, 2) or ident[5] not in (1, 2):
            raise DamagedError("it does not begin as one")
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
        if named == 0xFFFF and self.sections:  # SHN_XINDEX: it is in the first section
            named = self.sections[0].link
        self._names = self._strings(named) if self.sections else None

    def _sections(self, table: int, row: int, count: int) -> tuple[Section, ...]:
        layout = self._layout.section
        if not table:
            return ()
        if table + layout.size > self._size or row != layout.size:
            raise DamagedError("its section table lies outside of the file, or has rows of another size")
        if count == 0:  # more than two bytes can say: it is in the first section
            count = Section(*layout.unpack_from(self._data, table)).size
        if count > _MOST_SECTIONS or table + count * layout.size > self._size:
            raise DamagedError(f"it would have {count} sections")
        return tuple(map(Section._make, layout.iter_unpack(self._data[table : table + count * layout.size])))

    def name(self, section: Section) -> str:
        """What a section is called. Raises DamagedError."""
        return self._names.at(section.name_at) if self._names is not None else ""

    def find(self, kind: int) -> Section | None:
        """The first section of a kind."""
        return next((item for item in self.sections if item.kind == kind), None)

    def is_inside(self, section: Section) -> bool:
        """Whether it lies within the file."""
        return section.offset + section.size <= self._size

    def content(self, section: Section) -> bytes:
        """Its bytes. Raises DamagedError for one that has none in the file, or that are packed."""
        if section.kind == NOBITS or section.flags & COMPRESSED or not self.is_inside(section):
            raise DamagedError(f"its section {self.name(section)} is not in the file as it would be used")
        return self._data[section.offset : section.offset + section.size]

    def strings(self, section: Section) -> Strings:
        """The names that a table's rows are about. Raises DamagedError."""
        return self._strings(section.link)

    def _strings(self, index: int) -> Strings:
        if index >= len(self.sections) or self.sections[index].kind != STRTAB:
            raise DamagedError("it has a table without names")
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
        """The rows of a symbol table. Raises DamagedError."""
        name, info, section, size = self._layout.symbol_fields
        for row in self._rows(table, self._layout.symbol):
            yield Symbol(row[name], row[info] & 0xF, row[info] >> 4, row[section], row[size])

    def dynamic(self, table: Section) -> Iterator[tuple[int, int]]:
        """Tags and values, up to the row that ends them. Raises DamagedError."""
        for tag, value in self._rows(table, self._layout.dynamic):
            if tag == 0:
                return
            yield tag, value

    def symbol_versions(self) -> tuple[int, ...]:
        """For each dynamic symbol the number of its version; empty where there are none. Raises DamagedError."""
        table = self.find(VERSYM)
        if table is None:
            return ()
        content = self.content(table)
        return struct.unpack_from(f"{self._order}{len(content) // 2}H", content)

    def version_needs(self) -> Iterator[tuple[str, str, int]]:
        """Library, version and the version's number. Raises DamagedError."""
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
        """Number and name of each version that the library defines. Raises DamagedError."""
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
    """Lists whose rows say how far the next one is, in one table: all that are read are no more than it can hold."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._left = len(content) // 4

    def rows(self, layout: struct.Struct, at: int, count: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Where each is, and its fields, of which the last is the distance. Raises DamagedError."""
        for _ in range(count):
            self._left -= layout.size // 4
            if at + layout.size > len(self._content) or self._left < 0:
                raise DamagedError("a list of symbol versions goes beyond its table, or back to where it was")
            row = layout.unpack_from(self._content, at)
            yield at, row
            if not row[-1]:
                return
            at += row[-1]


@contextmanager
def opened(path: Path) -> Iterator[ElfFile]:
    """The file as a map of its bytes. Raises OSError, and DamagedError for what is no ELF file."""
    with open_plain(path) as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise DamagedError("it is empty") from None
        with data:
            yield ElfFile(data)
