"""What doctor tells to type: one answer that satisfies everything, complete, and in the words of the shell that the user has."""

import json
import random
import re
import shlex
from dataclasses import replace

import pytest
from support import RECORDED, check_typed, planned_for

from mamba_build_backend import plan, tables
from mamba_build_backend.core import commands
from mamba_build_backend.core.errors import parts_of
from mamba_build_backend.core.facts import Compiler, Gpu, Manager, Shell, Toolkit, Torch
from mamba_build_backend.core.settings import load_settings
from mamba_build_backend.probe import recording

TABLES = tables.load_tables()


def installed_torch(part, facts):
    """The torch that a command installs, or None."""
    match = re.search(r"'torch==([\d.]+?)(\.\*)?'", part)
    if match:
        release = f"{match[1]}.0" if match[2] else match[1]
        backend = re.search(r"--torch-backend=cu(\d\d)(\d)", part)
        row = TABLES.torch_row(tables.minor(release))
        cuda = f"{backend[1]}.{backend[2]}" if backend else row.cuda
        assert cuda in row.builds_for(facts.machine.arch), "no such build was published"
        return Torch(
            "/v/site-packages",
            "x",
            f"{release}+cu{cuda.replace('.', '')}",
            cuda,
            None,
            row.has_cxx11_abi(cuda),
            row.cxx_standard,
        )
    match = re.search(r"'pytorch=(\S+?)=cuda\*' 'cuda-version=(\d+)\.\*'", part)
    if match:
        row, cuda = next(
            (row, cuda) for row in reversed(TABLES.torch) for cuda in row.builds if cuda.partition(".")[0] == match[2]
        )
        return Torch("/v/site-packages", "x", f"{row.version}.0", cuda, None, True, row.cxx_standard, installer="conda")
    return None


def installed_compiler(part):
    match = re.search(r"g\+\+-(\d+)|gxx_linux-\w+=(\d+)|toolset-(\d+)-gcc", part)
    return f"{next(filter(None, match.groups()))}.2.0" if match else None


def installed_toolkit(part, facts):
    if "nvidia-cuda-toolkit" in part:
        row = next(row for row in TABLES.cuda if facts.machine.distribution in row.distributions)
        return Toolkit("/usr", "the distribution", version=row.version, archs=row.archs)
    match = re.search(r"cuda-toolkit-(\d+)-(\d+)|cuda-(\d+)\.(\d+)\.\d+ .*cuda-toolkit|cuda-toolkit=(\d+)\.(\d+)", part)
    if match is None or part.startswith("module"):
        return None
    release = ".".join(item for item in match.groups() if item)
    return Toolkit("/usr/local/new", "/usr/local", version=release, archs=TABLES.cuda_row(release).archs)


def after(facts, command):
    """The facts of the machine once a command was typed; None where it is no command that this test knows the effect of."""
    changed = False
    for part in command.split(" && "):
        if torch := installed_torch(part, facts):
            facts = replace(
                facts, torches=(replace(torch, site=facts.torches[0].site if facts.torches else torch.site),)
            )
            changed = True
        elif release := installed_compiler(part):
            old = (
                facts.compilers[0]
                if facts.compilers
                else Compiler("/usr/bin/g++", "PATH", libstdcxx_static="x", target=facts.machine.arch)
            )
            facts = replace(
                facts,
                compilers=(
                    replace(old, path="/new/g++", version=release, problem=None, libstdcxx_static="x"),
                    *facts.compilers,
                ),
            )
            changed = True
        elif toolkit := installed_toolkit(part, facts):
            facts = replace(facts, toolkits=(toolkit, *facts.toolkits))
            changed = True
        elif match := re.match(r"install NVIDIA's driver (\S+)", part):
            facts = replace(facts, driver=match[1])
            changed = True
    return facts if changed else None


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_nobody_is_sent_in_a_circle(path):
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


SHELLS = [
    Shell(),
    Shell(pip=False, uv=True, manager=Manager.VENV),
    Shell(uv=False, root=False, python="python3"),
    Shell(manager=Manager.CONDA),
    Shell(manager=Manager.PIXI),
    Shell(manager=Manager.SYSTEM, root=True, container=True),
    Shell(modules=True, root=False),
]


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: f"{shell.manager}-{shell.pip}-{shell.uv}-{shell.root}")
def test_every_way_is_typed_where_the_user_stands(shell):
    here = commands.Here(shell, "~/mamba-ssm-portable", ("jobs=3",))
    told = set()
    for path in RECORDED:
        settings, facts = recording.load(path, {})
        made = plan.decide(settings, replace(facts, shell=shell), TABLES)
        for problem in made.problems:
            for way in problem.fix:
                command = parts_of(here.way(way))[0]
                if re.match(r"use |install NVIDIA's|build-backend = ", command):
                    continue
                told.add(command)
    check_typed(sorted(told))
    for command in told:
        if shell.uv and not shell.pip:
            assert "-m pip " not in command or "no-binary" in command, command
        if not shell.uv and re.search(r"\buv pip", command):
            assert "pip install uv" in command
        if shell.container:
            assert "apt-get install" not in command or "apt-get update && " in command


def test_a_setting_that_was_given_is_repeated_once():
    here = commands.Here(Shell(), "/src/m", ("arch=native", "cuda-home=/old"))
    assert here.install() == "python -m pip install /src/m -C arch=native -C cuda-home=/old"
    way = here.way("-C cuda-home=/new   (one that is here)")
    assert way == "python -m pip install /src/m -C arch=native -C cuda-home=/new   (one that is here)"


def test_a_path_with_blanks_is_quoted():
    command = commands.Here(Shell(), commands.at_home("/home/u/my code/m", "/home/u")).install()
    assert command == "python -m pip install ~/'my code/m'"
    assert len(shlex.split(command)) == 5


@pytest.mark.parametrize("machine", ["conda-forge-torch-without-cuda"])
def test_pip_puts_nothing_over_condas_torch(machine):
    made = planned_for(next(path for path in RECORDED if path.stem == machine))[1]
    for problem in made.problems:
        assert not [way for way in problem.fix if re.search(r"pip install .*torch", way)]


def test_the_builds_of_the_table_are_those_that_it_has_gpus_for():
    for row in TABLES.torch:
        assert tuple(cuda for cuda, _ in row.gpus) == row.builds
        assert set(row.builds_for("aarch64")) <= {*row.builds}


def test_torch_on_an_arm_machine_is_never_the_index_default():
    path = next(path for path in RECORDED if path.stem == "spark-gb10-torch-2.10")
    data = json.loads(path.read_text())
    settings, facts = recording.load(path, data["settings"])
    without = replace(facts, torches=(replace(facts.torches[0], version="2.10.0+cpu", cuda=None),))
    (problem,) = plan.decide(settings, without, TABLES).problems
    assert problem.code == "torch-cpu"
    assert "--torch-backend=cu130" in problem.fix[0]


def machines(count, seed):
    """Machines that somebody may have: torches, GPUs, drivers, nvccs, compilers, Pythons and systems in any combination."""
    _, base = recording.load(next(path for path in RECORDED if path.stem == "rtx5090-torch-2.4"), {})
    chance = random.Random(seed)
    for _ in range(count):
        row = chance.choice(TABLES.torch)
        arch = chance.choice(["x86_64", "x86_64", "x86_64", "aarch64"])
        cuda = chance.choice(row.builds)
        python = chance.choice([item for item in row.python if tuple(map(int, item.split("."))) >= (3, 9)])
        version = f"{row.version}.0+{chance.choice(['cu' + cuda.replace('.', '')] * 5 + ['cpu'])}"
        capability = chance.choice(["6.0", "6.1", "7.0", "7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0", "12.1"])
        release = chance.choice(TABLES.cuda)
        gxx = chance.choice(["9.4.0", "11.4.0", "12.2.0", "13.3.0", "14.2.0"])
        torch = replace(
            base.torches[0],
            version=version,
            cuda=None if version.endswith("cpu") else cuda,
            cxx11_abi=True,
            glibc=row.glibc,
            tag="",
        )
        toolkit = replace(base.toolkits[0], version=release.version, archs=release.archs)
        compiler = replace(base.compilers[0], version=gxx, target=f"{arch}-linux-gnu")
        system, libc = chance.choice(
            [
                ("ubuntu 22.04", "2.35"),
                ("rocky 8.10", "2.28"),
                ("debian 13", "2.41"),
                ("centos 7", "2.17"),
                ("arch", "2.42"),
            ]
        )
        machine = replace(
            base.machine,
            arch=arch,
            libc_version=libc,
            distribution=system,
            python_tag=f"cp{python.replace('.', '')}",
            python_version=f"{python}.1",
        )
        yield replace(
            base,
            machine=machine,
            torches=(torch,) if chance.random() < 0.9 else (),
            toolkits=(toolkit,) if chance.random() < 0.8 else (),
            compilers=(compiler,) if chance.random() < 0.9 else (),
            gpus=(Gpu("NVIDIA GPU", capability),) if chance.random() < 0.8 else (),
            driver=chance.choice(["", "470.57.02", "535.129.03", "550.54.15", "575.57.08", "580.95.05"]),
        )  # fmt: skip


def test_nobody_is_sent_in_a_circle_on_any_machine():
    settings = load_settings({}, {}, None)
    tried = 0
    for facts in machines(150, seed=23):
        before = plan.decide(settings, facts, TABLES)
        codes = {item.code for item in before.problems}
        for problem in before.problems:
            for way in problem.fix:
                command = parts_of(way)[0]
                then = after(facts, command)
                # Where no torch fits the driver, the torch is the next step.
                if then is None or (command.startswith("install NVIDIA") and codes != {"driver"}):
                    continue
                tried += 1
                left = {item.code: item for item in plan.decide(settings, then, TABLES).problems}
                told = (command, codes, {code: item.found for code, item in left.items()}, facts)
                assert problem.code not in left, told
                assert set(left) <= codes, told
    assert tried > 60
