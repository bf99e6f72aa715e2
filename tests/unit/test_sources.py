import io
import os
import socket
import tarfile
from dataclasses import replace

import pytest

from mamba_build_backend import pip_config, sources
from mamba_build_backend.errors import SourceError, StorageError
from mamba_build_backend.plan import Choice
from mamba_build_backend.tables import UpstreamRow

DATA = b"what upstream released"
ROW = UpstreamRow(
    "mamba-ssm", "2.3.0", "mamba_ssm-2.3.0.tar.gz", "cb1c1cdf4d6b2d7a7a76a3ab0c4a54b7a5ea6a3b27d9bf4a6f6d0ff0d6cbd0c0"
)


@pytest.fixture
def released(tmp_path):
    path = tmp_path / ROW.index_file
    path.write_bytes(DATA)
    return path, replace(ROW, index_sha256=sources.sha256(path))


class Plan:
    def __init__(self, row, source):
        self.upstream, self.source = Choice(row, "test"), Choice(source, "test")


def obtain(row, source, tmp_path, environ=None):
    return sources.obtain_archive(Plan(row, source), tmp_path, tmp_path / "cache", environ or {}, lambda line: None)


def test_a_given_archive_is_taken_if_its_content_is_the_released_one(released, tmp_path):
    path, row = released
    assert obtain(row, str(path), tmp_path) == path


def test_an_archive_with_another_content_is_refused(released, tmp_path):
    path, row = released
    path.write_bytes(DATA + b"!")
    with pytest.raises(SourceError, match="as released has") as caught:
        obtain(row, str(path), tmp_path)
    assert caught.value.exit_code == 4
    assert row.index_sha256 in str(caught.value)


def test_an_sdist_whose_archive_was_changed_is_refused(released, tmp_path):
    _, row = released
    (tmp_path / "upstream").mkdir()
    (tmp_path / "upstream" / row.index_file).write_bytes(b"something else")
    assert sources.embedded_archive(tmp_path) == row.index_file
    with pytest.raises(SourceError, match="as released has"):
        obtain(row, "embedded", tmp_path)


@pytest.mark.parametrize(("name", "found"), [("missing.tar.gz", "is not there"), ("", "is a folder")])
def test_a_source_that_is_no_file_is_refused(tmp_path, name, found):
    with pytest.raises(SourceError, match=found):
        obtain(ROW, str(tmp_path / name), tmp_path)


def test_no_network_and_no_cache_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(sources.time, "sleep", lambda seconds: None)
    with socket.socket() as taken:  # bound and not listening: every connection is refused
        taken.bind(("127.0.0.1", 0))
        environ = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": f"http://127.0.0.1:{taken.getsockname()[1]}/simple"}
        with pytest.raises(SourceError, match="could not be fetched") as caught:
            obtain(ROW, "index", tmp_path, environ)
    assert "-C source=/path/to/mamba_ssm-2.3.0.tar.gz" in str(caught.value)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_no_index_and_no_find_links_is_said(tmp_path):
    with pytest.raises(SourceError, match="no-index and no find-links"):
        obtain(ROW, "index", tmp_path, {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"})


def test_a_folder_of_find_links_serves_without_any_index(released, tmp_path):
    path, row = released
    with tarfile.open(path, "w:gz") as tar:
        _add(tar, "mamba_ssm-2.3.0/PKG-INFO", b"Name: mamba_ssm\nVersion: 2.3.0\n")
    row = replace(row, index_sha256=sources.sha256(path))
    environ = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    got = obtain(row, "index", tmp_path, environ)
    assert got == sources.cached_archive(row, tmp_path / "cache")
    assert got.read_bytes() == path.read_bytes()
    path.unlink()
    assert obtain(row, "index", tmp_path, {"PIP_NO_INDEX": "1"}) == got, "the second time it comes from the cache"


def test_a_full_cache_folder_is_told_as_such_and_not_as_a_network_error(tiny_disk, tmp_path):
    archive = tmp_path / ROW.index_file
    with tarfile.open(archive, "w:gz", compresslevel=0) as tar:
        _add(tar, "mamba_ssm-2.3.0/PKG-INFO", b"Name: mamba_ssm\nVersion: 2.3.0\n" + bytes(200_000))
    row = replace(ROW, index_sha256=sources.sha256(archive))
    environ = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    with pytest.raises(StorageError, match="it is full"):
        sources.obtain_archive(Plan(row, "index"), tmp_path, tiny_disk, environ, lambda line: None)
    assert not [path for path in tiny_disk.rglob("*") if path.is_file()]


def test_the_archive_of_another_version_is_named(monkeypatch, released, tmp_path):
    path, row = released
    tables = sources.load_tables()
    monkeypatch.setattr(sources, "load_tables", lambda: replace(tables, upstream=(replace(row, version="2.2.9"),)))
    with pytest.raises(SourceError, match=r"is mamba-ssm 2\.2\.9; mamba-ssm 2\.3\.0 is what is to be built"):
        obtain(replace(row, index_sha256="0" * 64), str(path), tmp_path)


def test_an_index_that_serves_another_content_is_refused(released, tmp_path):
    path, row = released
    with tarfile.open(path, "w:gz") as tar:
        _add(tar, "mamba_ssm-2.3.0/PKG-INFO", b"tampered")
    environ = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    with pytest.raises(SourceError, match="with the sha256"):
        obtain(row, "index", tmp_path, environ)


def _add(tar, name, data=b"x", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(data) if info.isfile() else None)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("../outside", {}),
        ("/absolute", {}),
        ("top/link", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd", "size": 0}),
        ("top/hard", {"type": tarfile.LNKTYPE, "linkname": "top/x", "size": 0}),
        ("top/device", {"type": tarfile.CHRTYPE, "size": 0}),
    ],
)
def test_an_archive_with_a_dangerous_member_is_refused(tmp_path, name, fields):
    archive = tmp_path / "bad.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        _add(tar, "top/x")
        _add(tar, name, **fields)
    with pytest.raises(SourceError, match="link, a device or a path that leads outside"):
        sources.unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("data", [b"", b"not a tar file at all", b"\x1f\x8b\x08\x00cut off"])
def test_a_damaged_archive_is_refused(tmp_path, data):
    archive = tmp_path / "bad.tar.gz"
    archive.write_bytes(data)
    with pytest.raises(SourceError, match="is damaged"):
        sources.unpack(archive, tmp_path / "out")


def test_pips_files_and_variables_are_merged_in_pips_order(tmp_path):
    user, override = tmp_path / "home/.config/pip/pip.conf", tmp_path / "override.conf"
    user.parent.mkdir(parents=True)
    user.write_text(
        "[global]\nindex-url = https://user.example/simple\nextra-index-url =\n  https://a.example\n  https://b.example\ntimeout = 60\n"
    )
    override.write_text("[global]\nindex_url = https://override.example/simple\n[install]\ntrusted-host = h.example\n")
    environ = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_DIRS": str(tmp_path / "none")}
    config = pip_config.read_index_config(environ, prefix=str(tmp_path))
    assert config.index_urls == ("https://user.example/simple",)
    assert config.timeout == 60
    config = pip_config.read_index_config(
        {**environ, "PIP_CONFIG_FILE": str(override), "PIP_CERT": "/ca.pem"}, prefix=str(tmp_path)
    )
    assert config.index_urls == ("https://override.example/simple",)
    assert config.extra_index_urls == ("https://a.example", "https://b.example")
    assert (config.trusted_hosts, config.cert) == (("h.example",), "/ca.pem")
    config = pip_config.read_index_config(
        {**environ, "PIP_INDEX_URL": "https://env.example/simple"}, prefix=str(tmp_path)
    )
    assert config.index_urls == ("https://env.example/simple",)


def test_uvs_variables_count_where_pip_says_nothing():
    config = pip_config.read_index_config(
        {"PIP_CONFIG_FILE": os.devnull, "UV_DEFAULT_INDEX": "https://uv.example/simple"}
    )
    assert config.index_urls == ("https://uv.example/simple",)
