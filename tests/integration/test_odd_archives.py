"""Damaged source archives, and impossible names and times: refused in one sentence, in time, leaving nothing."""

import io
import lzma
import os
import random
import struct
import tarfile
import time
import zipfile

import pytest
from support import add, call_encrypted, tar_of, zip_of

from mamba_build_backend.core import archives
from mamba_build_backend.core.errors import SettingsError, SourceError
from mamba_build_backend.core.timestamp import source_date_epoch
from mamba_build_backend.core.work import BuildContext
from mamba_build_backend.wheel import repair

FILES = {"setup.py": b"x = 1\n" * 400, "a.cu": random.Random(3).randbytes(9000)}


def zip_by(method):
    def make(path):
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, data in FILES.items():
                archive.writestr(f"top/{name}", data)
        return path.read_bytes()

    return make


def tar_by(mode):
    def make(path):
        with tarfile.open(path, mode) as tar:
            for name, data in FILES.items():
                add(tar, f"top/{name}", data)
        return path.read_bytes()

    return make


PACKERS = {
    "zip": zip_by(zipfile.ZIP_DEFLATED), "zip-lzma": zip_by(zipfile.ZIP_LZMA), "zip-bz2": zip_by(zipfile.ZIP_BZIP2), "tar": tar_by("w"),
    "tar.gz": tar_by("w:gz"), "tar.xz": tar_by("w:xz"), "tar.bz2": tar_by("w:bz2"),
}  # fmt: skip


@pytest.mark.parametrize("packer", PACKERS)
def test_a_damaged_archive_of_any_kind_is_unpacked_or_refused(tmp_path, packer):
    whole = PACKERS[packer](tmp_path / "whole")
    refused = 0
    for seed in range(60):
        chance = random.Random(seed)
        data = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if seed % 5 == 0:
            del data[chance.randrange(len(data)) :]
        path = tmp_path / f"{seed}.archive"
        path.write_bytes(data)
        try:
            archives.unpack(path, tmp_path / f"into-{seed}")
        except SourceError:
            refused += 1
            assert not (tmp_path / f"into-{seed}").exists()
    assert refused > 5


def refused(path, into, match):
    start = time.process_time()
    with pytest.raises(SourceError, match=match):
        archives.unpack(path, into)
    assert not into.exists()
    assert time.process_time() - start < 5


def with_method(path):
    """Packed in an unknown format."""
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = data.find(mark)
        while at >= 0:
            data[at + offset : at + offset + 2] = struct.pack("<H", 99)
            at = data.find(mark, at + 4)
    path.write_bytes(data)


@pytest.mark.parametrize("change", [call_encrypted, with_method])
def test_an_archive_that_cannot_be_unpacked_is_refused(tmp_path, change):
    path = zip_of(tmp_path / "a.zip", FILES)
    change(path)
    refused(path, tmp_path / "into", "is damaged")


@pytest.mark.parametrize(
    "headers", [{"mtime": "1e30"}, {"mtime": "nan"}, {"mtime": "inf"}, {"mtime": "-1e30"}, {"path": "top/a\0b"}, {"path": "top/" + "n" * 300},
                {"size": "-1"}, {"size": "x"}, {"path": "top/" + "n/" * 3000 + "x"}, {"uid": "9" * 400}]
)  # fmt: skip
def test_odd_headers_are_refused_or_taken_without_a_traceback(tmp_path, headers):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        add(tar, "top/setup.py", b"x", pax_headers=headers)
    try:
        tree = archives.unpack(path, tmp_path / "into")
    except SourceError:
        assert not (tmp_path / "into").exists()
    else:
        assert archives.tree_sha256(tree)


def test_name_that_is_not_utf_8_is_copied(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as tar:
        add(tar, "top/setup.py", b"x")
        add(tar, "top/é.py", b"x")
    tree = archives.unpack(path, tmp_path / "into")
    assert archives.tree_sha256(archives.copy_tree(tree, tmp_path / "copy")) == archives.tree_sha256(tree)


def test_a_file_and_a_folder_of_one_name_are_refused(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        add(tar, "top/x", b"x")
        add(tar, "top/x/y", b"x")
    refused(path, tmp_path / "into", "is damaged")


def sparse(path):
    """200 GB in 512 bytes, as GNU tar writes a file with a hole."""
    info = tarfile.TarInfo("top/hole")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 0
    head = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    head[483:495] = b"\x80" + (200 << 30).to_bytes(11, "big")
    head[148:156] = b"        "
    head[148:156] = b"%06o\0 " % sum(head)
    path.write_bytes(bytes(head) + bytes(1024))
    return path


def test_a_file_of_holes_is_not_hashed_for_hours(tmp_path):
    refused(sparse(tmp_path / "a.tar"), tmp_path / "into", r"contains over|a sparse file|is damaged")


def test_archive_larger_than_any_source_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_MOST_BYTES", 1 << 20)
    refused(tar_of(tmp_path / "a.tar.gz", {"zeros": bytes(2 << 20)}), tmp_path / "into", "contains over")
    refused(zip_of(tmp_path / "a.zip", {"zeros": bytes(2 << 20)}), tmp_path / "into", "contains over")
    monkeypatch.setattr(archives, "_MOST_ENTRIES", 10)
    refused(tar_of(tmp_path / "b.tar.gz", {str(n): b"" for n in range(20)}), tmp_path / "into", "contains over")


def test_a_dictionary_of_gigabytes_is_refused(tmp_path):
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 20}]
    data = bytearray(lzma.compress(b"x" * 1000, lzma.FORMAT_ALONE, filters=filters))
    data[1:5] = struct.pack("<I", 0xFFFFFFFF)
    path = tmp_path / "a.tar.lzma"
    path.write_bytes(data)
    refused(path, tmp_path / "into", "is damaged")


# Times and modes of what is built.


@pytest.mark.parametrize("value", ["4294967296", "99999999999", "999999999999", "9" * 5000, "-1", "1.5", "١"])
def test_timestamp_outside_the_archive_range_is_named(value):
    with pytest.raises(SettingsError, match="SOURCE_DATE_EPOCH is"):
        source_date_epoch({"SOURCE_DATE_EPOCH": value})


def test_the_bytes_of_a_wheel_do_not_depend_on_the_umask(tmp_path):
    packed = []
    before = os.umask(0o022)
    try:
        for umask in (0o022, 0o077, 0o002, 0):
            os.umask(umask)
            folder = tmp_path / f"{umask:o}"
            info = folder / "stage" / "x-1.dist-info"
            info.mkdir(parents=True)
            (info / "METADATA").write_text("Metadata-Version: 2.1\nName: x\nVersion: 1\n")
            (info / "WHEEL").write_text("Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            (folder / "stage" / "x.sh").write_text("")
            (folder / "stage" / "x.sh").chmod(0o777 & ~umask)
            context = BuildContext(folder, folder / "log", {**os.environ, "SOURCE_DATE_EPOCH": "1600000000"}, print)
            packed.append(repair.pack(folder / "stage", context).read_bytes())
    finally:
        os.umask(before)
    assert len(set(packed)) == 1
    with zipfile.ZipFile(io.BytesIO(packed[0])) as archive:
        modes = {item.filename: item.external_attr >> 16 & 0o777 for item in archive.infolist()}
    assert modes["x.sh"] == 0o755
    assert modes["x-1.dist-info/METADATA"] == 0o644
