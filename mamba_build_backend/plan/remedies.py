"""Fixes: commands that install what a machine lacks, adapted to the machine and its user's shell."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from ..core.commands import as_root, guessed
from ..core.errors import with_comment
from ..core.facts import Facts, Machine, Manager, Shell
from ..core.projects import SELF
from ..tables import Archive, RedistHost, Tables

_INSTALLERS = {
    "apt-get": ("debian", "ubuntu", "linuxmint", "pop"),
    "dnf": ("fedora", "rhel", "rocky", "almalinux", "ol", "centos", "amzn"),
    "zypper": ("opensuse", "opensuse-leap", "opensuse-tumbleweed", "sles"),
    "pacman": ("arch", "manjaro", "endeavouros"),
}


def system_installer(machine: Machine) -> str:
    """The system's package manager; empty for an unknown system."""
    name, _, release = machine.distribution.partition(" ")
    if name == "centos" and release.startswith("7"):
        return "yum"
    return next((command for command, names in _INSTALLERS.items() if name in names), "")


def install_toolkit(cuda: str, facts: Facts, tables: Tables) -> Iterator[str]:
    """Commands that install exactly this toolkit release; the ones available to this user first."""
    row, machine, shell = tables.cuda_row(cuda), facts.machine, _shell(facts)
    known = row.version == cuda  # for a release that the table does not know, only conda-forge is an option
    conda = row.conda if known and row.conda else f"conda install -c conda-forge cuda-toolkit={cuda}"
    # A rolling distribution has only the newest release.
    in_conda = shell.manager in (Manager.CONDA, Manager.PIXI) or system_installer(machine) == "pacman"
    if shell.modules:
        yield f"module avail cuda   (then module load a CUDA {cuda.partition('.')[0]}, and run doctor again)"
    if in_conda:
        yield _by_pixi(conda) if shell.manager is Manager.PIXI else conda
    if known:
        if machine.distribution in row.distributions:
            yield f"{as_root(shell, 'apt-get install nvidia-cuda-toolkit')}   (the distribution's own package has this release)"
        installer = system_installer(machine) or "apt-get"
        if installer == "pacman" and row.version.partition(".")[0] != tables.cuda[-1].version.partition(".")[0]:
            pass  # pacman has only the newest release
        elif installer == "pacman":
            yield f"{as_root(shell, 'pacman -S cuda')}   (installs the newest release, which must be CUDA {cuda.partition('.')[0]})"
        else:
            yield f"{as_root(shell, f'{installer} install {row.apt}')}   (add NVIDIA's repository first: https://developer.nvidia.com/cuda-downloads)"
    if not in_conda:
        yield conda if not known else with_comment(conda, "in a conda environment")
    if installer_is_rpm(machine) and not shell.modules:
        yield f"module avail cuda   (on a cluster; then module load a CUDA {cuda.partition('.')[0]}, and run doctor again)"
    if row.index_nvcc:
        yield "-C cuda-home=pypi   (nvcc from PyPI, which is the default where no nvcc is found)"
    yield "-C cuda-home=/path/to/cuda   (a toolkit that is already installed)"


def fetch_archives(archives: Sequence[Archive], host: RedistHost, folder: str) -> Iterator[str]:
    """How to bring NVIDIA's archives to a machine without internet; ``folder`` is the mirror folder, or empty."""
    addresses = " ".join(f"{host.address}/{item.path}" for item in archives)
    into, there = (folder, "") if folder else ("cuda-archives", ", then -C cuda-mirror=/path/to/cuda-archives")
    size = f"{sum(item.bytes for item in archives) / 1e6:.0f} MB"
    command = f"curl -fL --create-dirs --output-dir {shlex.quote(into)} --remote-name-all {addresses}"
    yield f"{command}   (on a machine with internet access, {size}{there})"


def installer_is_rpm(machine: Machine) -> bool:
    """Whether the system belongs to the Red Hat family, as most clusters do."""
    return system_installer(machine) in ("dnf", "yum")


def _by_pixi(conda: str) -> str:
    """A conda command translated to pixi, which names the channel with the package."""
    words = conda.split()
    channel = words[words.index("-c") + 1] if "-c" in words else ""
    named = [word for word in words[2:] if word not in ("-c", channel)]
    return f"pixi add {' '.join(f'{channel}::{word}' if '/' in channel else word for word in named)}"


def _shell(facts: Facts) -> Shell:
    return guessed(facts.shell, facts.machine.python_prefix)


def build_for_rocm(upstream: str) -> str:
    """How to use the project's own build, which supports AMD GPUs."""
    if upstream == SELF:
        return 'build-backend = "setuptools.build_meta"   (under [build-system] in pyproject.toml: the project\'s own build)'
    command = f"python -m pip install --no-build-isolation --no-binary {upstream} {upstream}"
    return f"{command}   (upstream's own build for ROCm; see AMD cards in its README)"


def dotted_python(machine: Machine) -> str:
    """``3.11`` for ``cp311``, and ``3.13`` for the free-threaded ``cp313t``."""
    return f"{machine.python_tag[2]}.{machine.python_tag[3:].rstrip('t')}"


def install_compiler(least: int, most: int, banned: tuple[int, ...], facts: Facts, tables: Tables) -> Iterator[str]:
    """Commands that install a g++ from ``least`` to ``most`` that is not ``banned``: from the distribution or conda."""
    machine, shell = facts.machine, _shell(facts)
    wanted = [major for major in range(most, least - 1, -1) if major not in banned]
    row = tables.distribution_row(machine.distribution)
    own = [major for major in wanted if row is not None and major in row.gxx]
    platform = {"x86_64": "linux-64", "aarch64": "linux-aarch64"}.get(machine.arch, "linux-64")
    conda = f"conda install -c conda-forge gxx_{platform}={wanted[0]} sysroot_{platform}=2.17" if wanted else ""
    in_conda = shell.manager in (Manager.CONDA, Manager.PIXI) or system_installer(machine) == "pacman"
    if conda and in_conda:
        again = "" if shell.manager is Manager.PIXI else "   (then activate the environment again)"
        yield (_by_pixi(conda) if shell.manager is Manager.PIXI else conda) + again
    if shell.modules:
        yield f"module avail gcc   (then module load a gcc from {wanted[-1]} to {wanted[0]}, and run doctor again)"
    if row is not None and own:
        command, _, comment = row.install.format(major=own[0]).partition("   (")
        yield with_comment(as_root(shell, command), comment.removesuffix(")"))
    elif row is None and wanted:
        installer = system_installer(machine)
        if installer in ("", "apt-get"):
            command = as_root(shell, f"apt-get install g++-{wanted[0]}")
            yield f"{command}   (or your distribution's package for g++ {wanted[-1]} to {wanted[0]})"
        else:
            words = "pacman -S gcc" if installer == "pacman" else f"{installer} install gcc-c++"
            yield f"{as_root(shell, words)}   (it must be g++ {wanted[-1]} to {wanted[0]})"
    if conda and not in_conda:
        yield conda
    yield "-C host-compiler=/path/to/g++   (a g++ that is not on PATH)"


def install_python_header(facts: Facts) -> Iterator[str]:
    """The command that installs Python.h, for a distribution's Python."""
    machine = facts.machine
    number, installer = dotted_python(machine), system_installer(machine)
    if installer in ("", "apt-get"):
        yield as_root(_shell(facts), f"apt-get install python{number}-dev")
    elif installer == "zypper":
        yield as_root(_shell(facts), f"zypper install python{number.replace('.', '')}-devel")
    elif installer == "pacman":
        yield as_root(_shell(facts), "pacman -S python")
    else:
        yield with_comment(
            as_root(_shell(facts), f"{installer} install python3-devel"),
            f"python{number}-devel if this is not the system's Python",
        )
