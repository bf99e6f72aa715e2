"""The command line: parse arguments, make one call, print. Each group of commands is a module next to this one."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from typing import TextIO, cast

from .._version import __version__
from ..core import invocation
from ..core.outside_text import Visible
from ..core.own_copy import not_in_a_copy
from .explain_command import add_explain
from .options import Commands
from .plan_commands import add_doctor, add_patches, add_requires
from .wheel_commands import add_audit, add_build

_EVERYWHERE: tuple[Callable[[Commands], None], ...] = (
    add_doctor,
    add_patches,
    add_build,
    add_requires,
    add_audit,
    add_explain,
)
"""All commands that every copy has, in the order of ``--help``."""
_CHECKOUT_ONLY = {
    "vendor": "vendor_command",
    "stand-in": "stand_in_command",
    "matrix": "matrix_commands",
    "index": "matrix_commands",
}
"""Commands, each with its module, that a copy of the backend in another project does not contain."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status. Raises SettingsError for a command that this copy does not contain."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words and words[0] in _CHECKOUT_ONLY and not _is_carried(words[0]):
        raise not_in_a_copy(f"`{words[0]}`", words)
    options = make_parser().parse_args(words)
    # The output may contain text from another person's log, wheel or machine file.
    with redirect_stdout(cast("TextIO", Visible(sys.stdout, os.environ))):
        status: int = options.run(options)
    return status


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands that this copy of the backend contains."""
    parser = argparse.ArgumentParser(
        prog=invocation.command(),
        description="Build portable wheels of CUDA extensions for torch. Exit codes: 0 success, 1 explain: unknown error, "
        "vendor --check: outdated copy, 2 invalid setting, 3 the machine lacks something, 4 source, 5 build, 6 audit, "
        "7 disk, 8 a tool failed, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in _EVERYWHERE:
        add(commands)
    for name, module in _CHECKOUT_ONLY.items():
        if _is_carried(name):
            getattr(import_module(f".{module}", __package__), f"add_{name.replace('-', '_')}")(commands)
    return parser


def _is_carried(command: str) -> bool:
    return find_spec(f".{_CHECKOUT_ONLY[command]}", __package__) is not None
