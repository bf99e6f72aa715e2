"""Read what a shared library needs and provides: symbol versions, undefined symbols, NEEDED, RPATH, sections, GPU code.

pyelftools does the reading; the layout of NVIDIA's ``.nv_fatbin`` section, which has no public document, is checked
against ``cuobjdump`` by the tests.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from elftools.common.exceptions import ELFError
from elftools.elf.constants import SH_FLAGS
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerDefSection, GNUVerNeedSection, GNUVerSymSection
from elftools.elf.hash import GNUHashSection
from elftools.elf.sections import SymbolTableSection

from ..core.errors import AuditError
from .sections import Section

_KINDS = {
    "STT_FUNC": "function",
    "STT_GNU_IFUNC": "function",
    "STT_OBJECT": "object",
    "STT_COMMON": "object",
    "STT_TLS": "tls",
}


_DAMAGED = (ELFError, struct.error, ValueError, AssertionError, TypeError)
"""What pyelftools raises for bytes that are no ELF file's. ValueError: an offset that no file can have, a name that is no text;
AssertionError: a dynamic section without its strings; TypeError: 0.32, a section table that lies outside of the file."""


@dataclass(frozen=True)
class DynamicSymbol:
    """An exported symbol; ``kind`` is ``function``, ``object`` or ``tls``, ``size`` is in bytes."""

    name: str
    version: str
    kind: str
    weak: bool
    unique: bool
    size: int


@dataclass(frozen=True)
class VersionNeed:
    """A symbol version that a library needs, from which library, and the symbols that ask for it."""

    library: str
    version: str
    symbols: tuple[str, ...]


@dataclass(frozen=True)
class GpuCode:
    """One piece of GPU code: ``kind`` is ``sass`` or ``ptx``, ``arch`` such as ``90``, ``size`` in bytes as stored."""

    kind: str
    arch: str
    size: int


@dataclass(frozen=True)
class Needs:
    """What one shared library asks of the system that loads it, and what it holds."""

    machine: str
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    versions: tuple[VersionNeed, ...]
    unversioned: tuple[str, ...]
    gpu: tuple[GpuCode, ...]
    sections: tuple[Section, ...] = ()
    """Empty for a file that was stripped of its section table: nothing else of it is known then."""


@contextmanager
def _opened(path: Path) -> Iterator[ELFFile]:
    try:
        with path.open("rb") as file:
            yield ELFFile(file)
    except (*_DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # what seek says of such an offset
            raise
        raise AuditError(f"{path.name} is no ELF file, or a damaged one: {error}") from None


def _section(elf: ELFFile, kind: type[Any]) -> Any:
    return next((section for section in elf.iter_sections() if isinstance(section, kind)), None)


def _dynsym(elf: ELFFile) -> Any:
    return next(
        (s for s in elf.iter_sections() if isinstance(s, SymbolTableSection) and s.header["sh_type"] == "SHT_DYNSYM"),
        None,
    )


_LOADER = (
    "SHT_DYNSYM", "SHT_STRTAB", "SHT_HASH", "SHT_GNU_HASH", "SHT_REL", "SHT_RELA", "SHT_RELR", "SHT_DYNAMIC",
    "SHT_GNU_versym", "SHT_GNU_verdef", "SHT_GNU_verneed",
)  # fmt: skip
_COUNTED = ("SHT_GNU_verneed", "SHT_GNU_verdef")
_DEBUG = (".debug", ".zdebug", ".gnu_debug", ".gdb_index", ".stab")
_GPU = (".nv", "__nv")
"""NVIDIA's sections: .nv_fatbin, .nvFatBinSegment, __nv_relfatbin, __nv_module_id."""


def read_sections(elf: ELFFile) -> Iterator[Section]:
    """The sections that occupy the file. Raises ELFError for one that goes beyond its end, or counts more than it can hold."""
    elf.stream.seek(0, os.SEEK_END)
    end = elf.stream.tell()
    if elf.num_sections() * elf["e_shentsize"] > end:
        raise ELFError(f"it would have {elf.num_sections()} sections")
    for section in elf.iter_sections():
        header, name = section.header, section.name
        kind, size = header["sh_type"], header["sh_size"]
        if kind in ("SHT_NULL", "SHT_NOBITS") or not size:
            continue
        if header["sh_offset"] + size > end:
            raise ELFError(f"its section {name} goes beyond the end of the file")
        # Elf64_Verneed has 16 bytes; who believed a wrong count would read the same one thousands of millions of times.
        if kind in _COUNTED and header["sh_info"] * 16 > size:
            raise ELFError(f"its section {name} would have {header['sh_info']} entries")
        yield Section(name, _section_kind(name, kind, header["sh_flags"]), size)


def _section_kind(name: str, kind: Any, flags: int) -> str:
    """What a section is for; ``kind`` is its sh_type, a number where pyelftools has no name for it."""
    if name.startswith(_GPU):
        return "gpu"
    if flags & SH_FLAGS.SHF_ALLOC == 0:
        left = kind == "SHT_SYMTAB" or (kind == "SHT_STRTAB" and name != ".shstrtab")
        return "debug" if left or name.startswith(_DEBUG) else "rest"
    if kind == "SHT_NOTE":
        return "rest"
    if kind in _LOADER:
        return "symbols"
    return "code" if flags & SH_FLAGS.SHF_EXECINSTR else "data"


def read_exports(path: Path) -> list[DynamicSymbol]:
    """All defined symbols of a library's dynamic symbol table, with their versions (empty where it has none)."""
    out = []
    with _opened(path) as elf:
        table, versions, definitions = _dynsym(elf), _section(elf, GNUVerSymSection), _section(elf, GNUVerDefSection)
        names: dict[int, str] = {}
        if definitions is not None:
            for definition, aux in definitions.iter_versions():
                names[definition["vd_ndx"]] = next(aux).name
        for index, symbol in enumerate(table.iter_symbols() if table else ()):
            info = symbol["st_info"]
            kind = _KINDS.get(info["type"])
            if symbol["st_shndx"] == "SHN_UNDEF" or kind is None or info["bind"] == "STB_LOCAL":
                continue
            number = versions.get_symbol(index)["ndx"] if versions is not None else 1
            version = names.get(number & 0x7FFF, "") if isinstance(number, int) else ""
            out.append(
                DynamicSymbol(
                    symbol.name,
                    version,
                    kind,
                    info["bind"] == "STB_WEAK",
                    info["bind"] == "STB_LOOS",
                    symbol["st_size"],
                )
            )
    return out


def read_needs(path: Path) -> Needs:
    """What the library at ``path`` needs. Raises AuditError for a file that is no ELF."""
    with _opened(path) as elf:
        sections = tuple(read_sections(elf))
        dynamic = _section(elf, DynamicSection)
        tags = list(dynamic.iter_tags()) if dynamic else []
        needed = tuple(tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED")
        rpath = tuple(
            part
            for tag in tags
            if tag.entry.d_tag in ("DT_RPATH", "DT_RUNPATH")
            for part in (tag.rpath if tag.entry.d_tag == "DT_RPATH" else tag.runpath).split(":")
            if part
        )
        versions, unversioned = _undefined(elf)
        section = elf.get_section_by_name(".nv_fatbin")
        gpu = tuple(read_fatbin(section.data())) if section is not None else ()
        return Needs(elf.get_machine_arch(), needed, rpath, versions, unversioned, gpu, sections)


def _undefined(elf: ELFFile) -> tuple[tuple[VersionNeed, ...], tuple[str, ...]]:
    table, numbers, needs = _dynsym(elf), _section(elf, GNUVerSymSection), _section(elf, GNUVerNeedSection)
    names: dict[int, tuple[str, str]] = {}
    if needs is not None:
        for library, versions in needs.iter_versions():
            for version in versions:
                names[version["vna_other"]] = (library.name, version.name)
    asked: dict[tuple[str, str], list[str]] = {key: [] for key in names.values()}
    unversioned = []
    for index, symbol in enumerate(table.iter_symbols() if table else ()):
        if symbol["st_shndx"] != "SHN_UNDEF" or not symbol.name:
            continue
        number = numbers.get_symbol(index)["ndx"] if numbers is not None else 1
        if isinstance(number, int) and number in names:
            asked[names[number]].append(symbol.name)
        elif symbol["st_info"]["bind"] != "STB_WEAK":
            # A weak one may stay undefined: __gmon_start__, _ITM_registerTMCloneTable.
            unversioned.append(symbol.name)
    return tuple(
        VersionNeed(lib, version, tuple(sorted(names))) for (lib, version), names in sorted(asked.items())
    ), tuple(sorted(unversioned))


_FATBIN = struct.Struct("<IHHQ")  # magic, version, size of this header, size of what follows
_ENTRY = struct.Struct("<HHIQIIHHI")  # kind, version, header size, payload size, compressed, flags, minor, major, arch
_MAGIC = 0xBA55ED50
_CODE_KINDS = {1: "ptx", 2: "sass"}


def read_fatbin(data: bytes) -> Iterator[GpuCode]:
    """The pieces of GPU code in a ``.nv_fatbin`` section, which holds one fatbin after another, padded.

    What contradicts itself ends the fatbin that it is in.
    """
    at = data.find(_MAGIC.to_bytes(4, "little"))
    while 0 <= at <= len(data) - _FATBIN.size:
        magic, _, header, size = _FATBIN.unpack_from(data, at)
        if magic != _MAGIC:
            at = data.find(_MAGIC.to_bytes(4, "little"), at)
            continue
        entry, end = at + max(header, _FATBIN.size), min(at + max(header, _FATBIN.size) + size, len(data))
        while entry + _ENTRY.size <= end:
            kind, _, entry_header, payload, _, _, _, _, arch = _ENTRY.unpack_from(data, entry)
            if entry_header < _ENTRY.size or entry + entry_header + payload > end:
                break
            if kind in _CODE_KINDS:
                yield GpuCode(_CODE_KINDS[kind], str(arch), payload)
            entry += entry_header + payload
        at = end


class Providers:
    """Libraries that are asked whether they define a symbol, through their hash tables: libtorch_cpu has 200,000."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """``paths`` are shared libraries, or an interpreter that exports the Python C API."""
        self._stack = ExitStack()
        self._tables: list[tuple[str, Any]] = []
        for path in paths:
            file: IO[bytes] = self._stack.enter_context(path.open("rb"))
            try:
                table = _section(ELFFile(file), GNUHashSection)
            except ELFError:
                continue
            if table is not None:
                self._tables.append((path.name, table))

    def __enter__(self) -> Providers:  # noqa: PYI034 - Self is Python 3.11's
        """Keep the files open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the files."""
        self._stack.close()

    def find(self, symbol: str) -> str | None:
        """The name of the first library that defines the symbol."""
        for name, table in self._tables:
            hit = table.get_symbol(symbol)
            if hit is not None and hit["st_shndx"] != "SHN_UNDEF":
                return name
        return None
