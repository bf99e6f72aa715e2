"""Every command of doctor and explain, on any machine: a shell parses it, and its program accepts its options."""

import json
import random
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from itertools import chain

import pytest
from effects import TABLES, after
from support import RECORDED, ROOT, check_typed, uv_program

from mamba_build_backend import plan
from mamba_build_backend.cli.main import make_parser
from mamba_build_backend.compile import known_failures
from mamba_build_backend.core import commands
from mamba_build_backend.core.errors import parts_of
from mamba_build_backend.core.facts import Gpu, Manager, Shell
from mamba_build_backend.core.settings import load_settings
from mamba_build_backend.probe import recording

SAMPLES = sorted((ROOT / "tests" / "logs").glob("*.txt"))
SHELLS = {
    "pip": Shell(),
    "uv-without-pip": Shell(pip=False, uv=True, manager=Manager.VENV),
    "pip-without-uv": Shell(uv=False, root=False, python="python3"),
    "conda": Shell(manager=Manager.CONDA),
    "pixi": Shell(manager=Manager.PIXI),
    "container": Shell(manager=Manager.SYSTEM, root=True, container=True),
    "cluster": Shell(modules=True, root=False),
}


def told_by_doctor(shell):
    here = commands.Here(shell, "~/mamba-ssm-portable", ("jobs=3",))
    for path in RECORDED:
        settings, facts = recording.load(path, {})
        made = plan.decide(settings, replace(facts, shell=shell), TABLES)
        for way in chain.from_iterable(problem.fix for problem in made.problems):
            command = parts_of(here.way(way))[0]
            if not re.match(r"use |install NVIDIA's|build-backend = ", command):
                yield command


def told_by_explain(shell):
    here = commands.Here(shell, "~/mamba-ssm-portable")
    for path in SAMPLES:
        for item in known_failures.explain(path.read_text(encoding="utf-8"), here).explanations:
            yield from (fix.text for fix in item.fixes if fix.is_command)


@pytest.fixture(scope="module")
def told():
    """All commands by the shell that they are for."""
    return {name: sorted({*told_by_doctor(shell), *told_by_explain(shell)}) for name, shell in SHELLS.items()}


@pytest.fixture(scope="module")
def parts(told):
    """The words of each command between two of the shell's own signs, once."""
    found = set()
    for command in sorted(set(chain.from_iterable(told.values()))):
        words = shlex.shlex(command.lstrip("!"), posix=True, punctuation_chars="&|;")
        words.whitespace_split = True
        part = []
        for word in [*words, "&&"]:
            if word in ("&&", "||", "|", ";"):
                found.add(tuple(part[: next((at for at, one in enumerate(part) if re.match(r"\d?>", one)), None)]))
                part = []
            elif part or not re.fullmatch(r"[A-Z][A-Z0-9_]*=.*", word):
                part.append(word)
    return sorted(found - {()})


@pytest.mark.parametrize("name", SHELLS)
def test_a_shell_reads_every_command(name, told):
    check_typed(told[name])
    done = subprocess.run(["bash", "-n"], input="\n".join(told[name]), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", SHELLS)
def test_doctor_prints_only_commands_that_the_shell_has(name):
    shell = SHELLS[name]
    for command in set(told_by_doctor(shell)):
        if shell.uv and not shell.pip:
            assert "-m pip " not in command or "no-binary" in command, command
        if not shell.uv and re.search(r"\buv pip", command):
            assert "pip install uv" in command
        if shell.container:
            assert "apt-get install" not in command or "apt-get update && " in command


def test_uv_accepts_the_options_of_its_commands(parts):
    """clap reads all words before it prints the help: an unknown option or an unknown CUDA is an error."""
    uv = uv_program()
    lines = {part[1:] for part in parts if part[0] == "uv"}
    lines |= {part[3:] for part in parts if part[1:3] == ("-m", "uv")}
    assert len(lines) > 20
    for words in sorted(lines):
        done = subprocess.run([uv, *words, "--help"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (words, done.stderr)


PIP = """
import json, sys
from pip._internal.commands import create_command
from pip._internal.req.constructors import parse_req_from_line
for name, *words in json.load(sys.stdin):
    options, rest = create_command(name).parse_args(words)
    for item in rest if name == "install" else ():
        item.startswith(("~", ".", "/")) or parse_req_from_line(item, None)
"""


def test_pip_accepts_the_options_of_its_commands(parts):
    lines = [part[part.index("pip") + 1 :] for part in parts if part[1:3] == ("-m", "pip")]
    assert len(lines) > 20
    done = subprocess.run(
        [sys.executable, "-c", PIP], input=json.dumps(lines), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_printed_build_commands_use_only_known_settings(parts):
    builds = [words for words in parts if words[0] not in ("curl", "git")]
    given = {words[at + 1] for words in builds for at, word in enumerate(words[:-1]) if word == "-C"}
    assert len(given) > 10
    for item in given:
        key, _, value = item.partition("=")
        load_settings({key: value}, {}, None)


def test_our_own_commands_are_parsed(parts):
    lines = [part[3:] for part in parts if part[1:3] == ("-m", "mamba_build_backend")]
    assert lines
    for words in lines:
        make_parser().parse_args(words)


def test_printed_python_is_valid(parts):
    lines = [
        part[part.index("-c") + 1] for part in parts if "-c" in part[1:] and re.match("(?:pixi|.*python)", part[0])
    ]
    assert lines
    for text in lines:
        compile(text, "told", "exec")


def machines(count, seed):
    """Possible machines: torches, GPUs, drivers, nvccs, compilers, Pythons and systems in any combination."""
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
            installer=(installer := chance.choice(["pip", "pip", "pip", "conda"])),
        )
        if installer == "conda":
            torch = replace(torch, version=f"{row.version}.0{chance.choice(['', '.post100'])}")
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
            shell=chance.choice(list(SHELLS.values())),
        )  # fmt: skip


def test_fixes_end_on_any_machine():
    settings = load_settings({}, {}, None)
    tried = 0
    for facts in machines(1200, seed=23):
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
    assert tried > 500
