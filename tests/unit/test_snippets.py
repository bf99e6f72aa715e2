"""Every command of the documents is run, or at least parsed."""

import ast
import json
import re
import shlex
from dataclasses import replace

import pytest
import yaml
from snippets import PAGES, Block, all_blocks, distinct
from support import ROOT

from mamba_build_backend.cli import drive
from mamba_build_backend.cli.main import make_parser
from mamba_build_backend.core import facts
from mamba_build_backend.core._compat import tomllib
from mamba_build_backend.core.settings import load_settings
from mamba_build_backend.plan import decide_together
from mamba_build_backend.tables import load_tables

WORLDS = {"here", "tiny", "mamba", "project", "toml", "yaml", "python", "told", "text"}
SHELLS = ("bash", "console")
BUILD = ("pip install", "pip wheel", "-m build", "uv ", "mamba_build_backend build")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_each_fenced_block_says_what_it_is_and_how_it_is_run(page):
    for block in all_blocks():
        if block.page == page.relative_to(ROOT).as_posix():
            assert block.language, f"{block}: no language"
            assert block.world in WORLDS, f"{block}: no note such as <!-- run: here --> right above it"
            if block.language in SHELLS and block.world != "text":
                assert block.commands, f"{block}: no command"


def test_of_blocks_that_are_the_same_the_first_one_is_run():
    one = Block("docs/a.md", 1, "bash", "here", (), "a\n")
    other = replace(one, options=("exit=3",))
    assert distinct([one, other, replace(one, page="docs/zh/a.md")]) == [one, other]
    assert distinct(all_blocks("here")) != all_blocks("here")


def test_each_kind_of_block_occurs():
    assert {block.world for block in all_blocks()} >= WORLDS - {"yaml"}


@pytest.mark.parametrize("block", all_blocks("toml", "yaml", "python"), ids=str)
def test_a_block_of_data_or_code_is_valid(block):
    if block.world == "toml":
        assert tomllib.loads(block.text)
    elif block.world == "yaml":
        assert yaml.safe_load(block.text)
    else:
        ast.parse(block.text)


@pytest.mark.parametrize("block", all_blocks("mamba", "tiny"), ids=str)
def test_a_command_that_builds_is_understood(block):
    """The integration tests run the commands of ``tiny``; this test plans the settings of those of ``mamba``."""
    for command in block.commands:
        words = shlex.split(command)
        if words[:3] == ["python", "-m", "mamba_build_backend"]:
            assert callable(make_parser().parse_args(words[3:]).run), command
        else:
            assert re.match(r"(python -m |uv |snakemake |git clone |conda |cd )", command), command


def settings_of(command):
    """What a build command sets: its -C options, and the projects that it names."""
    words = shlex.split(command)
    given = [dict([words[n + 1].split("=", 1)]) for n, word in enumerate(words) if word == "-C"]
    settings = {key: value for item in given for key, value in item.items()}
    if words[:4] == ["python", "-m", "mamba_build_backend", "build"]:
        options = make_parser().parse_args(words[3:])
        settings = {**settings, **({"allow-unverified": "true"} if options.allow_unverified else {})}
        return drive.with_targets(settings, options.targets)
    return [settings]


@pytest.mark.parametrize("block", [block for block in all_blocks("mamba") if block.language in SHELLS], ids=str)
def test_a_build_command_of_the_documents_has_a_plan_on_a_good_machine(block):
    text = (ROOT / "tests" / "facts" / "debian12-torch2.11-cuda13.0.json").read_text()
    found = facts.from_json(json.loads(text)["facts"])
    gpu = facts.Gpu("NVIDIA H100", "9.0")
    for command in block.commands:
        if not any(word in command for word in BUILD):
            continue
        wanted = [load_settings(item, {}, None) for item in settings_of(command)]
        kinds = dict.fromkeys(["", "auto", "index", "git"], "")
        kind = kinds.get(wanted[0].source, "tree")
        other = any(item.cuda_home != "auto" or item.torch != "auto" for item in wanted)  # of another machine
        plans = decide_together(
            wanted, replace(found, gpus=(gpu,), driver="580.159.04", source_kind=kind), load_tables()
        )
        for plan in plans:
            assert other or not plan.problems, (command, plan.problems)
