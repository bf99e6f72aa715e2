"""``audit`` on wheels that are not what they say: each is refused in a sentence, and none with a traceback."""

import io
import random
import struct
import zipfile
import zlib

import pytest
from support import packed_wheel, record_row

from mamba_build_backend import audit, boundary, cli
from mamba_build_backend.errors import AuditError, SettingsError

NAME = "sample_ext-1.0-py3-none-any.whl"
FILES = {
    "sample_ext/__init__.py": b"version = 1\n" * 200,
    "sample_ext/data.bin": random.Random(1).randbytes(4000),
}


def made(folder, files=FILES, *, name=NAME, record=str):
    """A wheel of 1.0, whatever its name is changed to afterwards."""
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
        (lambda text: text.replace(",2400", ",2401"), "sample_ext/__init__.py has 2400 bytes and not 2401"),
        (lambda text: text.partition("\n")[2], "sample_ext/__init__.py is not listed"),
        (lambda text: text + record_row("gone.py", b""), "gone.py is listed and not there"),
        (lambda text: text.replace("sha256", "md5", 1), "sample_ext/__init__.py has md5, where sha256 or a longer one"),
        (lambda text: "", "sample_ext/__init__.py is not listed; sample_ext/data.bin is not listed;"),
    ],
)
def test_a_record_that_does_not_fit_is_told_by_file(tmp_path, record, says):
    (found,) = problems(made(tmp_path, record=record))
    assert found.startswith("RECORD does not fit the files: ")
    assert says in found


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("sample_ext-2.0-py3-none-any.whl", "is named sample-ext 2.0, and its METADATA says sample_ext 1.0"),
        ("other-1.0-py3-none-any.whl", "is named other 1.0, and its METADATA says sample_ext 1.0"),
        ("sample_ext-1.0-cp311-cp311-manylinux_2_17_x86_64.whl", "is tagged otherwise inside: py3-none-any"),
    ],
)
def test_a_renamed_wheel_is_named_as_such(tmp_path, name, says):
    assert any(says in found for found in problems(made(tmp_path, name=name)))


@pytest.mark.parametrize("name", ["METADATA", "WHEEL"])
def test_a_wheel_without_its_own_files_is_told_so(tmp_path, name):
    whole, less = made(tmp_path), tmp_path / "less" / NAME
    less.parent.mkdir()
    with zipfile.ZipFile(whole) as given, zipfile.ZipFile(less, "w") as archive:
        for item in given.infolist():
            if not item.filename.endswith(name):
                archive.writestr(item, given.read(item))
    (found,) = problems(less)
    assert "not all of METADATA, WHEEL and RECORD" in found


def test_two_wheels_in_one_are_told_so(tmp_path):
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
    data = bytearray(path.read_bytes())
    # Bit 0 of the flags, in each header of both kinds: the files are encrypted.
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(mark, at + 4)
    path.write_bytes(data)
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
        with boundary.user_errors():
            return cli.main([str(part) for part in arguments])
    except SystemExit as left:
        return left.code


def test_requirements_are_read_and_what_is_none_is_refused():
    asked = audit.parse_required("glibc=2.17, glibcxx=3.4.19,arch=8.0,arch=ptx")
    assert (asked.floor.glibc, asked.floor.glibcxx, asked.codes) == ("2.17", "3.4.19", ("80", "PTX"))
    for text in ("glibc", "glibc=new", "arch=hopper", "size=3", ""):
        with pytest.raises(SettingsError, match="says nothing that can be checked"):
            audit.parse_required(text)


def test_what_is_required_is_checked_and_told(tmp_path, capsys):
    path = made(tmp_path)
    assert typed("audit", "--require", "glibc=2.17", path) == 0
    assert typed("audit", "--require", "glib=2.17", path) == 2
    assert "--require: 'glib=2.17' says nothing that can be checked" in capsys.readouterr().err
