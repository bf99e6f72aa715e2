"""``matrix`` and ``index``, for many wheels. A copy of the backend in another project has neither."""

from __future__ import annotations

import argparse
import json
import os

from ..core.error_boundary import PREFIX
from ..core.errors import AuditError, PlanError
from ..core.process import say
from .at_hand import at_hand
from .options import Commands, path, print_json


def add_matrix(commands: Commands) -> None:
    """The parser of ``matrix``."""
    matrix = commands.add_parser(
        "matrix", help="show each wheel that a matrix file lists: what it would be, or why it cannot be built"
    )
    matrix.add_argument(
        "file",
        nargs="?",
        type=path,
        metavar="FILE",
        help="default: ./matrix.toml, else the checkout's manylinux/matrix.toml",
    )
    matrix.add_argument("--facts", type=path, metavar="FILE", help="plan for the machine in FILE instead of this one")
    matrix.add_argument("-v", "--verbose", action="store_true", help="also show notes, settings and fixes")
    shown = matrix.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print JSON")
    shown.add_argument(
        "--github",
        action="store_true",
        help="print one line for a GitHub workflow's strategy.matrix, with the wheels that can be built",
    )
    matrix.set_defaults(run=_matrix)


def _matrix(options: argparse.Namespace) -> int:
    from .. import matrix
    from ..matrix.command import list_cells

    planned = list_cells(options.file, options.facts, at_hand(None), os.environ)
    problems = tuple(dict.fromkeys(problem for item in planned for problem in item.problems))
    nothing = all(item.problems for item in planned)
    if options.github:
        if nothing:
            raise PlanError(problems)
        print(json.dumps(matrix.github_json(planned, os.getcwd())))
    elif options.json:
        print_json(matrix.cells_json(planned))
    else:
        print(matrix.cells_text(planned, verbose=options.verbose), end="")
    return PlanError.exit_code if nothing else 0


def add_index(commands: Commands) -> None:
    """The parser of ``index``."""
    index = commands.add_parser("index", help="write DIR/simple, a package index of finished wheels for any web server")
    index.add_argument("folder", type=path, metavar="DIR")
    index.add_argument(
        "-w", "--wheel-dir", type=path, metavar="DIR", help="the folder in DIR with the wheels (default: DIR itself)"
    )
    index.add_argument("--json", action="store_true", help="print JSON")
    index.set_defaults(run=_index)


def _index(options: argparse.Namespace) -> int:
    from ..matrix import index_writer

    index = index_writer.write_index(options.folder, options.wheel_dir)
    for name, why in index.left_out:
        say(f"{PREFIX}left out: {name}: {why}")
    if options.json:
        print_json(index_writer.index_json(index))
    else:
        print(index.page)
    return AuditError.exit_code if index.left_out else 0
