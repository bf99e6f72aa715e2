"""doctor prints one complete answer that satisfies every constraint, in the syntax of the user's shell."""

import json
import re
import shlex
from dataclasses import replace

import pytest
from effects import TABLES, after
from support import RECORDED, planned_for

from mamba_build_backend import plan
from mamba_build_backend.core import commands, errors
from mamba_build_backend.core.errors import parts_of
from mamba_build_backend.core.facts import Shell
from mamba_build_backend.probe import recording


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_fixes_end(path):
    """Each told way is gone: its problem is solved by it, and no new one has come."""
    settings, facts = recording.load(path, {})
    made = planned_for(path)[1]
    before = {item.code for item in made.problems}
    for problem in made.problems:
        for way in problem.fix:
            command = parts_of(way)[0]
            then = after(facts, command)
            if then is None or settings.torch != "auto" or settings.cuda_home != "auto":
                continue
            codes = {item.code for item in plan.decide(settings, then, TABLES).problems}
            assert problem.code not in codes, (command, codes)
            assert codes <= before, (command, codes)


def test_given_setting_is_repeated_once():
    here = commands.Here(Shell(), "/src/m", ("arch=native", "cuda-home=/old"))
    assert here.install() == "python -m pip install /src/m -C arch=native -C cuda-home=/old"
    way = here.way("-C cuda-home=/new   (one that is here)")
    assert way == "python -m pip install /src/m -C arch=native -C cuda-home=/new   (one that is here)"


def test_old_pip_gets_settings_as_variables():
    old = Shell(settings_by_variable=True)
    here = commands.Here(old, "/src/m", ("arch=native", "cuda-home=/old"))
    way = here.way("-C cuda-home='/new one'   (one that is here)")
    assert way == (
        "MAMBA_BUILD_ARCH=native MAMBA_BUILD_CUDA_HOME='/new one' python -m pip install /src/m   (one that is here)"
    )
    assert commands.Here(old, "/src/m").install() == "python -m pip install /src/m"
    # uv and the pip that uv stands in for know the option.
    assert "-C arch=native" in commands.Here(replace(old, pip=False), "/src/m", ("arch=native",)).install()
    building = commands.Here(old, building=True)
    assert errors.ways((building.way("-C source=/a/b   (a copy)"), "-C arch=all")) == [
        "  do:   add MAMBA_BUILD_SOURCE=/a/b in front of the command  # a copy",
        "  or:   add -C arch=all to the command",
    ]


def test_instruction_is_printed_without_a_command():
    text = "-C the project's name"
    assert commands.Here(Shell(), "/src/m").way(text) == text


def test_a_path_with_blanks_is_quoted():
    command = commands.Here(Shell(), commands.at_home("/home/u/my code/m", "/home/u")).install()
    assert command == "python -m pip install ~/'my code/m'"
    assert len(shlex.split(command)) == 5


@pytest.mark.parametrize("machine", ["conda-forge-torch-without-cuda"])
def test_pip_never_replaces_torch_of_conda(machine):
    made = planned_for(next(path for path in RECORDED if path.stem == machine))[1]
    for problem in made.problems:
        assert not [way for way in problem.fix if re.search(r"pip install .*torch", way)]


def test_torch_builds_and_gpu_lists_agree():
    for row in TABLES.torch:
        assert tuple(cuda for cuda, _ in row.gpus) == row.builds
        assert set(row.builds_for("aarch64")) <= {*row.builds}


def test_torch_on_an_arm_machine_is_never_the_default_of_pypi():
    path = next(path for path in RECORDED if path.stem == "spark-gb10-torch-2.10")
    data = json.loads(path.read_text())
    settings, facts = recording.load(path, data["settings"])
    without = replace(facts, torches=(replace(facts.torches[0], version="2.10.0+cpu", cuda=None),))
    (problem,) = plan.decide(settings, without, TABLES).problems
    assert problem.code == "torch-cpu"
    assert "--torch-backend=cu130" in problem.fix[0]
