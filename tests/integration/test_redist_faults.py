"""NVIDIA's archives from mirrors on this machine: the result is a whole toolkit, or one sentence and no file."""

import io
import os
import socket
import subprocess
import tarfile
import threading
from dataclasses import replace

import pytest
from redist import PARTS, archive, from_mirror, laid_out, mirror, packed, small_release, whole

from mamba_build_backend import tables
from mamba_build_backend.core import settings
from mamba_build_backend.core.errors import SourceError, StorageError, ToolError
from mamba_build_backend.core.facts import Origin
from mamba_build_backend.plan.offers import MATHS
from mamba_build_backend.probe import fetched
from mamba_build_backend.source import download, redist
from mamba_build_backend.tables import RedistRelease
from mamba_build_backend.tables.redist import checked_archive
from mamba_build_backend.toolchain import toolkit

NOBODY = {"PIP_CONFIG_FILE": os.devnull, "PATH": os.environ["PATH"]}


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No proxy of this machine, and no waiting between attempts."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)


def obtain(release, address, cache, environ=NOBODY, said=None):
    return redist.obtain(from_mirror(release, address), cache, environ, (said if said is not None else []).append)


def refused(release, address, cache, environ=NOBODY):
    """The sentence that a build ends with; nothing is left in the cache, and no secret is in it."""
    with pytest.raises(SourceError) as caught:
        obtain(release, address, cache, environ)
    left = [path for path in cache.rglob("*") if not path.name.endswith(".lock") and path != cache / "cuda"]
    assert left == []
    first, *ways = caught.value.lines()
    assert "hunter22" not in "\n".join((first, *ways))
    assert all(way.startswith(("  fix:  ", "  or:   ", "  do:   ", "        # ")) for way in ways)
    assert any("-C cuda-home=/path/to/cuda" in way for way in ways)
    return first


def test_mirror_gives_a_whole_toolkit_and_prints_the_licence_first(tmp_path):
    (release, files), said = small_release(), []
    with mirror(files) as (address, asked):
        found = obtain(release, address, tmp_path, said=said)
        assert obtain(release, address, tmp_path) == found, "the second time it comes from the cache"
    assert [path for path, _ in asked] == [f"/redist/{item.path}" for item in release.archives]
    assert (found.version, found.archs, found.origin, found.missing) == ("12.4", ("80", "90"), Origin.ARCHIVE, MATHS)
    assert os.readlink(f"{found.home}/lib/libcudart.so") == "libcudart.so.12"
    assert said[0].startswith(f"downloading nvcc 12.4 from {address} (0 MB); licence: NVIDIA's CUDA EULA, https://")
    assert not list((tmp_path / "cuda").glob(".*/")), "no archive and no draft stays"


def test_toolkit_view_has_lib64_for_lib(tmp_path):
    release, files = small_release()
    found = obtain(release, str(laid_out(files, tmp_path / "given", flat=True)), tmp_path / "cache")
    view = toolkit.apply_toolkit(found, None, tmp_path / "work")
    for name in ("lib64/libcudart.so", "lib64/libcudart_static.a", "include/cub/cub.cuh", "bin/nvcc", "nvvm/bin/cicc"):
        assert (view / name).exists(), name
    whole = replace(found, missing=())  # with the mathematical libraries unpacked next to it
    assert (toolkit.apply_toolkit(whole, None, tmp_path / "work") / "lib64/libcudart.so").exists()


@pytest.mark.parametrize("flat", [True, False], ids=["files side by side", "as on NVIDIA's host"])
def test_a_folder_of_archives_needs_no_network(tmp_path, flat, monkeypatch):
    monkeypatch.setattr(socket, "socket", None)
    release, files = small_release()
    folder = laid_out(files, tmp_path / "given", flat=flat)
    assert obtain(release, str(folder), tmp_path / "cache").version == "12.4"
    assert fetched.toolkit_folder(release, tmp_path / "cache").is_dir()


def test_folder_with_missing_or_changed_archives_is_reported(tmp_path):
    release, files = small_release()
    folder, name = laid_out(files, tmp_path / "given", flat=True), release.archives[1].name
    (folder / name).write_bytes(b"something else")
    assert f"cannot be read from {folder} (its sha256 is " in refused(release, str(folder), tmp_path / "cache")
    (folder / name).unlink()
    (folder / name).symlink_to("/proc/self/mem")  # cannot be read from its beginning
    assert f"{folder / name}: Input/output error" in refused(release, str(folder), tmp_path / "cache")
    (folder / name).unlink()
    told = refused(release, str(folder), tmp_path / "cache")
    assert f"{name} cannot be read from {folder} (it is not there); nvcc 12.4 needs " in told


def status(code, reason):
    def answer(request, data):
        request.send_error(code, reason)

    return answer


def sent_elsewhere(to):
    def answer(request, data):
        request.send_response(302)
        request.send_header("Location", to)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def body(change, *, declared=True):
    """An answer with other content. ``declared``: the header gives its length; otherwise the connection ends it."""

    def answer(request, data):
        request.send_response(200)
        if declared:
            request.send_header("Content-Length", str(len(change(data))))
        request.end_headers()
        request.wfile.write(change(data))

    return answer


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (status(404, "Not Found"), "the server answers 404 Not Found"),
        (status(403, "Forbidden"), "the server answers 403 Forbidden"),
        (status(500, "Broken"), "the server answers 500 Broken"),
        (body(lambda data: b"<html>please log in</html>"), "the server's file has 26 bytes, expected "),
        (body(lambda data: bytes(len(data))), "its sha256 is "),
        (body(lambda data: data * 2, declared=False), "the server sends more than the expected "),
        (body(lambda data: data[:-9], declared=False), "the connection closed after |another byte range"),
        (sent_elsewhere("file:///etc/passwd"), "UnsupportedProtocol"),
        (sent_elsewhere("/redist/round"), "the server answers 404"),
    ],
    ids=["missing", "forbidden", "broken", "portal", "wrong", "longer", "truncated", "to a file", "to nowhere"],
)  # fmt: skip
def test_faulty_mirror_is_one_sentence_and_leaves_nothing(tmp_path, answer, told):
    release, files = small_release()
    with mirror(files, answer) as (address, _):
        first = refused(release, address, tmp_path)
    name = release.archives[0].name
    assert first.startswith(f"{name} cannot be downloaded from {address} (")
    assert any(word in first for word in told.split("|")), first


def test_redirect_of_a_mirror_is_followed(tmp_path):
    release, files = small_release()
    with mirror(files) as (real, _):

        def answer(request, data):
            sent_elsewhere(real + request.path.partition("/redist")[2])(request, data)

        with mirror(files, answer) as (address, _):
            assert obtain(release, address, tmp_path).version == "12.4"


def test_progress_of_a_large_download_is_printed(tmp_path, monkeypatch):
    big = {**PARTS, "cuda_nvcc": {**PARTS["cuda_nvcc"], "bin/ptxas": os.urandom(1_500_000).hex()}}
    (release, files), said = small_release(big), []
    monkeypatch.setattr(download, "_TELL", 0.0)
    with mirror(files) as (address, _):
        obtain(release, address, tmp_path, said=said)
    told = [line for line in said if line.startswith(release.archives[0].name)]
    assert told[0].endswith(" of 2 MB")
    assert told[-1].endswith(": 2 of 2 MB")


def test_broken_download_resumes(tmp_path):
    big = {**PARTS, "cuda_nvcc": {**PARTS["cuda_nvcc"], "bin/ptxas": os.urandom(150_000).hex()}}
    release, files = small_release(big)

    def answer(request, data):
        start = int(request.headers.get("Range", "bytes=0-")[6:-1])
        part = data[start : start + 60_000]
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        request.send_header("Content-Length", str(len(data) - start))
        request.end_headers()
        request.wfile.write(part)

    with mirror(files, answer) as (address, asked):
        assert obtain(release, address, tmp_path).version == "12.4"
    ranges = [headers.get("Range") for path, headers in asked if "cuda_nvcc" in path]
    assert ranges[:3] == [None, "bytes=60000-", "bytes=120000-"], "and not three attempts in all"


def test_mirror_without_ranges_restarts_the_download(tmp_path):
    (release, files), times = small_release(), []

    def answer(request, data):
        times.append(request.path)
        request.send_response(200)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data[:100] if times.count(request.path) == 1 else data)

    with mirror(files, answer) as (address, _):
        assert obtain(release, address, tmp_path).version == "12.4"


def test_slow_mirror_is_aborted(tmp_path, monkeypatch):
    release, files = small_release()
    monkeypatch.setattr(download, "_PATIENCE", 0.5)
    over = threading.Event()

    def answer(request, data):
        request.send_response(200)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        for byte in data:
            try:
                request.wfile.write(bytes([byte]))
                request.wfile.flush()
            except OSError:
                return
            if over.wait(0.05):
                return

    with mirror(files, answer) as (address, _):
        told = refused(release, address, tmp_path)
        over.set()
    assert "the download was too slow: " in told


def test_unreachable_mirror_error_names_all_files_and_their_folder(tmp_path):
    release, _ = small_release()
    with socket.socket() as taken:  # bound and not listening: every connection is refused
        taken.bind(("127.0.0.1", 0))
        address = f"http://bob:hunter22@127.0.0.1:{taken.getsockname()[1]}/redist"
        with pytest.raises(SourceError) as caught:
            obtain(release, address, tmp_path)
        told = refused(release, address, tmp_path)
    assert all(item.name in told for item in release.archives)
    fetch = caught.value.lines()[1]
    assert fetch.startswith("  fix:  curl -fL ")
    assert all(
        f"https://developer.download.nvidia.com/compute/cuda/redist/{item.path}" in fetch for item in release.archives
    )
    comment = " ".join(line.strip(" #") for line in caught.value.lines()[2:])
    assert "then -C cuda-mirror=/path/to/cuda-archives" in comment


@pytest.mark.parametrize("way", ["HTTP_PROXY", "PIP_PROXY"])
@pytest.mark.parametrize("alive", [True, False], ids=["that refuses", "that is down"])
def test_proxy_password_is_not_shown(tmp_path, monkeypatch, way, alive):
    release, files = small_release()
    with mirror(files, status(407, "Proxy Authentication Required")) as (address, asked):
        port = address.split(":")[2].split("/")[0] if alive else "1"
        proxy = f"http://bob:hunter22@127.0.0.1:{port}"
        if way == "HTTP_PROXY":
            monkeypatch.setenv("HTTP_PROXY", proxy)
        told = refused(release, "http://mirror.invalid/redist", tmp_path, {**NOBODY, way: proxy})
    assert bool(asked) == alive, "it was the proxy that was asked"
    assert ("407" in told) == alive


@pytest.mark.parametrize(
    "given", [{"PIP_PROXY": "bob:hunter22@:x"}, {"PIP_CERT": "/nowhere/hunter22.pem", "A_TOKEN": "hunter22"}]
)
def test_unreadable_configuration_is_reported_without_its_secrets(tmp_path, given):
    release, files = small_release()
    with mirror(files) as (address, asked):
        told = refused(release, address, tmp_path, {**NOBODY, **given})
    assert "pip's configuration" in told or "cannot be downloaded" in told
    assert asked == []


def test_credentials_of_a_mirror_are_sent_and_not_shown(tmp_path):
    (release, files), said = small_release(), []

    def answer(request, data):
        if request.headers.get("Authorization") == "Basic Ym9iOmh1bnRlcjIy":
            return whole(request, data)
        request.send_response(401)
        request.send_header("WWW-Authenticate", 'Basic realm="x"')
        request.send_header("Content-Length", "0")
        return request.end_headers()

    with mirror(files, answer) as (address, _):
        named = address.replace("http://", "http://bob:hunter22@")
        assert obtain(release, named, tmp_path, said=said).version == "12.4"
    assert "hunter22" not in "\n".join(said)


def test_full_cache_folder_is_reported(tiny_disk):
    big = {**PARTS, "cuda_nvcc": {**PARTS["cuda_nvcc"], "bin/ptxas": os.urandom(50_000).hex()}}
    release, files = small_release(big)
    with mirror(files) as (address, _), pytest.raises(StorageError, match="it is full") as caught:
        obtain(release, address, tiny_disk)
    assert "-C cache-dir=/another/folder" in str(caught.value)
    assert [path.name for path in (tiny_disk / "cuda").iterdir() if path.is_dir()] == []


def test_unwritable_cache_folder_is_reported_before_any_download(tmp_path):
    (release, files), cache = small_release(), tmp_path / "cache"
    cache.mkdir()
    (cache / "cuda").write_text("a file in the way")
    with mirror(files) as (address, asked), pytest.raises(StorageError, match="cannot be written"):
        obtain(release, address, cache)
    assert asked == []


def test_cache_on_a_read_only_disk_is_reported(tiny_disk):
    release, files = small_release()
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
    with mirror(files) as (address, asked), pytest.raises(StorageError, match="it is read-only") as caught:
        obtain(release, address, tiny_disk)
    assert "-C cache-dir=/another/folder" in str(caught.value)
    assert asked == []


def test_two_builds_at_once_fetch_it_once(tmp_path):
    (release, files), found, said = small_release(), [], []

    def build():
        found.append(obtain(release, address, tmp_path, said=said))

    with mirror(files) as (address, asked):
        builds = [threading.Thread(target=build) for _ in range(4)]
        for one in builds:
            one.start()
        for one in builds:
            one.join()
    assert found == [found[0]] * 4
    assert len(asked) == 3
    assert said.count("waiting for another build, which is unpacking nvcc 12.4") in (1, 2, 3)


def test_connection_lost_after_the_last_byte_is_a_success(tmp_path):
    release, files = small_release()

    def answer(request, data):
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        request.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")  # and no last chunk

    with mirror(files, answer) as (address, asked):
        assert obtain(release, address, tmp_path).version == "12.4"
    assert len(asked) == 3


def test_a_damaged_toolkit_in_the_cache_is_made_again(tmp_path):
    release, files = small_release()
    with mirror(files) as (address, asked):
        found = obtain(release, address, tmp_path)
        os.unlink(f"{found.home}/include/cuda_runtime.h")
        assert obtain(release, address, tmp_path) == found
    assert len(asked) == 6


def test_damaged_toolkit_without_a_downloader_is_one_sentence(tmp_path, monkeypatch):
    release, files = small_release()
    with mirror(files) as (address, asked):
        found = obtain(release, address, tmp_path)
        os.unlink(f"{found.home}/include/cuda_runtime.h")
        monkeypatch.setitem(__import__("sys").modules, "unearth.auth", None)
        with pytest.raises(SourceError, match=r"python -m pip install unearth\)"):
            obtain(release, address, tmp_path)
    assert len(asked) == 3


def test_nvcc_that_does_not_run_is_reported(tmp_path):
    dead = {**PARTS, "cuda_nvcc": {**PARTS["cuda_nvcc"], "bin/nvcc": "#!/bin/sh\necho no GLIBC here >&2; exit 1\n"}}
    release, files = small_release(dead)
    with mirror(files) as (address, _), pytest.raises(ToolError, match="no GLIBC here") as caught:
        obtain(release, address, tmp_path)
    assert "-C cuda-home=/path/to/cuda" in str(caught.value)


def hostile(*members, release="12.4.1"):
    """A release whose first archive holds these members, with the table's hash: only the unpacker can refuse it."""
    good, files = small_release()
    top = good.archives[0].top
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:xz", preset=0) as tar:
        for name, kind, link, text in members:
            info = tarfile.TarInfo(name.format(top=top))
            info.type, info.linkname, info.size = kind, link.format(top=top), len(text)
            tar.addfile(info, io.BytesIO(text))
    row = replace(archive("cuda_nvcc", out.getvalue()), version=good.archives[0].version)
    return RedistRelease(release, (row, *good.archives[1:])), {**files, row.path: out.getvalue()}


FILE, LINK, HARD, PIPE = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ([("{top}/../../evil", FILE, "", b"x")], "is outside the archive's own folder"),
        ([("{top}/.archives/evil", FILE, "", b"x")], "is outside the archive's own folder"),
        ([("/etc/evil", FILE, "", b"x")], "is outside the archive's own folder"),
        ([("other/evil", FILE, "", b"x")], "is outside the archive's own folder"),
        ([("{top}/away", LINK, "/etc", b"")], "nor a relative link"),
        ([("{top}/away", LINK, "../../..", b"")], "a link that points outside"),
        ([("{top}/a", LINK, "..", b""), ("{top}/b", LINK, "a/..", b"")], "a link that points outside"),
        ([("{top}/away", LINK, "..", b""), ("{top}/away/evil", FILE, "", b"x")], "whose path leads through a link"),
        ([("{top}/hard", HARD, "../../etc/passwd", b"")], "damaged"),
        ([("{top}/pipe", PIPE, "", b"")], "nor a relative link"),
        ([("{top}/dev", tarfile.CHRTYPE, "", b"")], "nor a relative link"),
        ([("{top}/zeros", FILE, "", bytes(110_000_000))], "more data than expected"),
        ([("{top}/many", FILE, "", bytes(60_000_000)), ("{top}/again", HARD, "{top}/many", b""), ("{top}/3", HARD, "{top}/many", b""), ("{top}/4", FILE, "", b"x" * 9)], "more data than expected"),
        ([("{top}/a\0b", FILE, "", b"x")], ""),
    ],
)  # fmt: skip
def test_dangerous_archive_members_are_refused(tmp_path, members, told):
    release, files = hostile(*members)
    folder = laid_out(files, tmp_path / "given", flat=True)
    if not told:  # tarfile itself ends a name there
        with pytest.raises(ToolError, match="it lacks bin/nvcc"):
            obtain(release, str(folder), tmp_path / "cache")
        return
    assert told in refused(release, str(folder), tmp_path / "cache")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("cut", [0, 20, 500, 2000])
def test_damaged_archive_with_the_right_hash_is_refused(tmp_path, cut):
    release, files = small_release()
    first = release.archives[0]
    data = packed(first.top, {**PARTS["cuda_nvcc"], "bin/ptxas": os.urandom(2000).hex()})[:cut]
    row = archive("cuda_nvcc", data)
    release = RedistRelease(release.release, (row, *release.archives[1:]))
    folder = laid_out({**files, row.path: data}, tmp_path / "given", flat=True)
    assert f"{row.name} is damaged: " in refused(release, str(folder), tmp_path / "cache")


def test_hard_link_becomes_a_separate_file(tmp_path):
    nvcc = PARTS["cuda_nvcc"]["bin/nvcc"].encode()
    release, files = hostile(
        ("{top}/bin/real", FILE, "", nvcc), ("{top}/bin/nvcc", HARD, "{top}/bin/real", b""), ("{top}/include/crt/host_config.h", FILE, "", b""),
    )  # fmt: skip
    folder = laid_out(files, tmp_path / "given", flat=True)
    with pytest.raises(ToolError, match="cannot be started"):  # it has the mode of its archive entry
        obtain(release, str(folder), tmp_path / "cache")
    (made,) = (tmp_path / "cache" / "cuda").glob("12*")
    assert (made / "bin" / "nvcc").read_bytes() == nvcc


def test_missing_lzma_is_reported_before_any_download(tmp_path, monkeypatch):
    release, files = small_release()
    monkeypatch.setitem(__import__("sys").modules, "lzma", None)
    with mirror(files) as (address, asked):
        assert "this Python was built without lzma" in refused(release, address, tmp_path)
    assert asked == []


def test_archives_are_found_in_the_cache_and_in_the_mirror_folder(tmp_path):
    known = tables.load_tables()
    newest, row = known.redist("x86_64")[-1], next(row for row in known.versions if row.index_sha256 and row.git_commit)
    cache, usb = tmp_path / "cache", tmp_path / "usb"

    def here(**given):
        return fetched.probe_fetched(settings.load_settings(given, {}, {}), cache, "x86_64", known)

    assert here() == ()
    for path in (fetched.cached_archive(row, cache), usb / newest.archives[0].name, usb / newest.archives[1].path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (usb / "other.tar.xz").touch()
    (usb / newest.archives[2].name).mkdir()  # no file
    fetched.kept_repository(row, cache).mkdir(parents=True)
    assert here() == (row.index_file, row.commit_name)
    found = here(**{"cuda-mirror": str(usb)})
    assert found == (*here(), newest.archives[0].name, newest.archives[1].name)
    nvcc = fetched.toolkit_folder(newest, cache) / "bin" / "nvcc"
    nvcc.parent.mkdir(parents=True)
    assert here() == (row.index_file, row.commit_name), "a folder is no toolkit"
    nvcc.touch()
    assert here() == (row.index_file, row.commit_name, *(item.name for item in newest.archives))
    assert here(**{"cuda-mirror": "~nosuchuser/x" + "x" * 300}) == here()


def test_redist_rows_are_whole_and_of_known_releases():
    known = tables.load_tables()
    for machine in ("x86_64", "aarch64"):
        found = known.redist(machine)
        assert [item.release for item in found] == ["11.8.0", "12.1.1", "12.4.1", "12.6.3", "12.8.1", "12.9.1"]
        assert all(known.cuda_row(item.cuda).version == item.cuda for item in found)
        assert all(40e6 < item.bytes < 90e6 for item in found)
    assert known.redist("riscv64") == ()
    assert len({item.sha256 for item in known.archives}) == len(known.archives) == 36


@pytest.mark.parametrize(
    "wrong",
    [{"sha256": "X" * 64}, {"bytes": 0}, {"version": "../1"}, {"component": "evil"}, {"arch": "windows-x86_64"}],
)
def test_contradictory_row_does_not_load(wrong):
    row = tables.load_tables().archives[0]
    assert checked_archive(row) == row
    with pytest.raises(ValueError, match="contradicts itself"):
        checked_archive(replace(row, **wrong))
