"""Read what a shared library needs and provides: symbol versions, undefined symbols, NEEDED, RPATH, sections, GPU code.

The layout of NVIDIA's ``.nv_fatbin`` section, which has no public document, is checked against ``cuobjdump`` by the
tests.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import AuditError
from . import elf_tables
from .elf_tables import DamagedError, ElfFile
from .sections import Section

_KINDS = {1: "object", 2: "function", 5: "object", 6: "tls", 10: "function"}
"""STT_OBJECT, STT_FUNC, STT_COMMON, STT_TLS and STT_GNU_IFUNC."""
_MACHINES = {
    (62, True, True): "x86_64",
    (183, True, True): "aarch64",
    (3, False, True): "i686",
    (40, False, True): "armv7l",
    (21, True, True): "ppc64le",
    (21, True, False): "ppc64",
    (22, True, False): "s390x",
    (243, True, True): "riscv64",
    (258, True, True): "loongarch64",
}
"""Machine names in platform tags, by e_machine, 64 bits and little-endian."""


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
    """A symbol version that a library needs, the library that provides it, and the symbols that need it."""

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
    """What one shared library needs from the system, and its content."""

    machine: str
    """As in platform tags, such as ``x86_64``; ``machine 8`` for a machine without a platform tag."""
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    versions: tuple[VersionNeed, ...]
    unversioned: tuple[str, ...]
    gpu: tuple[GpuCode, ...]
    sections: tuple[Section, ...] = ()
    """Empty if the section table was stripped: then nothing else is known."""
    shared: bool = True
    """Whether the file is a shared object, not a program, an object file or a core dump."""


@contextmanager
def _opened(path: Path) -> Iterator[ElfFile]:
    try:
        with elf_tables.opened(path) as elf:
            yield elf
    except DamagedError as error:
        raise AuditError(f"{path.name} is not an ELF file, or is damaged: {error}") from None


_LOADER = (
    elf_tables.DYNSYM, elf_tables.STRTAB, elf_tables.DYNAMIC, elf_tables.VERSYM, elf_tables.VERDEF, elf_tables.VERNEED,
    4, 5, 9, 19, 0x6FFFFFF6,  # SHT_RELA, SHT_HASH, SHT_REL, SHT_RELR, SHT_GNU_HASH
)  # fmt: skip
_COUNTED = (elf_tables.VERNEED, elf_tables.VERDEF)
_NOTE, _SYMTAB = 7, 2
_DEBUG = (".debug", ".zdebug", ".gnu_debug", ".gdb_index", ".stab")
_GPU = (".nv", "__nv")
"""NVIDIA's sections: .nv_fatbin, .nvFatBinSegment, __nv_relfatbin, __nv_module_id."""


def read_sections(elf: ElfFile) -> Iterator[Section]:
    """Yield the sections that occupy the file.

    Raises DamagedError if one exceeds the file, or has an impossible count.
    """
    for section in elf.sections:
        if section.kind in (0, elf_tables.NOBITS) or not section.size:
            continue
        name = elf.name(section)
        if not elf.is_inside(section):
            raise DamagedError(f"its section {name} goes beyond the end of the file")
        # Elf64_Verneed has 16 bytes. A corrupt sh_info would make us loop billions of times.
        if section.kind in _COUNTED and section.info * 16 > section.size:
            raise DamagedError(f"its section {name} would have {section.info} entries")
        yield Section(name, _section_kind(name, section.kind, section.flags), section.size)


def _section_kind(name: str, kind: int, flags: int) -> str:
    """Return the kind of a section (:class:`Section`); ``kind`` is its sh_type."""
    if name.startswith(_GPU):
        return "gpu"
    if flags & elf_tables.ALLOC == 0:
        left = kind == _SYMTAB or (kind == elf_tables.STRTAB and name != ".shstrtab")
        return "debug" if left or name.startswith(_DEBUG) else "rest"
    if kind == _NOTE:
        return "rest"
    if kind in _LOADER:
        return "symbols"
    return "code" if flags & elf_tables.EXECUTABLE else "data"


def read_exports(path: Path) -> list[DynamicSymbol]:
    """Return all defined symbols of a library's dynamic symbol table, with their versions (empty if there is none)."""
    out = []
    with _opened(path) as elf:
        table, numbers = elf.find(elf_tables.DYNSYM), elf.symbol_versions()
        names = dict(elf.version_definitions())
        strings = elf.strings(table) if table else None
        for index, symbol in enumerate(elf.symbols(table) if table else ()):
            kind = _KINDS.get(symbol.kind)
            if symbol.section == elf_tables.UNDEFINED or kind is None or symbol.binding == elf_tables.LOCAL:
                continue
            number = numbers[index] if index < len(numbers) else 1
            assert strings is not None
            out.append(
                DynamicSymbol(
                    strings.at(symbol.name_at),
                    names.get(number & 0x7FFF, "") if number > 1 else "",
                    kind,
                    symbol.binding == elf_tables.WEAK,
                    symbol.binding == elf_tables.UNIQUE,
                    symbol.size,
                )
            )
    return out


def read_needs(path: Path) -> Needs:
    """Return what the library at ``path`` needs. Raises AuditError if the file is not ELF."""
    with _opened(path) as elf:
        sections = tuple(read_sections(elf))
        dynamic = elf.find(elf_tables.DYNAMIC)
        tags = list(elf.dynamic(dynamic)) if dynamic else []
        strings = elf.strings(dynamic) if dynamic else None
        needed, rpath = [], []
        for tag, value in tags:
            if strings is not None and tag == elf_tables.NEEDED:
                needed.append(strings.at(value))
            elif strings is not None and tag in (elf_tables.RPATH, elf_tables.RUNPATH):
                rpath += [part for part in strings.at(value).split(":") if part]
        versions, unversioned = _undefined(elf)
        gpu = [item for item in elf.sections if elf.name(item) == ".nv_fatbin"]
        return Needs(
            _machine(elf),
            tuple(needed),
            tuple(rpath),
            versions,
            unversioned,
            tuple(read_fatbin(elf.content(gpu[0]))) if gpu else (),
            sections,
            elf.kind == elf_tables.SHARED_OBJECT,
        )


def _machine(elf: ElfFile) -> str:
    return _MACHINES.get((elf.machine, elf.is_wide, elf.is_little), f"machine {elf.machine}")


def _undefined(elf: ElfFile) -> tuple[tuple[VersionNeed, ...], tuple[str, ...]]:
    table, numbers = elf.find(elf_tables.DYNSYM), elf.symbol_versions()
    names = {number: (library, version) for library, version, number in elf.version_needs()}
    asked: dict[tuple[str, str], list[str]] = {key: [] for key in names.values()}
    unversioned = []
    strings = elf.strings(table) if table else None
    for index, symbol in enumerate(elf.symbols(table) if table else ()):
        if symbol.section != elf_tables.UNDEFINED or strings is None or not (name := strings.at(symbol.name_at)):
            continue
        number = numbers[index] if index < len(numbers) else 1
        if number in names:
            asked[names[number]].append(name)
        elif symbol.binding != elf_tables.WEAK:
            # Weak symbols may stay undefined: __gmon_start__, _ITM_registerTMCloneTable.
            unversioned.append(name)
    return tuple(
        VersionNeed(lib, version, tuple(sorted(names))) for (lib, version), names in sorted(asked.items())
    ), tuple(sorted(unversioned))


_FATBIN = struct.Struct("<IHHQ")  # magic, version, size of this header, size of what follows
_ENTRY = struct.Struct("<HHIQIIHHI")  # kind, version, header size, payload size, compressed, flags, minor, major, arch
_MAGIC = 0xBA55ED50
_CODE_KINDS = {1: "ptx", 2: "sass"}


def read_fatbin(data: bytes) -> Iterator[GpuCode]:
    """Yield the pieces of GPU code in a ``.nv_fatbin`` section, a sequence of padded fatbins.

    Inconsistent data ends the current fatbin.
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


def not_defined(symbols: Iterable[str], libraries: Sequence[Path]) -> list[str]:
    """Return the symbols that none of the libraries defines, in order; an unreadable library defines none.

    ``libraries`` are shared libraries, or an interpreter that exports the Python C API. Symbols are read once and not
    stored: libtorch_cpu has 200,000.
    """
    wanted = list(dict.fromkeys(symbols))
    missing = {name.encode("utf-8", "surrogateescape") for name in wanted}
    for path in libraries:
        try:
            with elf_tables.opened(path) as elf:
                table = elf.find(elf_tables.DYNSYM)
                if table is not None and missing:
                    strings = elf.strings(table)
                    missing.difference_update(
                        strings.raw(symbol.name_at)
                        for symbol in elf.symbols(table)
                        if symbol.section != elf_tables.UNDEFINED
                    )
        except (DamagedError, OSError):
            continue
    return [name for name in wanted if name.encode("utf-8", "surrogateescape") in missing]
