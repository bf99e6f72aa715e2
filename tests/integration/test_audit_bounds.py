"""``audit`` of any file of 1 MB ends within 5 s and 500 MB, and names each fault in one sentence."""

import importlib
import json
import os
import resource
import struct
import subprocess
import sys
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import elf_maker
import pytest
from elf_maker import DYNAMIC, DYNSYM, GNU_HASH, MOST, NAME, NOBITS, PROGBITS, STRTAB, VERNEED, VERSYM, elf, words
from hypothesis import HealthCheck, given, settings
from support import ROOT, packed_wheel, typed

from mamba_build_backend.audit.check import audit_wheel
from mamba_build_backend.core.errors import AuditError
from mamba_build_backend.symbols import elf as reader

SECONDS, MEMORY = 5.0, 500 << 20


def judged(path):
    """Seconds of this process that an audit took; whatever else than a verdict it raises is a fault."""
    start = time.process_time()
    with suppress(AuditError):
        audit_wheel(path)
    return time.process_time() - start


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(elf_maker.libraries())
def test_any_library_is_read_or_refused(data):
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"generated-{os.getpid()}.so"
    try:
        path.write_bytes(data)
        start = time.process_time()
        for read in (reader.read_needs, reader.read_exports):
            with suppress(AuditError):
                read(path)
        reader.not_defined(["_Z1a"], [path])
        assert time.process_time() - start < SECONDS
    finally:
        path.unlink(missing_ok=True)


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(data=elf_maker.wheels())
def test_any_wheel_is_judged_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "generated"
    folder.mkdir(exist_ok=True)
    path = folder / NAME
    path.write_bytes(data[:MOST])
    assert judged(path) < SECONDS


# The worst of each kind, of a megabyte.


def need_lists():
    """Lists of versions that lead back to their own beginning."""
    data = words("<HHIII", [(1, 65535, 1, 0, 0)] * 4096)
    return [(".dynstr", STRTAB, 2, 0, 0, 0, b"\0x\0"), (".gnu.version_r", VERNEED, 2, 1, 4096, 0, data)]


def overlapping_lists():
    """Version lists that all lead to one long list of other versions."""
    size = 500_000
    data = words("<HHIII", [(1, 65535, 1, size - 16 * n, 16) for n in range(size // 16)])
    return [(".dynstr", STRTAB, 2, 0, 0, 0, b"\0x\0"), (".gnu.version_r", VERNEED, 2, 1, size // 16, 0, data + words("<IHHII", [(0, 0, 2, 1, 16)] * 30000))]  # fmt: skip


def packed_sections():
    """Sections that would be unpacked to more, and one of a size that no memory has, in no byte."""
    return [(".nv_fatbin", PROGBITS, 0x802, 0, 0, 0, struct.pack("<IIQQ", 1, 0, 1 << 33, 1) + b"x" * 100)]


def empty_section():
    return [(".nv_fatbin", NOBITS, 2, 0, 0, 0, b"")]


def one_long_name():
    """Libraries that are needed, all under the ends of one name."""
    name = b"a" * 600_000 + b"\0"
    return [(".dynstr", STRTAB, 2, 0, 0, 0, name), (".dynamic", DYNAMIC, 2, 1, 0, 16, words("<QQ", [(1, n) for n in range(25_000)]))]  # fmt: skip


def many_names():
    """Required symbols whose names are all suffixes of one long name."""
    names = (b"a" * 60_000 + b"\0") * 8
    return [(".dynstr", STRTAB, 2, 0, 0, 0, names), (".dynsym", DYNSYM, 2, 1, 0, 24, words("<IBBHQQ", [(n, 0x12, 0, 0, 0, 0) for n in range(20_000)]))]  # fmt: skip


def small_rows():
    """A symbol table whose header claims rows of one byte."""
    return [(".dynstr", STRTAB, 2, 0, 0, 0, b"\0x\0"), (".dynsym", DYNSYM, 2, 1, 0, 1, b"\1" * 900_000)]


def many_symbols():
    count = 40_000
    symbols = words("<IBBHQQ", [(1 + n % 2, 0x12, 0, n % 2, 0, 0) for n in range(count)])
    return [(".dynstr", STRTAB, 2, 0, 0, 0, b"\0xy\0"), (".dynsym", DYNSYM, 2, 1, 0, 24, symbols), (".gnu.version", VERSYM, 2, 2, 0, 2, b"\2\0" * count)]  # fmt: skip


def hash_tables():
    """Hash tables without buckets, without a filter, and with chains beyond the end."""
    return [(".dynstr", STRTAB, 2, 0, 0, 0, b"\0x\0"), (".dynsym", DYNSYM, 2, 1, 0, 24, words("<IBBHQQ", [(1, 0x12, 0, 0, 0, 0)])),
            (".gnu.hash", GNU_HASH, 2, 2, 0, 0, words("<IIII", [(0, 0, 0, 0), (1, 1 << 31, 1, 0)]))]  # fmt: skip


def many_sections():
    return [(f".s{n}", PROGBITS, 2, 0, 0, 0, b"") for n in range(9000)]


def many_codes():
    entry = words("<HHIQIIHHI", [(2, 0x101, 64, 0, 0, 0, 7, 1, 90)]).ljust(64, b"\0")
    return [(".nv_fatbin", PROGBITS, 2, 0, 0, 0, struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 1 << 40) + entry * 14_000)]


WORST = [need_lists, overlapping_lists, packed_sections, empty_section, one_long_name, many_names, small_rows, many_symbols,
         hash_tables, many_sections, many_codes]  # fmt: skip


def changed(make):
    return [(1, 5, 1 << 40)] if make is empty_section else []


def library_alone(folder, make):
    return packed_wheel(folder, {"sample_ext/_C.abi3.so": elf(make(), changed(make))}, NAME)


@pytest.mark.parametrize("make", WORST, ids=lambda make: make.__name__)
def test_the_worst_library_of_a_megabyte_is_audited_in_time(tmp_path, make):
    data = elf(make(), changed(make))
    assert len(data) <= MOST
    assert judged(library_alone(tmp_path, make)) < SECONDS


def many_libraries(folder):
    return packed_wheel(folder, {f"x/{n}.so": elf([]) for n in range(2000)}, NAME)


def too_many_libraries(folder):
    return packed_wheel(folder, {f"{n}.so": b"" for n in range(6000)}, NAME)


def zeros(folder):
    """What packs a thousandfold, as the symbols of a library."""
    return packed_wheel(folder, {"a.so": elf([(".dynstr", STRTAB, 2, 0, 0, 0, b"\0"), (".dynsym", DYNSYM, 2, 1, 0, 24, bytes(31 << 20))])}, NAME)  # fmt: skip


def many_rows(folder):
    return packed_wheel(folder, {f"d/{n}": b"" for n in range(6000)}, NAME, lambda text: text.replace("d/", "e/"))


def product_of_tags(folder):
    many = ".".join(f"a{n}" for n in range(1000))
    return packed_wheel(folder, {"sample_ext-1.0.dist-info/WHEEL": f"Tag: {many}-{many}-{many}\n".encode()}, NAME)


def many_requirements(folder):
    text = b"Name: sample_ext\nVersion: 1.0\n" + b"Requires-Dist: torch!\n" * 80_000
    return packed_wheel(folder, {"sample_ext-1.0.dist-info/METADATA": text}, NAME)


def deep_record(folder):
    return packed_wheel(folder, {"sample_ext-1.0.dist-info/mamba-build-record.json": b"[" * 1_000_000}, NAME)


@pytest.mark.parametrize("make", [many_libraries, too_many_libraries, zeros, many_rows, product_of_tags, many_requirements, deep_record], ids=lambda make: make.__name__)  # fmt: skip
def test_the_worst_wheel_of_a_megabyte_is_audited_in_time(tmp_path, make):
    path = make(tmp_path)
    assert path.stat().st_size <= MOST
    assert judged(path) < SECONDS


@pytest.mark.parametrize("make", [many_names, many_symbols, many_codes, zeros], ids=lambda make: make.__name__)
def test_audit_of_a_megabyte_keeps_within_the_memory_bound(tmp_path, make):
    path = zeros(tmp_path) if make is zeros else library_alone(tmp_path, make)

    def limited():
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    command = [sys.executable, "-m", "mamba_build_backend", "audit", "--json", path]
    done = subprocess.run(command, cwd=ROOT, preexec_fn=limited, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 6), done.stderr[-500:]
    assert "Traceback" not in done.stderr
    assert "MemoryError" not in done.stderr


# What held in pyelftools holds here.


def test_real_libraries_are_read_as_pyelftools_reads_them():
    dynamic = importlib.import_module("elftools.elf.dynamic")
    sections = importlib.import_module("elftools.elf.sections")
    elffile = importlib.import_module("elftools.elf.elffile")
    modules = sorted(Path(json.__file__).parent.parent.glob("lib-dynload/*.so"))[:20]
    found = [Path(os.path.realpath(sys.executable)), *modules, *sorted(Path("/usr/lib/x86_64-linux-gnu").glob("libstdc++.so.6.0.*"))[:1]]  # fmt: skip
    assert len(found) > 5
    for path in found:
        with path.open("rb") as file:
            theirs = elffile.ELFFile(file)
            table = next(item for item in theirs.iter_sections() if isinstance(item, dynamic.DynamicSection))
            needed = tuple(tag.needed for tag in table.iter_tags() if tag.entry.d_tag == "DT_NEEDED")
            symbols = next(item for item in theirs.iter_sections() if isinstance(item, sections.SymbolTableSection) and item.name == ".dynsym")  # fmt: skip
            defined = sorted(
                item.name for item in symbols.iter_symbols()
                if item["st_shndx"] != "SHN_UNDEF" and item["st_info"]["bind"] != "STB_LOCAL"
                and item["st_info"]["type"] in ("STT_FUNC", "STT_OBJECT", "STT_TLS", "STT_LOOS", "STT_COMMON", "STT_GNU_IFUNC")
            )  # fmt: skip
            wanted = {item.name for item in symbols.iter_symbols() if item["st_shndx"] == "SHN_UNDEF" and item.name}
            whole = [item.name for item in theirs.iter_sections() if item["sh_type"] not in ("SHT_NULL", "SHT_NOBITS") and item["sh_size"]]  # fmt: skip
        ours = reader.read_needs(path)
        assert ours.needed == needed
        assert [item.name for item in ours.sections] == whole
        assert sorted(item.name for item in reader.read_exports(path)) == defined
        asked = {*ours.unversioned, *(name for item in ours.versions for name in item.symbols)}
        assert asked <= wanted
        assert reader.not_defined([*sorted(wanted), "nobody_has_this"], [path])[-1] == "nobody_has_this"
        assert not set(reader.not_defined(defined, [path]))


# A library is one.


@pytest.mark.parametrize(("kind", "says"), [(1, "is not a shared library"), (2, "is not a shared library"), (4, "is not a shared library")])  # fmt: skip
def test_audit_names_files_that_no_process_can_load(tmp_path, kind, says):
    path = packed_wheel(tmp_path, {"sample_ext/_C.so": elf([(".text", PROGBITS, 6, 0, 0, 0, b"x")], kind=kind)}, NAME)
    assert says in audit_wheel(path).problems[0].found


def test_audit_names_a_machine_without_a_platform_tag(tmp_path):
    path = packed_wheel(
        tmp_path, {"sample_ext/_C.so": elf([(".text", PROGBITS, 6, 0, 0, 0, b"x")], machine=9999)}, NAME
    )
    assert "is for machine 9999" in audit_wheel(path).problems[0].found


@pytest.mark.parametrize("names", [("x/a.so", "x//a.so"), ("x/a.so", "x/./a.so"), ("x//a.so",), ("./a",)])
def test_two_spellings_of_one_path_are_refused(tmp_path, names):
    path = packed_wheel(tmp_path, dict.fromkeys(names, b""), NAME)
    done = typed("audit", path)
    assert done.returncode == 6
    assert "twice" in done.stderr or "in another spelling" in done.stderr


def test_audit_names_a_file_and_a_folder_of_one_name(tmp_path):
    path = tmp_path / NAME
    with zipfile.ZipFile(packed_wheel(tmp_path, {"a.so": elf([])}, NAME), "a") as archive:
        archive.writestr("a.so/b.so", elf([]))
    assert "Traceback" not in typed("audit", path).stderr


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_damaged_wheel_of_another_packer_is_refused(tmp_path, method):
    whole, path = packed_wheel(tmp_path, {"a.py": os.urandom(3000)}, NAME), tmp_path / "made" / NAME
    path.parent.mkdir()
    with zipfile.ZipFile(whole) as given, zipfile.ZipFile(path, "w", method) as archive:
        for name in given.namelist():
            archive.writestr(name, given.read(name))
    assert audit_wheel(path).problems == ()
    data = path.read_bytes()
    for at in range(40, 3000, 150):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        assert typed("audit", path).returncode in (0, 6)
