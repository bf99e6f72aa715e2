"""What the documents tell people to type is something that the program understands."""

import re
import shlex

import pytest
from packaging.version import Version
from support import ROOT

from mamba_build_backend.cli.main import make_parser
from mamba_build_backend.compile import known_failures
from mamba_build_backend.core.settings import known_keys, load_settings
from mamba_build_backend.tables import load_tables

REPORTS = sorted(ROOT.glob("tests/facts/*.txt"))
"""What doctor says of the recorded machines: commands are told there too."""

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


def test_the_page_of_failures_is_that_of_the_table():
    import troubleshooting_page

    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    assert page == troubleshooting_page.page(), "python tests/update_reports.py writes it anew"


def test_the_page_of_settings_is_that_of_the_code():
    import update_reports

    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == update_reports.settings_page(), "python tests/update_reports.py writes it anew"
    assert set(update_reports.LONGER) <= set(known_keys())


def test_the_page_of_the_matrix_is_that_of_its_results():
    import update_reports

    page = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
    assert page == update_reports.compatibility(), "python tests/update_reports.py writes it anew"


def test_what_the_matrix_lists_is_known_to_the_tables_and_what_it_saw_was_fine():
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


def test_each_message_of_the_chinese_page_is_one_that_explain_knows():
    rows = re.findall(
        r"^\| (`+)(.+?)\1 \|", (ROOT / "docs" / "zh" / "troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(rows) >= 20
    for _, message in rows:
        assert known_failures.explain(message).explanations, message


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_linked_page_is_there(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def anchors(page):
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_linked_section_is_there(page):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*\.md)?#([^)]+)\)", page.read_text(encoding="utf-8")):
        linked = page.parent / target if target else page
        assert anchor in anchors(linked) or f'id="{anchor}"' in linked.read_text(encoding="utf-8"), (target, anchor)
