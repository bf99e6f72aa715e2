"""Spell commands for the user's shell: pip or uv, conda or pixi, with sudo or as root. Text in, text out; no I/O."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass, field, replace

from .errors import parts_of, with_comment
from .facts import Manager, Shell

_OF_CONDA = re.compile(r"/(?:\.?conda|mini(?:conda|forge)\d?|anaconda\d?|mambaforge|micromamba)(?:/|$)")


_OF_IMAGES = ("/opt/conda", "/opt/venv", "/usr", "/usr/local")
"""Environments of container images, where the user is root and apt's package lists are empty."""


def guessed(shell: Shell, prefix: str) -> Shell:
    """The shell; an unrecorded manager is guessed from the environment's path."""
    if shell.manager is not Manager.UNKNOWN:
        return shell
    if shell.root is None and prefix in _OF_IMAGES:
        shell = replace(shell, root=True, container=True)
    if "/.pixi/envs/" in prefix:
        return replace(shell, manager=Manager.PIXI)
    if _OF_CONDA.search(prefix):
        return replace(shell, manager=Manager.CONDA)
    return replace(shell, manager=Manager.SYSTEM if prefix in ("/usr", "/usr/local") else Manager.VENV)


def pip(shell: Shell, words: str) -> str:
    """``pip WORDS`` for this environment: with pip, with uv if there is no pip, or with pixi in a pixi environment."""
    if shell.manager is Manager.PIXI and words.startswith("install "):
        return f"pixi run {_by_pip(shell, words)}" if _is_local(words) else f"pixi add --pypi {words[8:]}"
    return _by_pip(shell, words)


def _is_local(words: str) -> bool:
    return bool(re.search(r"(?:^| )(?:-|['\"]?[~./])", words[8:]))


def _by_pip(shell: Shell, words: str) -> str:
    if shell.pip or not shell.uv:
        return f"{shell.python} -m pip {words}"
    words = words.replace("--no-cache-dir", "--no-cache").replace("--force-reinstall", "--reinstall")
    words = re.sub(r"^uninstall -y ", "uninstall ", words)
    if words.startswith("cache purge"):
        return "uv cache clean"
    waits = re.search(r" --timeout (\d+)", words)  # uv reads a variable for it, and retries three times by default
    words = re.sub(r" --(?:timeout|retries) \d+", "", words)
    system = " --system" if shell.system and words.startswith(("install", "uninstall")) else ""
    command, _, rest = words.partition(" ")
    variable = f"UV_HTTP_TIMEOUT={waits[1]} " if waits else ""
    return f"{variable}uv pip {command}{system} {rest}".rstrip()


def uv_pip(shell: Shell, words: str) -> str:
    """``uv pip WORDS``; installs uv first if it is missing."""
    system = " --system" if shell.system else ""
    command, _, rest = words.partition(" ")
    if shell.uv:
        return f"uv pip {command}{system} {rest}"
    return f"{shell.python} -m pip install uv && {shell.python} -m uv pip {command}{system} {rest}"


def as_root(shell: Shell, command: str) -> str:
    """A command of the system's package manager, with sudo or ``apt-get update`` added where this user needs them."""
    command = re.sub(r"^sudo ", "", command)
    if command.startswith("apt-get install ") and (shell.container or shell.root):
        return f"apt-get update && {command.replace('apt-get install ', 'apt-get install -y ', 1)}"
    return f"sudo {command}" if shell.root is False and not shell.container else command


def at_home(path: str, home: str = "") -> str:
    """A path quoted for a shell, with ``~`` for the home folder."""
    if home.strip("/") and path.startswith(f"{home.rstrip('/')}{os.sep}"):
        return f"~/{shlex.quote(path[len(home.rstrip('/')) + 1 :])}"
    return shlex.quote(path)


def _variable(setting: str) -> str:
    """A setting ``KEY=VALUE`` as a shell variable in front of a command."""
    key, _, value = setting.partition("=")
    return f"MAMBA_BUILD_{key.replace('-', '_').upper()}={shlex.quote(value)}"


@dataclass(frozen=True)
class Here:
    """The user's situation: the shell, and the project that contains the backend."""

    shell: Shell = field(default_factory=Shell)
    checkout: str = "./mamba-ssm-portable"
    """The project's folder, quoted for a shell."""
    settings: tuple[str, ...] = ()
    """The given ``KEY=VALUE`` settings, which commands repeat."""
    building: bool = False
    """Whether a running build shows the command: the user then adds a setting to the command already typed."""
    installed: bool = False
    """Whether the backend is an installed tool outside of a project: it builds a wheel, and pip installs that."""

    def install(self, *settings: str) -> str:
        """The command that builds and installs the project, with the given settings and then these."""
        given = [*self.settings, *settings]
        if self.shell.settings_by_variable and self.shell.pip and given:
            variables = " ".join(_variable(item) for item in given)
            return variables if self.building else f"{variables} {pip(self.shell, f'install {self.checkout}')}"
        words = " ".join(f"-C {shlex.quote(item)}" for item in given)
        if self.building:
            return words
        if self.installed:
            return pip(self.shell, f"install $(python -m mamba_build_backend build {words}".rstrip() + ")")
        return pip(self.shell, f"install {self.checkout} {words}".rstrip())

    def doctor(self) -> str:
        """The command that shows the whole plan, with the given settings."""
        words = "".join(f" -C {shlex.quote(item)}" for item in self.settings)
        return f"{self.shell.python} -m mamba_build_backend doctor -v{words}"

    def inside(self, shell: Shell) -> Here:
        """The same situation with another shell."""
        return replace(self, shell=shell)

    def way(self, text: str) -> str:
        """A fix as the user types it here: a bare setting, ``-C KEY=VALUE``, becomes a complete command."""
        command, comment = parts_of(text)
        if command.startswith("python -m pip "):
            return with_comment(pip(self.shell, command[14:]), comment)
        if command.startswith("apt-get install "):
            return with_comment(as_root(self.shell, command), comment)
        if not command.startswith("-C "):
            return text
        try:
            added = [word for word in shlex.split(command) if word != "-C"]
        except ValueError:  # an instruction, not a command to paste
            return text
        keys = {item.partition("=")[0] for item in added}
        kept = tuple(item for item in self.settings if item.partition("=")[0] not in keys)
        return with_comment(replace(self, settings=kept).install(*added), comment)
