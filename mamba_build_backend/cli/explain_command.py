"""``explain``: the meaning of an error message or a build log."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

from ..core.error_boundary import PREFIX
from ..core.errors import SettingsError
from ..core.paths import exists, is_file, open_plain
from ..core.process import say
from .options import Commands, here, print_json


def add_explain(commands: Commands) -> None:
    """The parser of ``explain``."""
    explain = commands.add_parser(
        "explain", help="explain an error message or a build log, and how to fix it; exit code 1 if it is unknown"
    )
    explain.add_argument("text", nargs="*", metavar="FILE|TEXT", help="a log file, or the message (default: stdin)")
    explain.add_argument(
        "-a", "--all", action="store_true", help="show everything that was recognised, not only the best match"
    )
    explain.add_argument("--json", action="store_true", help="print JSON")
    explain.set_defaults(run=_explain)


def _explain(options: argparse.Namespace) -> int:
    from ..compile import diagnosis_text, known_failures
    from . import terminal

    diagnosis = known_failures.explain(_given_text(options.text), here())
    if options.json:
        print_json(known_failures.diagnosis_json(diagnosis))
    else:
        width = terminal.columns()
        terminal.show(diagnosis_text.diagnosis_lines(diagnosis, everything=options.all, width=width))
    return 0 if diagnosis.explanations else 1


def _given_text(words: list[str]) -> str:
    """A file's content, the words themselves, or stdin."""
    from ..compile.long_log import read_log

    if not words or words == ["-"]:
        if sys.stdin is not None and sys.stdin.isatty():
            say(f"{PREFIX}paste the message, then Ctrl-D")
        return read_log(sys.stdin.buffer) if sys.stdin is not None else ""
    path = Path(words[0])
    if len(words) == 1 and not is_file(path) and exists(path):
        raise SettingsError(
            f"{path} is not a regular file",
            "a log file is needed",
            "python -m mamba_build_backend explain < build.log",
        )
    if len(words) == 1 and is_file(path):
        try:
            with open_plain(path) as file:
                return read_log(file)
        except OSError as error:
            raise SettingsError(
                f"{path} cannot be read: {error.strerror}",
                "a log file is needed",
                "python -m mamba_build_backend explain < build.log",
            ) from None
    if len(words) == 1 and not re.search(r"\s", words[0]) and (os.sep in words[0] or path.suffix in (".log", ".txt")):
        raise SettingsError(
            f"there is no file {path}",
            "a log file or the text of a message is needed",
            "python -m mamba_build_backend explain < build.log",
        )
    return " ".join(words)
