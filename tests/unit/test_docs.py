"""The program accepts every command of the documents."""

import re
import shlex
from xml.etree import ElementTree as ET

import pytest
from packaging.version import Version
from support import ROOT

from mamba_build_backend.cli.main import make_parser
from mamba_build_backend.compile import known_failures
from mamba_build_backend.core.settings import known_keys, load_settings
from mamba_build_backend.tables import load_tables

REPORTS = sorted(ROOT.glob("tests/facts/*.txt"))
"""Reports of doctor for the recorded machines, which print commands, too."""

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
COMMANDS = sorted(
    {
        (page.name, re.split(r"#| [<>] ", match[1])[0].strip())
        for page in PAGES
        for match in re.finditer(
            r"^(?:\$ |    )?python -m (mamba_build_backend .*)$", page.read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    | {
        (page.name, match[1])
        for page in PAGES
        for match in re.finditer(r"`python -m (mamba_build_backend [a-z][^`]*)`", page.read_text(encoding="utf-8"))
    }
)


def test_each_command_of_the_program_is_documented():
    """And so the list of what is checked below is not empty where the pattern no longer matches."""
    (actions,) = (action for action in make_parser()._actions if action.choices)
    assert set(actions.choices) <= {command.split()[1] for _, command in COMMANDS}


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_a_documented_command_is_understood(page, command):
    words = shlex.split(command)[1:]
    if words == ["audit"]:
        words.append("x.whl")
    assert callable(make_parser().parse_args(words).run)


@pytest.mark.parametrize("page", [*PAGES, *REPORTS], ids=lambda page: page.name)
def test_a_documented_setting_exists_and_its_value_can_be_read(page):
    for key, value in re.findall(r"-C ([a-z-]+)=([^\s`),:]+)", page.read_text(encoding="utf-8")):
        if value not in ("value", "…"):
            assert key in known_keys(), f"{page.name}: -C {key}"
            load_settings({key: value}, {}, {})


def test_failures_page_is_up_to_date():
    import troubleshooting_page

    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    assert page == troubleshooting_page.page(), "python tests/update_reports.py writes it anew"


def test_settings_page_is_up_to_date():
    import update_reports

    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == update_reports.settings_page(), "python tests/update_reports.py writes it anew"
    assert set(update_reports.LONGER) <= set(known_keys())


def test_matrix_page_is_up_to_date():
    import update_reports

    page = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
    assert page == update_reports.compatibility(), "python tests/update_reports.py writes it anew"


def test_the_charts_are_those_of_the_results():
    import charts

    for name, made in charts.pictures().items():
        assert (ROOT / "docs" / "img" / name).read_text(encoding="utf-8") == made, "python tests/update_reports.py"


def test_the_table_of_the_benchmark_is_that_of_its_results():
    import update_reports

    page = update_reports.BENCHMARKS.read_text(encoding="utf-8")
    assert update_reports.benchmarks(page) == page, "python tests/update_reports.py writes it anew"
    assert page.count("| upstream, 9 architectures | 653.0 s |") == 1


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_picture_of_doctor_shows_what_doctor_prints(theme):
    """By its text: another rich may draw the same in another way."""
    import doctor_picture

    svg = (ROOT / "docs" / "img" / f"doctor-{theme}.svg").read_text(encoding="utf-8")
    printed = [line.rstrip() for _, line in doctor_picture.lines() if line.strip()]
    assert [line for line in doctor_picture.words(svg) if line] == printed, "python tests/update_reports.py"


@pytest.mark.parametrize("picture", sorted(ROOT.glob("docs/img/*.svg")), ids=lambda path: path.name)
def test_a_picture_tells_its_content_takes_dark_colours_and_loads_nothing(picture):
    text = picture.read_text(encoding="utf-8")
    root = ET.fromstring(text)
    names = root.get("aria-labelledby").split()
    assert all(root.find(f".//*[@id='{name}']").text.strip() for name in names) and len(names) == 2
    assert "prefers-color-scheme: dark" in text or picture.stem.endswith(("-light", "-dark"))
    assert not re.findall(r"(?:href|src|url)\W+https?:", text)


def test_what_was_tried_of_each_torch_is_what_the_results_say():
    import charts

    seen = {row.version: row for row in charts.torches()}
    assert seen["2.11"].state(cuda="13.0") == charts.GPU and seen["2.11"].state(python="3.12") == charts.GPU
    assert seen["2.11"].state(cuda="12.6") == charts.PLANNED
    assert seen["2.0"].state(cuda="11.7", python="3.9") == charts.IMPORTED
    assert seen["1.13"].state() == charts.PLANNED
    for row in seen.values():
        assert {cuda for cuda, _ in row.tried} <= set(row.builds)
        assert {python for _, python in row.tried} <= set(row.pythons)


def test_each_failure_has_a_heading_that_explain_recognises_and_each_group_a_title():
    import troubleshooting_page

    from mamba_build_backend.compile import failure_table

    entries = troubleshooting_page.entries()
    assert set(troubleshooting_page.GROUPS) == set(failure_table.GROUPS) == {item.failure.group for item in entries}
    for item in entries:
        assert item.heading and "\n" not in item.heading, item.failure.id
        if item.failure.title and not item.failure.hint:
            found = known_failures.explain(item.failure.title).explanations
            known = item.failure.id in [explanation.id for explanation in found]
            assert known or item.failure.title in item.log, item.failure.id


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    import site_links

    (tmp_path / "zh").mkdir()
    (tmp_path / "a.html").write_text(
        '<h1 id="top">x</h1><p id="twice"></p><p id="twice"></p><a href="#top">1</a><a href="#gone">2</a>'
        '<a href="zh/b.html#%E6%98%BE">3</a><a href="zh/c.html">4</a><a href="https://example.org/">5</a><img src="no.svg">'
        '<script src="https://example.org/x.js"></script>'
    )
    (tmp_path / "zh" / "b.html").write_text(
        '<h2 id="显"></h2><a href="../a.html#top">1</a><a href="../">2</a><a href="/a.html">3</a>'
    )
    assert site_links.broken(tmp_path) == [
        "a.html: id twice is there twice",
        "a.html: #gone",
        "a.html: zh/c.html",
        "a.html: no.svg",
        "a.html: <script> from another host: https://example.org/x.js",
        "zh/b.html: ../",
    ]


def test_matrix_rows_are_in_the_tables_and_passed():
    import matrix

    known = {f"{row.name}=={row.version}": row for row in load_tables().versions}
    listed = {(name, build["what"]): build for name, item in matrix.environments().items() for build in item["builds"]}
    assert len(listed) == sum(len(item["builds"]) for item in matrix.environments().values()), "one is listed twice"
    for (_, what), build in listed.items():
        assert bool(known[what].index_sha256) != build.get("git", False), what
    for item in matrix.results():
        assert (item["environment"], item["what"]) in listed
        assert item["audit"] == "ok"
        assert item["import"].startswith(("ok", "not tried"))


def test_the_readme_has_120_lines_at_most():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_the_compilers_on_the_page_of_conda_are_those_of_the_tables():
    """The newest g++ that each nvcc accepts, without pairs that are known to fail."""
    tables = load_tables()
    text = (ROOT / "docs" / "conda.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:nvcc|newest g\+\+) \|( \d.+)\|$", text, re.MULTILINE)
    releases, newest = (row.split("|") for row in rows)
    told = {}
    for names, number in zip(releases, newest):
        first, *more = re.split(r", | to ", names.strip())
        last = more[-1] if more else first
        for row in tables.cuda:
            if Version(first) <= Version(row.version) <= Version(last):
                told[row.version] = int(number)
    expected = {}
    for row in tables.cuda:
        bad = [pair for pair in tables.bad_pairs if pair.holds_cuda(row.version)]
        inside = range(row.gcc_min, row.gcc_max + 1)
        expected[row.version] = max(n for n in inside if not any(pair.bans(f"{n}.2") for pair in bad))
    assert told == expected


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_linked_page_exists(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def anchors(page):
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_linked_section_exists(page):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*\.md)?#([^)]+)\)", page.read_text(encoding="utf-8")):
        linked = page.parent / target if target else page
        assert anchor in anchors(linked) or f'id="{anchor}"' in linked.read_text(encoding="utf-8"), (target, anchor)
