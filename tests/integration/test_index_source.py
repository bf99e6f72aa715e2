"""Sources from PyPI: found as pip finds them, verified and cached; a failure leaves nothing."""

import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support import tar_of

from mamba_build_backend.core.errors import SourceError, StorageError
from mamba_build_backend.core.files import sha256
from mamba_build_backend.source import index
from mamba_build_backend.source.web import Bounds
from mamba_build_backend.tables import Project, ProjectVersion

NAME = "mamba_ssm-2.3.0.tar.gz"
NOBODY = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}


@pytest.fixture
def links(tmp_path):
    """A folder that pip's find-links may name, and the row of the archive in it."""
    (tmp_path / "links").mkdir()
    path = tar_of(
        tmp_path / "links" / NAME, {"PKG-INFO": b"Name: mamba_ssm\nVersion: 2.3.0\n", "big": os.urandom(200_000)}
    )
    return tmp_path / "links", ProjectVersion(Project("mamba-ssm"), "2.3.0", NAME, sha256(path))


def obtain(row, cache, environ):
    return index.obtain(row, cache, environ, lambda line: None)


def kept(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_find_links_folder_serves_without_an_index(links, tmp_path):
    folder, row = links
    got = obtain(row, tmp_path / "cache", {**NOBODY, "PIP_FIND_LINKS": str(folder)})
    assert got == index.cached_archive(row, tmp_path / "cache")
    assert sha256(got) == row.index_sha256
    (folder / NAME).unlink()
    assert obtain(row, tmp_path / "cache", NOBODY) == got, "the second time it comes from the cache"


def test_a_damaged_file_in_the_cache_is_fetched_again(links, tmp_path):
    folder, row = links
    environ = {**NOBODY, "PIP_FIND_LINKS": str(folder)}
    got = obtain(row, tmp_path / "cache", environ)
    got.write_bytes(got.read_bytes()[:-1])
    assert sha256(obtain(row, tmp_path / "cache", environ)) == row.index_sha256


def test_missing_file_error_names_the_newest_of_the_index(links, tmp_path):
    folder, row = links
    environ = {**NOBODY, "PIP_FIND_LINKS": str(folder)}
    row = replace(row, version="2.3.9", index_file="mamba_ssm-2.3.9.tar.gz")
    with pytest.raises(
        SourceError, match=r"the index does not have this file; its newest version is 2\.3\.0"
    ) as caught:
        obtain(row, tmp_path / "cache", environ)
    assert "-C source=/path/to/mamba_ssm-2.3.9.tar.gz" in str(caught.value)
    assert kept(tmp_path / "cache") == []


def test_index_with_other_content_is_refused(links, tmp_path):
    folder, row = links
    (folder / NAME).write_bytes(b"tampered")
    with pytest.raises(SourceError, match="has the sha256"):
        obtain(row, tmp_path / "cache", {**NOBODY, "PIP_FIND_LINKS": str(folder)})
    assert kept(tmp_path / "cache") == []


def test_no_network_and_no_cache_is_one_sentence_and_leaves_nothing(links, tmp_path, monkeypatch):
    waited = []
    monkeypatch.setattr(index.time, "sleep", waited.append)
    with socket.socket() as taken:  # bound and not listening: every connection is refused
        taken.bind(("127.0.0.1", 0))
        environ = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": f"http://127.0.0.1:{taken.getsockname()[1]}/simple"}
        with pytest.raises(SourceError, match="could not be fetched") as caught:
            obtain(links[1], tmp_path / "cache", environ)
    assert "-C source=/path/to/mamba_ssm-2.3.0.tar.gz" in str(caught.value)
    assert len(waited) == 2, "three attempts"
    assert kept(tmp_path / "cache") == []


def test_broken_connection_is_retried(links, tmp_path, monkeypatch):
    """An index on this machine, whose first answer for the file ends in the middle."""
    import http.server
    import threading

    folder, row = links
    data, asked = (folder / NAME).read_bytes(), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            page = f'<a href="/files/{NAME}#sha256={row.index_sha256}">{NAME}</a>'.encode()
            body = data if self.path.startswith("/files/") else page
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream" if body is data else "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if body is data:
                asked.append(self.path)
            self.wfile.write(body[:1000] if body is data and len(asked) == 1 else body)

        def log_message(self, *arguments):
            pass

    monkeypatch.setattr(index.time, "sleep", lambda seconds: None)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False  # so that closing it waits for them, and nothing is left open
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        environ = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": f"http://127.0.0.1:{server.server_port}/simple"}
        assert sha256(obtain(row, tmp_path / "cache", environ)) == row.index_sha256
    finally:
        server.shutdown()
        server.server_close()
    assert len(asked) == 2


def test_missing_index_and_find_links_are_reported(links, tmp_path):
    with pytest.raises(SourceError, match="no-index and no find-links"):
        obtain(links[1], tmp_path / "cache", NOBODY)


def test_full_cache_folder_is_not_reported_as_a_network_error(links, tiny_disk):
    folder, row = links
    with pytest.raises(StorageError, match="it is full"):
        obtain(row, tiny_disk, {**NOBODY, "PIP_FIND_LINKS": str(folder)})
    assert kept(tiny_disk) == []


class Endless(BaseHTTPRequestHandler):
    """An index whose list of files never ends: a few bytes now and then, or as many as fit."""

    piece, pause = b"x", 0.2

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        with suppress(OSError):
            while True:
                self.wfile.write(self.piece)
                self.wfile.flush()
                time.sleep(self.pause)

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(("piece", "pause"), [(b"<a>", 0.1), (b"<!-- -->" * 8192, 0)])
def test_endless_answer_is_aborted(tmp_path, monkeypatch, piece, pause):
    monkeypatch.setattr(Endless, "piece", piece)
    monkeypatch.setattr(Endless, "pause", pause)
    monkeypatch.setattr(index, "_BOUNDS", Bounds(2.0 if pause else 60.0, 4 << 20))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    row = ProjectVersion(Project("mamba-ssm"), "2.3.0", NAME, "0" * 64)
    address = f"http://127.0.0.1:{server.server_port}/simple"
    start = time.monotonic()
    with pytest.raises(SourceError, match=r"the download took over .* s, or is over 4 MB"):
        obtain(row, tmp_path / "cache", {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": address})
    assert time.monotonic() - start < 30
    server.shutdown()
    server.server_close()
    assert kept(tmp_path / "cache") == []
