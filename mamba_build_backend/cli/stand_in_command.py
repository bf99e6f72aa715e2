"""``stand-in``: a wheel with upstream's name that requires the portable one. Copies of the backend lack it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ..core._compat import requirements, utils
from ..core.errors import SettingsError
from ..core.projects import default_project, project_names
from ..tables import ProjectVersion, load_tables
from .options import Commands, print_json


def add_stand_in(commands: Commands) -> None:
    """The parser of ``stand-in``."""
    parser = commands.add_parser(
        "stand-in",
        help="write a wheel with upstream's name and without files that requires the portable distribution; for packages that require upstream's name",
    )
    parser.add_argument(
        "targets",
        nargs="+",
        metavar="PROJECT[==VERSION]",
        help=f"{' or '.join(project_names())} (default: the newest version)",
    )
    parser.add_argument("-w", "--wheel-dir", default="dist", metavar="DIR", help="output folder (default: dist)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_stand_in)


def _stand_in(options: argparse.Namespace) -> int:
    from ..wheel.stand_in import write_stand_in

    rows = [_row(text) for text in options.targets]
    folder = Path(options.wheel_dir).absolute()
    made = [str(write_stand_in(row, folder, os.environ)) for row in rows]
    if options.json:
        print_json({"schema": 1, "wheels": made})
    else:
        print("\n".join(made))
    return 0


def _row(text: str) -> ProjectVersion:
    """The named version, or the newest. Raises SettingsError."""
    told = f"python -m mamba_build_backend stand-in {default_project()}"
    try:
        wanted = requirements.Requirement(text)
    except requirements.InvalidRequirement:
        raise SettingsError(
            f"{text[:80]!r} is not a project, or a project and a version", "a stand-in is for exactly one version", told
        ) from None
    name = utils.canonicalize_name(wanted.name).removesuffix("-portable")
    known = [row for row in load_tables().versions if row.name == name]
    if not known:
        raise SettingsError(
            f"{name} is not a known project", f"the known ones are {' and '.join(project_names())}", told
        )
    fitting = [row for row in known if wanted.specifier.contains(row.version, prereleases=True)]
    if not fitting:
        versions = ", ".join(row.version for row in known[-6:])
        raise SettingsError(
            f"no known version of {name} matches {wanted.specifier}", f"the newest known are {versions}", told
        )
    return fitting[-1]
