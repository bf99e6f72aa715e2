"""The documentation as a site, as it is built: its links, its languages, and what its search can find."""

import json
import os
import re
import subprocess
import sys

import pytest
import site_links
from support import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    env = {key: value for key, value in os.environ.items() if not key.startswith("MAMBA_")}
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT, env={**env, "NO_MKDOCS_2_WARNING": "1"}, check=True,
    )  # fmt: skip
    return folder


def test_each_link_anchor_and_asset_of_the_site_is_there_and_nothing_comes_from_another_host(site):
    assert site_links.broken(site) == []
    pages = site_links.read(site)
    assert len(pages) > 20
    assert sum(len(page.links) for page in pages.values()) > 2000


def test_pages_of_the_folder_zh_are_marked_as_simplified_chinese_and_lead_to_the_same_page_in_english(site):
    for page in sorted(site.rglob("*.html")):
        text = page.read_text(encoding="utf-8")
        chinese = page.parent.name == "zh"
        assert f'<html lang="{"zh-Hans" if chinese else "en"}"' in text, page
        switch = dict(re.findall(r'<a href="([^"]+)" hreflang="([^"]+)"', text))
        assert set(switch.values()) == {"en", "zh-Hans"}, page
        if chinese:
            assert f"../{page.name}" in switch, page
            assert "目录" in text, "the theme's own words are Chinese, too"


def words(index):
    """What the search splits the pages into, by page: lunr's tokenizer in Python."""
    separator = re.compile(index["config"]["separator"])
    return {
        item["location"]: set(separator.split(re.sub(r"<[^>]+>", " ", f"{item['title']} {item['text']}").lower()))
        for item in index["docs"]
    }


@pytest.mark.parametrize(
    ("word", "pages"),
    [
        ("bare_metal_version", {"troubleshooting.html", "zh/troubleshooting.html"}),
        ("glibc_2.32", {"troubleshooting.html", "zh/troubleshooting.html", "old-linux.html"}),
        ("显卡", {"zh/troubleshooting.html"}),
    ],
)
def test_the_search_has_identifiers_versions_and_chinese_words_as_words(site, word, pages):
    script = (site / "search" / "search_index.js").read_text(encoding="utf-8")  # which a page from a folder loads
    found = words(json.loads(script.partition("=")[2]))
    assert pages <= {location.partition("#")[0] for location, split in found.items() if word in split}


def test_each_known_failure_has_its_anchor_and_its_message_whole(site):
    import troubleshooting_page

    page = (site / "troubleshooting.html").read_text(encoding="utf-8")
    shown = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page))
    anchors = site_links.read(site)["troubleshooting.html"].anchors
    for entry in troubleshooting_page.entries():
        assert entry.failure.id in anchors
        message = entry.message.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        assert re.sub(r"\s+", " ", message) in shown, entry.failure.id
