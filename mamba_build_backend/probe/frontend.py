"""The frontend that runs the hooks, and the target environment of its install.

Under pip's isolation, a hook still runs with the prefix of the target environment. uv and build run it with the prefix
of a temporary environment, and uv also overwrites ``VIRTUAL_ENV``. Then only the frontend knows the target environment,
so this module reads it from the command line, folder and variables of the parent process, proc(5).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.paths import find_program, is_dir, is_file, read_bytes

PROC = Path("/proc")

# These uv commands work in a project's environment; the others use the active one.
_PROJECT = ("sync", "run", "add", "remove", "lock", "export", "tree")
_COMMANDS = (*_PROJECT, "pip", "build", "tool", "install", "wheel", "download", "lock")
_WITH_VALUE = {
    "uv": (
        "--allow-insecure-host",
        "--cache-dir",
        "--color",
        "--config-file",
        "--directory",
        "--project",
        "--python-preference",
    ),
    "pip": (
        "--cache-dir",
        "--cert",
        "--client-cert",
        "--exists-action",
        "--keyring-provider",
        "--log",
        "--proxy",
        "--python",
        "--retries",
        "--timeout",
        "--trusted-host",
        "--use-deprecated",
        "--use-feature",
    ),
}
"""Options before the command that take the next word as their value (uv 0.9, pip 25)."""


@dataclass(frozen=True)
class Frontend:
    """``command`` is the typed command without options, such as ``uv pip install``; empty if unknown."""

    command: str = ""
    environments: tuple[str, ...] = ()
    """Prefixes of possible target environments, the likeliest first; they need not exist."""

    @property
    def name(self) -> str:
        """``uv``, ``pixi``, ``pip``, ``build``, or empty."""
        return self.command.partition(" ")[0]


@dataclass(frozen=True)
class _Process:
    program: str
    arguments: tuple[str, ...]
    environ: Mapping[str, str]
    folder: Path


def probe_frontend(parent: int | None = None, proc: Path = PROC) -> Frontend:
    """The frontend in the parent process; an empty record if that is not a frontend or cannot be read."""
    process = _read(proc / str(os.getppid() if parent is None else parent))
    if process is None:
        return Frontend()
    program = os.path.basename(process.program)
    if program == "pixi":
        return Frontend("pixi", tuple(_of_pixi(process)))
    if program == "uv":
        words = _words("uv", process.arguments[1:])
        return Frontend(" ".join(words), tuple(dict.fromkeys(_of_uv(words, process))))
    module, rest = _module(process.arguments)
    if module not in ("pip", "build"):
        return Frontend()
    return Frontend(" ".join(_words(module, rest)), tuple(_of_python(process)))


def _read(folder: Path) -> _Process | None:
    try:
        variables = read_bytes(folder / "environ").split(b"\0")
        return _Process(
            os.readlink(folder / "exe"),
            tuple(os.fsdecode(word) for word in read_bytes(folder / "cmdline").rstrip(b"\0").split(b"\0")),
            dict(os.fsdecode(item).split("=", 1) for item in variables if b"=" in item),
            Path(os.readlink(folder / "cwd")),
        )
    except OSError:
        return None


def _module(arguments: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The module that a Python process runs, by ``-m`` or by a script of that name, and its arguments."""
    for index, word in enumerate(arguments[1:], 1):
        if word == "-m" and index + 1 < len(arguments):
            return arguments[index + 1], arguments[index + 2 :]
        if not word.startswith("-"):
            script = os.path.basename(word)
            name = "build" if script == "pyproject-build" else "pip" if script.startswith("pip") else ""
            return name, arguments[index + 1 :]
    return "", ()


def _words(name: str, arguments: Sequence[str]) -> list[str]:
    """The command without options: ``uv pip install``, ``pip download``; build has no commands.

    An unknown option counts as one without a value: a wrong guess only costs a hint.
    """
    words, value = [name], False
    for word in arguments if name != "build" else ():
        if value:
            value = False
        elif word.startswith("-"):
            value = word in _WITH_VALUE[name]
        elif word in _COMMANDS:
            words.append(word)
            if word != "pip":
                break
        else:
            break
    return words


def _of_uv(words: Sequence[str], process: _Process) -> Iterator[str]:
    """Targets in uv's own order: --python, the project's environment or the active one, a ``.venv`` here or above."""
    home = process.folder / (_option(process.arguments, "--directory") or "")
    python = _option(process.arguments, "--python", "-p") or process.environ.get("UV_PYTHON", "")
    if os.sep in python:
        path = home / python
        yield str(path if is_dir(path) else path.parent.parent)
    in_project = len(words) > 1 and words[1] in _PROJECT
    if not in_project or "--active" in process.arguments:
        yield from (process.environ[name] for name in ("VIRTUAL_ENV", "CONDA_PREFIX") if process.environ.get(name))
    start = home / (_option(process.arguments, "--project") or "")
    if in_project and process.environ.get("UV_PROJECT_ENVIRONMENT"):
        yield str(start / process.environ["UV_PROJECT_ENVIRONMENT"])
    for folder in (start, *start.parents):
        if is_file(folder / ".venv" / "pyvenv.cfg"):
            yield str(folder / ".venv")
            break


def _of_pixi(process: _Process) -> Iterator[str]:
    """Pixi contains uv, and installs into an environment in the workspace's folder."""
    manifest = process.folder / (_option(process.arguments, "--manifest-path") or "")
    name = _option(process.arguments, "--environment", "-e") or "default"
    for folder in (manifest, *manifest.parents):
        if is_dir(folder / ".pixi" / "envs" / name):
            yield str(folder / ".pixi" / "envs" / name)
            return


def _of_python(process: _Process) -> Iterator[str]:
    """The environment whose Python runs the frontend; it may be inactive."""
    word = process.arguments[0]
    python = str(process.folder / word) if os.sep in word else find_program(word, process.environ)
    if python:
        yield os.path.dirname(os.path.dirname(os.path.abspath(python)))


def _option(arguments: Sequence[str], *names: str) -> str:
    for word, value in zip(arguments, (*arguments[1:], "")):
        if word in names:
            return value
        for name in names:
            if word.startswith(f"{name}="):
                return word[len(name) + 1 :]
    return ""
