"""The effect of a printed command on a machine: its facts before and after, without running anything."""

import re
from dataclasses import replace

from mamba_build_backend import tables
from mamba_build_backend.core.facts import Compiler, Toolkit, Torch

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
    """The facts of the machine after a command; None if this test does not know the effect of the command."""
    changed = False
    parts = command.split(" && ")
    if any(part.startswith("module ") for part in parts):
        return None  # which module is there, and is loaded then, is the user's to see
    for part in parts:
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
        elif re.search(r"install (?:-y )?python[\d.]*-dev", part):
            facts = replace(facts, machine=replace(facts.machine, python_header=True))
            changed = True
        elif match := re.match(r"install NVIDIA's driver (\S+)", part):
            facts = replace(facts, driver=match[1])
            changed = True
    return facts if changed else None
