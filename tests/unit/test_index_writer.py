"""``python -m mamba_build_backend index``: a static index that pip and uv read."""

import hashlib
import json
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from support import ROOT

from mamba_build_backend.core.errors import SettingsError
from mamba_build_backend.matrix import index_writer
from mamba_build_backend.wheel import variants

FIRST = "My_Ext-1.0+cu13torch2.11cxx11abiTRUE-cp311-cp311-manylinux_2_24_x86_64.whl"
SECOND = "my_ext-1.10-cp311-cp311-manylinux_2_24_x86_64.whl"
OTHER = "other-2.0-py3-none-any.whl"


def wheel(folder, name, requires=">=3.9,<4", **metadata):
    """A wheel of nothing but its METADATA."""
    project, version = name.split("-")[:2]
    fields = {"Metadata-Version": "2.1", "Name": project, "Version": version, "Requires-Python": requires, **metadata}
    folder.mkdir(exist_ok=True, parents=True)
    with zipfile.ZipFile(folder / name, "w") as archive:
        text = "".join(f"{key}: {value}\n" for key, value in fields.items() if value)
        archive.writestr(f"{project}-{version}.dist-info/METADATA", text)
    return folder / name


class Links(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.found, self.text = [], []
        self.feed(page.read_text())

    def handle_starttag(self, tag, attrs):
        if tag == "a":
            self.found.append(dict(attrs))

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def out(tmp_path):
    for name in (FIRST, SECOND, OTHER):
        wheel(tmp_path / "wheels", name)
    return tmp_path


def test_the_first_page_lists_projects_by_their_normalized_names(out):
    index = index_writer.write_index(out, out / "wheels")
    assert index.page == out / "simple" / "index.html"
    assert [item["href"] for item in Links(index.page).found] == ["my-ext/", "other/"]


def test_project_page_links_wheels_with_hashes_and_metadata(out):
    index_writer.write_index(out, out / "wheels")
    page = out / "simple" / "my-ext" / "index.html"
    links = Links(page)
    assert [item for item in links.text if item.endswith(".whl")] == [FIRST, SECOND], "by version"
    for item, name in zip(links.found, (FIRST, SECOND)):
        address, _, digest = item["href"].partition("#sha256=")
        target = (page.parent / unquote(address)).resolve()
        assert target == out / "wheels" / name
        assert hashlib.sha256(target.read_bytes()).hexdigest() == digest
        assert item["data-requires-python"] == ">=3.9,<4"
        beside = target.with_name(target.name + ".metadata").read_bytes()
        assert b"Name: " in beside
        expected = f"sha256={hashlib.sha256(beside).hexdigest()}"
        assert item["data-core-metadata"] == item["data-dist-info-metadata"] == expected
    assert "+" not in links.found[0]["href"], "a plus sign is quoted"
    assert "&gt;=3.9,&lt;4" in page.read_text()


def test_json_pages_agree_with_html(out):
    index_writer.write_index(out, out / "wheels")
    top = json.loads((out / "simple" / "index.v1_json").read_text())
    assert top == {"meta": {"api-version": "1.1"}, "projects": [{"name": "my-ext"}, {"name": "other"}]}
    data = json.loads((out / "simple" / "my-ext" / "index.v1_json").read_text())
    assert (data["name"], data["versions"]) == ("my-ext", ["1.0+cu13torch2.11cxx11abitrue", "1.10"])
    first = data["files"][0]
    path = out / "wheels" / FIRST
    assert first["filename"] == FIRST
    assert (out / "simple" / "my-ext" / unquote(first["url"])).resolve() == path
    assert first["hashes"] == {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert first["size"] == path.stat().st_size
    assert first["requires-python"] == ">=3.9,<4"
    assert len(first["core-metadata"]["sha256"]) == 64


def test_second_run_writes_nothing(out):
    index_writer.write_index(out, out / "wheels")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    index_writer.write_index(out, out / "wheels")
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before


def test_project_without_wheels_is_no_longer_listed(out):
    index_writer.write_index(out, out / "wheels")
    (out / "wheels" / OTHER).unlink()
    index_writer.write_index(out, out / "wheels")
    assert not (out / "simple" / "other").exists()
    assert [item["href"] for item in Links(out / "simple" / "index.html").found] == ["my-ext/"]


def test_wheels_next_to_the_index_need_no_other_folder(tmp_path):
    wheel(tmp_path, OTHER, requires="")
    index_writer.write_index(tmp_path)
    (link,) = Links(tmp_path / "simple" / "other" / "index.html").found
    assert link["href"].startswith(f"../../{OTHER}#sha256=")
    assert "data-requires-python" not in link


def test_wheels_that_a_server_would_not_reach_are_refused(out, tmp_path_factory):
    with pytest.raises(SettingsError, match="is not in"):
        index_writer.write_index(tmp_path_factory.mktemp("elsewhere"), out / "wheels")


def index(*arguments, env):
    return subprocess.run(
        [sys.executable, "-m", "mamba_build_backend", "index", *map(str, arguments)],
        cwd=ROOT, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("bad-1.0-py3-none-any.whl", b"PK\x03\x04 cut off", "it is damaged or was cut off"),
        ("mamba_ssm (1).whl", b"", "Invalid wheel filename"),
        ("lying-1.0-py3-none-any.whl", {"Name": "honest"}, "its METADATA says honest 1.0"),
        ("lying-1.0-py3-none-any.whl", {"Version": "1.1"}, "its METADATA says lying 1.1"),
        ("lying-1.0-py3-none-any.whl", {"Version": ""}, "its METADATA says lying None"),
    ],
)
def test_file_that_is_not_a_wheel_is_skipped_and_reported(out, clean_env, name, content, told):
    if isinstance(content, bytes):
        (out / "wheels" / name).write_bytes(content)
    else:
        wheel(out / "wheels", name, **content)
    done = index(out, "-w", out / "wheels", "--json", env=clean_env)
    assert done.returncode == 6
    assert f"mamba-build-backend: left out: {name}: {told}" in done.stderr
    data = json.loads(done.stdout)
    assert [item["file"] for item in data["left_out"]] == [name]
    assert len(data["wheels"]) == 3
    assert not (out / "wheels" / f"{name}.metadata").exists()


def test_a_folder_without_a_wheel_is_a_sentence(tmp_path, clean_env):
    done = index(tmp_path, env=clean_env)
    assert done.returncode == 2
    assert f"error: {tmp_path} contains no wheels; an index lists finished wheels." in done.stderr
    done = index(tmp_path / "none", env=clean_env)
    assert (done.returncode, "does not exist" in done.stderr) == (2, True)


def test_a_good_folder_gives_the_page_and_exit_code_0(out, clean_env):
    done = index(out / "wheels", env=clean_env)
    assert (done.returncode, done.stdout.strip()) == (0, str(out / "wheels" / "simple" / "index.html"))


def variant(folder, label, cuda="13.0"):
    """A wheel of a variant (a draft), with what its label stands for."""
    made = wheel(folder, SECOND)
    named = made.with_name(variants.variant_name(SECOND, label))
    made.rename(named)
    with zipfile.ZipFile(named, "a") as archive:
        archive.writestr("my_ext-1.10.dist-info/variant.json", variants.variant_json(label, cuda))
    return named


def test_variants_are_listed_with_a_file_of_their_labels(tmp_path):
    variant(tmp_path, "cu13")
    variant(tmp_path, "cu12", "12.8")
    index = index_writer.write_index(tmp_path)
    assert index.left_out == ()
    told = tmp_path / "my_ext-1.10-variants.json"
    assert set(json.loads(told.read_text())["variants"]) == {"cu12", "cu13"}
    library = pytest.importorskip("variantlib.variants_json", reason="lacks variantlib (Python 3.10 and newer)")
    assert library.VariantsJson(json.loads(told.read_text())).variants.keys() == {"cu12", "cu13"}
    page = tmp_path / "simple" / "my-ext"
    hrefs = [item["href"] for item in Links(page / "index.html").found]
    assert f"../../{told.name}#sha256={hashlib.sha256(told.read_bytes()).hexdigest()}" in hrefs
    assert len(hrefs) == 3
    files = json.loads((page / "index.v1_json").read_text())["files"]
    assert files[-1] == {
        "filename": told.name,
        "url": f"../../{told.name}",
        "hashes": {"sha256": hashlib.sha256(told.read_bytes()).hexdigest()},
        "size": told.stat().st_size,
    }


def test_ambiguous_or_unknown_label_is_skipped_with_a_reason(tmp_path):
    variant(tmp_path, "cu13")
    later = variants.variant_name(SECOND.replace("cp311", "cp312"), "cu13")
    variant(tmp_path / "x", "cu13", "12.8").rename(tmp_path / later)
    wheel(tmp_path, SECOND).rename(tmp_path / variants.variant_name(SECOND.replace("cp311", "cp313"), "cu13"))
    index = index_writer.write_index(tmp_path)
    assert len(index.wheels) == 1
    assert sorted(why for _, why in index.left_out) == [
        "a variant label has two different definitions",
        "its name has a variant label, but its variant.json does not define the label",
    ]
