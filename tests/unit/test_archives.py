"""Archives: unpacked safely or not at all; trees: copied and known by their content."""

import os
import stat
import tarfile
import zipfile

import pytest
from support import add, tar_of, zip_of

from mamba_build_backend.core import archives
from mamba_build_backend.core.errors import SourceError

FILES = {"setup.py": b"print()\n", "csrc/a.cu": b"// kernel\n", "pkg/__init__.py": b""}


@pytest.fixture
def tree(tmp_path):
    for name, data in FILES.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "tree"


def test_tar_zip_and_folder_of_a_tree_have_one_hash(tree, tmp_path):
    one = archives.unpack(tar_of(tmp_path / "a.tar.gz", FILES), tmp_path / "one")
    other = archives.unpack(zip_of(tmp_path / "a.zip", FILES), tmp_path / "other")
    assert one.name == "mamba-1.0"
    assert archives.tree_sha256(one) == archives.tree_sha256(other) == archives.tree_sha256(tree)


def test_build_results_are_neither_copied_nor_hashed(tree, tmp_path):
    before = archives.tree_sha256(tree)
    for left in (".git/HEAD", "build/x.o", "dist/x.whl", "mamba.egg-info/PKG-INFO", "pkg/__pycache__/a.pyc"):
        (tree / left).parent.mkdir(parents=True, exist_ok=True)
        (tree / left).write_text("x")
    assert archives.tree_sha256(tree) == before
    copy = archives.copy_tree(tree, tmp_path / "copy")
    assert sorted(str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()) == sorted(FILES)


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: (tree / "setup.py").write_text("print( )\n"),
        lambda tree: (tree / "setup.py").rename(tree / "setup2.py"),
        lambda tree: (tree / "pkg/extra.so").write_bytes(b""),
        lambda tree: (tree / "pkg/link").symlink_to("/etc/passwd"),
        lambda tree: (tree / "folder").symlink_to("/etc"),
    ],
    ids=["content", "name", "one file more", "a link", "a link to a folder"],
)
def test_any_change_changes_the_hash_of_a_tree(tree, change):
    before = archives.tree_sha256(tree)
    change(tree)
    assert archives.tree_sha256(tree) != before


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("../outside", {}),
        ("/absolute", {}),
        ("top/../../outside", {}),
        ("top/link", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd", "size": 0}),
        ("top/hard", {"type": tarfile.LNKTYPE, "linkname": "top/x", "size": 0}),
        ("top/device", {"type": tarfile.CHRTYPE, "size": 0}),
        ("top/pipe", {"type": tarfile.FIFOTYPE, "size": 0}),
    ],
)
def test_a_tar_with_a_dangerous_member_is_refused_whole(tmp_path, name, fields):
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as tar:
        add(tar, "top/x")
        add(tar, name, **fields)
    with pytest.raises(SourceError, match="link, a device or a path that leads outside"):
        archives.unpack(tmp_path / "bad.tar.gz", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.tar.gz"]


@pytest.mark.parametrize(("name", "mode"), [("../outside", 0), ("/absolute", 0), ("top/link", stat.S_IFLNK)])
def test_a_zip_with_a_dangerous_member_is_refused_whole(tmp_path, name, mode):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("top/x", "x")
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(SourceError, match="link, a device or a path that leads outside"):
        archives.unpack(tmp_path / "bad.zip", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.zip"]


@pytest.mark.parametrize("data", [b"", b"not a tar file at all", b"\x1f\x8b\x08\x00cut off", os.urandom(2000)])
def test_a_damaged_archive_is_refused(tmp_path, data):
    (tmp_path / "bad.tar.gz").write_bytes(data)
    with pytest.raises(SourceError, match=r"bad\.tar\.gz is damaged") as caught:
        archives.unpack(tmp_path / "bad.tar.gz", tmp_path / "out")
    assert "\n" not in caught.value.problems[0].found
    assert not (tmp_path / "out").exists()


def test_an_archive_that_was_cut_off_in_a_file_is_refused(tmp_path):
    whole = tar_of(tmp_path / "a.tar.gz", {"setup.py": os.urandom(50_000)})
    (tmp_path / "cut.tar.gz").write_bytes(whole.read_bytes()[:20_000])
    with pytest.raises(SourceError, match=r"cut\.tar\.gz is damaged"):
        archives.unpack(tmp_path / "cut.tar.gz", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("names", [["a", "b"], ["one/x", "two/x"], []])
def test_an_archive_without_one_folder_at_its_top_is_refused(tmp_path, names):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        for name in names:
            add(tar, name)
    with pytest.raises(SourceError, match="does not contain exactly one top folder"):
        archives.unpack(tmp_path / "a.tar.gz", tmp_path / "out")
