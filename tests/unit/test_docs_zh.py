"""The Chinese pages say what the English ones say: the same sections, blocks, figures and code, and the same pages."""

import re

import parity
import pytest
import troubleshooting_page
import troubleshooting_zh
from support import ROOT

TRANSLATED = ("index", "start", "troubleshooting", "explain", "conda", "old-linux", "cluster")
"""These have a Chinese page, whatever else does."""

CHINESE = sorted(page.stem for page in ROOT.glob("docs/zh/*.md"))


def pair(name):
    return tuple((ROOT / folder / f"{name}.md").read_text(encoding="utf-8") for folder in ("docs", "docs/zh"))


def test_each_page_of_the_set_is_there_in_both_languages_and_in_the_navigation():
    assert set(TRANSLATED) <= set(CHINESE)
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for name in CHINESE:
        assert (ROOT / "docs" / f"{name}.md").is_file(), name
        assert f": zh/{name}.md\n" in navigation, name


@pytest.mark.parametrize("name", [name for name in CHINESE if name != "troubleshooting"])
def test_both_languages_have_the_same_sections_commands_and_figures(name):
    assert parity.differences(*pair(name)) == []


@pytest.mark.parametrize("changed", [0, 1], ids=["English", "Chinese"])
@pytest.mark.parametrize(
    ("name", "old", "new", "found"),
    [
        ("start", "python -m mamba_build_backend doctor\n", "python -m mamba_build_backend doctor -v\n", "blocks"),
        ("start", "<!-- run: here exit=3 -->", "<!-- run: here -->", "blocks"),
        ("start", "538 ", "539 ", "figures"),
        ("start", "`-C arch=8.0`", "`-C arch=8.6`", "code"),
        ("conda", "gxx_linux-64=13", "gxx_linux-64=14", "blocks"),
        ("conda", "`-C glibc=2.28`", "`-C glibc=2.31`", "code"),
        ("conda", "| 10 | 11 | 12 |", "| 10 | 11 | 13 |", "figures"),
        ("old-linux", "69 MB", "96 MB", "figures"),
        ("old-linux", "69 MB", "69 GB", "figures"),
        ("old-linux", "### GLIBCXX_3.4.29 not found", "GLIBCXX_3.4.29 not found", "headings"),
        ("cluster", "-w /shared/wheels\n", "-w /shared\n", "blocks"),
        ("cluster", "0.7 GB", "0.8 GB", "figures"),
        ("cluster", "580", "570", "figures"),
    ],
)
def test_what_is_changed_in_one_language_only_is_found(name, old, new, found, changed):
    texts = list(pair(name))
    assert old in texts[changed]
    texts[changed] = texts[changed].replace(old, new, 1)
    assert any(f": {found}: in " in line for line in parity.differences(*texts))


@pytest.mark.parametrize("changed", [0, 1], ids=["English", "Chinese"])
def test_a_section_in_one_language_only_and_blocks_in_another_order_are_found(changed):
    texts = list(pair("cluster"))
    counts = [len(parity.sections(text)) for text in texts]
    assert counts[0] == counts[1] > 5
    counts[changed] += 1
    texts[changed] += "\n## More\n"
    assert parity.differences(*texts) == [f"{counts[0]} sections in English, {counts[1]} in Chinese"]
    swapped = ["```bash\na\n```\n\n```bash\nb\n```\n", "```bash\nb\n```\n\n```bash\na\n```\n"]
    assert parity.differences(*swapped) == ["before the first section: blocks: in another order"]


def test_the_chinese_page_of_failures_is_that_of_the_tables():
    page = (ROOT / "docs" / "zh" / "troubleshooting.md").read_text(encoding="utf-8")
    assert page == troubleshooting_zh.page(), "python tests/update_reports.py writes it anew"


def anchors(page):
    return re.findall(r'<h3 class="message" id="([^"]+)"', page)


def commands(page):
    return re.findall(r"^```bash\n(.+?)^```$", page, re.MULTILINE | re.DOTALL)


def test_the_pages_of_failures_have_the_same_entries_groups_and_commands():
    english, chinese = pair("troubleshooting")
    assert anchors(english) == anchors(chinese) != []
    assert commands(english) == commands(chinese) != []
    assert len(parity.sections(english)) == len(parity.sections(chinese))
    assert set(troubleshooting_zh.words()) == {entry.failure.id for entry in troubleshooting_page.entries()}
    assert list(troubleshooting_zh.GROUPS) == list(troubleshooting_page.GROUPS)


def told(language, entry):
    return set(parity.figures(" ".join([language.cause(entry), *language.notes(entry)])))


def test_both_languages_name_the_same_figures_for_each_failure():
    for entry in troubleshooting_page.entries():
        english, chinese = told(troubleshooting_page.ENGLISH, entry), told(troubleshooting_zh.CHINESE, entry)
        assert english == chinese, (entry.failure.id, english ^ chinese)


@pytest.mark.parametrize(("old", "new"), [("2.32", "2.31"), ("2.28", "2.27")], ids=["cause", "notes"])
def test_a_figure_of_a_failure_that_one_language_changed_is_found(monkeypatch, old, new):
    (entry,) = (entry for entry in troubleshooting_page.entries() if entry.failure.id == "glibc-too-old")
    row = troubleshooting_zh.words()[entry.failure.id]
    changed = {"cause": row["cause"].replace(old, new), "notes": [note.replace(old, new) for note in row["notes"]]}
    assert changed != row
    monkeypatch.setattr(troubleshooting_zh, "words", lambda: {entry.failure.id: changed})
    assert told(troubleshooting_page.ENGLISH, entry) != told(troubleshooting_zh.CHINESE, entry)


def test_a_fix_without_its_note_in_chinese_is_an_error(monkeypatch):
    entry = troubleshooting_page.entries()[0]
    row = {"cause": "", "notes": ["one"]}
    assert len(entry.found.fixes) != 1
    monkeypatch.setattr(troubleshooting_zh, "words", lambda: {entry.failure.id: row})
    with pytest.raises(ValueError, match=rf"{entry.failure.id}: 1 notes for {len(entry.found.fixes)} fixes"):
        troubleshooting_zh.CHINESE.notes(entry)


def test_the_list_on_top_of_the_chinese_page_leads_to_the_failure_that_explain_finds():
    rows = re.findall(r"\[`([^`]+)`[^\]]*\]\(#([\w-]+)\)", troubleshooting_zh.HEAD)
    assert len(rows) >= 10
    logs = {entry.failure.id: entry.log for entry in troubleshooting_page.entries()}
    for message, name in rows:
        assert all(word in logs[name] for word in message.split()), (message, name)
