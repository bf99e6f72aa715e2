"""``audit`` on wheels that are not what they say: each is refused in a sentence, and none with a traceback."""

import io
import random
import struct
import zipfile
import zlib

import pytest
from support import call_encrypted, packed_wheel, record_row

from mamba_build_backend.audit import chart as audit_chart
from mamba_build_backend.audit import check as audit
from mamba_build_backend.audit import report as audit_report
from mamba_build_backend.audit.types import Extension, Promise, Provider
from mamba_build_backend.cli import main as cli
from mamba_build_backend.core import error_boundary
from mamba_build_backend.core.errors import AuditError, SettingsError
from mamba_build_backend.symbols import elf
from mamba_build_backend.symbols.floors import Asked, TorchNeeds
from mamba_build_backend.tables import Floor

NAME = "sample_ext-1.0-py3-none-any.whl"
FILES = {
    "sample_ext/__init__.py": b"version = 1\n" * 200,
    "sample_ext/data.bin": random.Random(1).randbytes(4000),
}


def made(folder, files=FILES, *, name=NAME, record=str):
    """A wheel of version 1.0 under any file name."""
    return packed_wheel(folder, files, NAME, record).rename(folder / name)


def problems(path):
    return [item.found for item in audit.audit_wheel(path).problems]


def test_a_whole_wheel_has_no_problem(tmp_path):
    assert problems(made(tmp_path)) == []


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (
            lambda text: text.replace("__init__.py,sha256=", "__init__.py,sha256=A"),
            "sample_ext/__init__.py has another sha256",
        ),
        (lambda text: text.replace(",2400", ",2401"), "sample_ext/__init__.py has 2400 bytes, not 2401"),
        (lambda text: text.partition("\n")[2], "sample_ext/__init__.py is not listed"),
        (lambda text: text + record_row("gone.py", b""), "gone.py is listed but missing"),
        (lambda text: text.replace("sha256", "md5", 1), "sample_ext/__init__.py has md5, but sha256 or a longer hash"),
        (lambda text: "", "sample_ext/__init__.py is not listed; sample_ext/data.bin is not listed;"),
    ],
)
def test_audit_names_each_file_that_differs_from_record(tmp_path, record, says):
    (found,) = problems(made(tmp_path, record=record))
    assert found.startswith("RECORD does not match the files: ")
    assert says in found


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("sample_ext-2.0-py3-none-any.whl", "says sample-ext 2.0, its METADATA says sample_ext 1.0"),
        ("other-1.0-py3-none-any.whl", "says other 1.0, its METADATA says sample_ext 1.0"),
        ("sample_ext-1.0-cp311-cp311-manylinux_2_17_x86_64.whl", "has other tags inside: py3-none-any"),
    ],
)
def test_audit_names_a_renamed_wheel(tmp_path, name, says):
    assert any(says in found for found in problems(made(tmp_path, name=name)))


@pytest.mark.parametrize("name", ["METADATA", "WHEEL"])
def test_audit_names_missing_wheel_files(tmp_path, name):
    whole, less = made(tmp_path), tmp_path / "less" / NAME
    less.parent.mkdir()
    with zipfile.ZipFile(whole) as given, zipfile.ZipFile(less, "w") as archive:
        for item in given.infolist():
            if not item.filename.endswith(name):
                archive.writestr(item, given.read(item))
    (found,) = problems(less)
    assert "not all of METADATA, WHEEL and RECORD" in found


def test_audit_names_two_wheels_in_one(tmp_path):
    (found,) = problems(made(tmp_path, {**FILES, "other-1.dist-info/METADATA": b""}))
    assert "holds 2 .dist-info folders" in found


@pytest.mark.parametrize("name", ["../evil.py", "/etc/evil.py", "a/../../evil.py", "..\\evil.py"])
def test_a_file_that_leads_outside_is_not_unpacked(tmp_path, name):
    with pytest.raises(AuditError, match="a path that leads outside"):
        audit.audit_wheel(made(tmp_path, {**FILES, name: b"x"}))


def test_a_link_is_not_unpacked(tmp_path):
    path = made(tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("sample_ext/link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(AuditError, match="which is a link"):
        audit.audit_wheel(path)


def test_a_file_that_is_there_twice_is_refused(tmp_path):
    path = made(tmp_path)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("sample_ext/__init__.py", "other = 1")
    with pytest.raises(AuditError, match="twice"):
        audit.audit_wheel(path)


def test_a_bomb_is_not_unpacked(tmp_path):
    with pytest.raises(AuditError, match="would unpack to"):
        audit.audit_wheel(made(tmp_path, {**FILES, "zeros": bytes(100 << 20)}))


def test_an_encrypted_wheel_is_refused(tmp_path):
    path = made(tmp_path)
    call_encrypted(path)
    with pytest.raises(AuditError, match="damaged or was cut off"):
        audit.audit_wheel(path)


def content(data):
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return [archive.read(name) for name in archive.namelist()]
    except (zipfile.BadZipFile, zlib.error) as error:
        return str(error)


def damaged(whole: bytes, seed: int) -> bytes:
    """A copy with one thing wrong: a bit of a file's content, the end gone, a piece gone, or bytes in between."""
    chance = random.Random(seed)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        item = chance.choice([item for item in archive.infolist() if item.compress_size])
    names, extra = struct.unpack_from("<HH", whole, item.header_offset + 26)
    start = item.header_offset + 30 + names + extra
    data = bytearray(whole)
    if seed % 4 == 0:
        # Some bits of a compressed file are never read: flip until one tells.
        while content(data) == content(whole):
            data[start + chance.randrange(item.compress_size)] ^= 1 << chance.randrange(8)
    elif seed % 4 == 1:
        del data[chance.randrange(len(data) - 22) :]
    elif seed % 4 == 2:
        at = start + chance.randrange(item.compress_size)
        del data[at : at + 1 + chance.randrange(40)]
    else:
        at = start + chance.randrange(item.compress_size)
        data[at:at] = chance.randbytes(1 + chance.randrange(40))
    return bytes(data)


def test_two_hundred_damaged_wheels_are_each_refused_in_a_sentence(tmp_path, capsys):
    whole = made(tmp_path).read_bytes()
    path = tmp_path / "damaged" / NAME
    path.parent.mkdir()
    for seed in range(200):
        path.write_bytes(damaged(whole, seed))
        status = typed("audit", path)
        said = capsys.readouterr()
        assert status == 6, (seed, said)
        assert "Traceback" not in said.err, seed
        assert "damaged" in said.err or "problem:" in said.out, (seed, said)


def typed(*arguments):
    """The exit code of a command line."""
    try:
        with error_boundary.user_errors():
            return cli.main([str(part) for part in arguments])
    except SystemExit as left:
        return left.code


def test_invalid_requirements_are_refused():
    asked = audit.parse_required("glibc=2.17, glibcxx=3.4.19,arch=8.0,arch=ptx")
    assert (asked.floor.glibc, asked.floor.glibcxx, asked.codes) == ("2.17", "3.4.19", ("80", "PTX"))
    for text in ("glibc", "glibc=new", "arch=hopper", "size=3", ""):
        with pytest.raises(SettingsError, match="is not a valid requirement"):
            audit.parse_required(text)


def test_audit_checks_requirements(tmp_path, capsys):
    path = made(tmp_path)
    assert typed("audit", "--require", "glibc=2.17", path) == 0
    assert typed("audit", "--require", "glib=2.17", path) == 2
    assert "--require: 'glib=2.17' is not a valid requirement" in capsys.readouterr().err


def test_folder_is_not_a_wheel(tmp_path):
    (tmp_path / NAME).mkdir()
    with pytest.raises(AuditError, match="cannot be read: not a regular file"):
        audit.audit_wheel(tmp_path / NAME)


@pytest.mark.parametrize("record", [b"{}", b"[1]", b'{"plan": 1}', b'{"plan": {"front_ends": {"value": [1]}}}', b"{"])
def test_a_build_record_of_something_else_is_refused_in_a_sentence(tmp_path, record):
    path = made(tmp_path, {**FILES, "sample_ext-1.0.dist-info/mamba-build-record.json": record})
    if record == b"{}":
        assert problems(path) == []
        return
    with pytest.raises(AuditError, match=r"record|damaged"):
        audit.audit_wheel(path)


def test_unreadable_requirement_does_not_hide_torch(tmp_path):
    metadata = b"Name: sample_ext\nVersion: 1.0\nRequires-Dist: >!< nonsense\nRequires-Dist: torch==2.11.*\n"
    path = made(tmp_path, {**FILES, "sample_ext-1.0.dist-info/METADATA": metadata})
    assert audit.audit_wheel(path).requires_torch == "torch==2.11.*"


def test_record_with_an_overlong_field_is_reported(tmp_path):
    (found,) = problems(made(tmp_path, record=lambda text: f"{'x' * 200_000},,\n{text}"))
    assert found.startswith("RECORD cannot be read: field larger than field limit")


class Elf64:
    """A shared library made of a few sections, without code: enough for those who read section tables."""

    def __init__(self, sections, *, table=True):
        names = b"\0" + b"".join(name.encode() + b"\0" for name, *_ in sections) + b".shstrtab\0"
        body, headers = b"", [bytes(64)]
        for name, kind, flags, data in [*sections, (".shstrtab", 3, 0, names)]:
            at = names.index(f"\0{name}\0".encode()) + 1
            # sh_name, type, flags, addr, offset, size, link, info, addralign, entsize: elf(5)
            headers.append(struct.pack("<IIQQQQIIQQ", at, kind, flags, 0, 64 + len(body), len(data), 0, 0, 1, 0))
            body += data if kind != 8 else b""
        count = len(headers) if table else 0
        ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
        fixed = struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, 64 + len(body) if table else 0, 0, 64, 56, 0, 64, count, max(count - 1, 0))  # fmt: skip
        self.data = ident + fixed + body + (b"".join(headers) if table else b"")


ALLOC, EXECUTED = 2, 4
SECTIONS = [
    (".dynstr", 3, ALLOC, b"\0" * 30),
    (".text", 1, ALLOC | EXECUTED, b"\0" * 500),
    (".rodata", 1, ALLOC, b"\0" * 200),
    (".bss", 8, ALLOC, b"\0" * 9000),
    (".note.gnu.build-id", 7, ALLOC, b"\0" * 36),
    (".nvFatBinSegment", 1, ALLOC, b"\0" * 24),
    (".debug_info", 1, 0, b"\0" * 700),
    (".strtab", 3, 0, b"\0" * 40),
    (".comment", 1, 0, b"\0" * 20),
]


def with_library(folder, data):
    return made(folder, {**FILES, "sample_ext/_C.so": data})


def test_section_sizes_add_up_to_the_file(tmp_path):
    data = Elf64(SECTIONS).data
    report = audit.audit_wheel(with_library(tmp_path, data))
    (item,) = report.extensions
    kinds = [(section.name, section.kind, section.size) for section in item.sections]
    assert kinds == [
        (".dynstr", "symbols", 30),
        (".text", "code", 500),
        (".rodata", "data", 200),
        (".note.gnu.build-id", "rest", 36),
        (".nvFatBinSegment", "gpu", 24),
        (".debug_info", "debug", 700),
        (".strtab", "debug", 40),
        (".comment", "rest", 20),
        (".shstrtab", "rest", item.sections[-1].size),
    ]
    assert sum(audit_chart.shares([item]).values()) == item.size == len(data)
    told = audit_report.audit_json(report)["extensions"][0]
    assert told["sections"][1] == {"name": ".text", "kind": "code", "size": 500}


def test_library_without_a_section_table_is_reported(tmp_path, capsys):
    path = with_library(tmp_path, Elf64(SECTIONS, table=False).data)
    assert typed("audit", path) == 6
    said = capsys.readouterr()
    assert "sample_ext/_C.so has no section table (it was stripped)" in said.out
    assert "Traceback" not in said.err


@pytest.mark.parametrize("cut", [70, 500, 1200])
def test_a_library_that_was_cut_off_is_refused_in_a_sentence(tmp_path, cut):
    with pytest.raises(AuditError, match=r"_C\.so is not an ELF file, or is damaged"):
        audit.audit_wheel(with_library(tmp_path, Elf64(SECTIONS).data[:cut]))


def test_libraries_with_wrong_bytes_are_read_or_refused_in_a_sentence(tmp_path):
    whole = Elf64(SECTIONS).data
    start = struct.unpack_from("<Q", whole, 0x28)[0]
    path, refused = tmp_path / "damaged.so", 0
    for seed in range(300):
        chance = random.Random(seed)
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            low, high = chance.choice([(0, 64), (start, len(data))])
            data[chance.randrange(low, high)] = chance.choice([0, 255, chance.randrange(256)])
        path.write_bytes(data)
        try:
            elf.read_needs(path)
        except AuditError:
            refused += 1
    assert 0 < refused < 300


def test_section_with_a_wrong_count_is_read_in_bounded_time(tmp_path):
    data = bytearray(Elf64([(".gnu.version_r", 0x6FFFFFFE, ALLOC, b"\0" * 16)]).data)
    start = struct.unpack_from("<Q", data, 0x28)[0]
    struct.pack_into("<II", data, start + 64 + 40, 2, 1 << 31)  # sh_link, to .shstrtab, and sh_info
    with pytest.raises(AuditError, match=r"its section \.gnu\.version_r would have 2147483648 entries"):
        audit.audit_wheel(with_library(tmp_path, bytes(data)))


def test_damaged_fatbin_is_read_in_bounded_time():
    entry = struct.pack("<HHIQIIHHI", 2, 0x101, 64, 1000, 0, 0, 7, 1, 90).ljust(64, b"\0") + bytes(1000)
    whole = struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(entry)) + entry
    assert list(elf.read_fatbin(whole + bytes(8) + whole)) == [elf.GpuCode("sass", "90", 1000)] * 2
    for seed in range(300):
        chance = random.Random(seed)
        data = bytearray(whole * 2)
        for _ in range(chance.randint(1, 3)):
            data[chance.choice([0, len(whole)]) + chance.randrange(4, 60)] = chance.choice([0, 255])
        assert sum(code.size for code in elf.read_fatbin(bytes(data))) <= len(data)
    # Headers that claim a length of 0 must not cause an endless loop.
    assert list(elf.read_fatbin(struct.pack("<IHHQ", 0xBA55ED50, 1, 0, 0) * 3)) == []


def test_a_floor_over_the_promise_is_a_problem_that_names_the_symbol():
    item = Extension(
        path="_C.so", machine="x86_64", size=1, floor=Floor("2.14", "3.4.26"), needed=(), rpath=(), sass=(), ptx=(),
        blockers=(("GLIBC_2.14", "libc.so.6", "memcpy"), ("GLIBCXX_3.4.26", "libstdc++.so.6", "_ZNSt10filesystem")),
        unversioned=0, unresolved=None,
    )  # fmt: skip
    promise = Promise(Floor("2.17", "3.4.22", "1.3.10", "7.0.0"))
    (problem,) = audit._check_floors([], [item], [("the build promised", promise)])
    assert problem.found == "_C.so needs GLIBCXX_3.4.26 of libstdc++.so.6 (for _ZNSt10filesystem)"
    assert problem.needed == "the build promised at most GLIBCXX_3.4.22"


def test_needs_of_torch_are_read_only_from_its_own_libraries(tmp_path, monkeypatch):
    asked = {
        "libc10.so": {"GLIBC": "2.17", "GLIBCXX": "3.4.22"},
        "libtorch_cpu.so": {"GLIBC": "2.28", "GLIBCXX": "3.4.22", "CXXABI": "1.3.11"},
        "python3.11": {"GLIBC": "2.38"},
    }
    monkeypatch.setattr(audit, "newest_needs", lambda paths: asked[paths[0].name])
    own = [tmp_path / "torch" / "lib" / name for name in ("libc10.so", "libtorch_cpu.so")]
    found = audit.torch_needs(Provider(str(tmp_path), "2.11.0", (*own, tmp_path / "python3.11")))
    assert found == TorchNeeds(
        "2.11.0",
        "libraries",
        Asked("2.28", "libtorch_cpu.so"),
        Asked("3.4.22", "libc10.so"),
        Asked("1.3.11", "libtorch_cpu.so"),
    )
    assert audit.torch_needs(Provider(str(tmp_path), "2.11.0", ())) is None
