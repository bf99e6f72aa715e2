"""``build`` and ``audit``: make wheels, and check finished ones."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from ..core.errors import AuditError
from ..core.projects import SELF, project_names
from .options import Commands, add_common, path, print_json, project_folder, read_settings


def add_build(commands: Commands) -> None:
    """The parser of ``build``."""
    build = commands.add_parser(
        "build",
        help="build wheels in isolation, for the torch of this environment: one project, or several from one plan",
    )
    build.add_argument(
        "targets",
        nargs="*",
        metavar="PROJECT[==VERSION]|TREE",
        help=f"{' or '.join(project_names()) or SELF}, or several; without a version, the newest one known to work, or the "
        "one that matches the other project; or the folder of a source tree, as ./FOLDER, or an archive of a source tree "
        "(default: the setting upstream)",
    )
    add_common(build)
    build.add_argument("-w", "--wheel-dir", default="dist", metavar="DIR", help="output folder (default: dist)")
    build.add_argument(
        "--no-isolation", action="store_true", help="use this environment's build tools instead of fetching them"
    )
    build.set_defaults(run=_build)


def _build(options: argparse.Namespace) -> int:
    from . import drive

    wanted = drive.with_targets(read_settings(options), options.targets)
    built = drive.build(
        project_folder(options, wanted[0]),
        wanted,
        Path(options.wheel_dir).absolute(),
        os.environ,
        isolated=not options.no_isolation,
    )
    if options.json:
        print_json(built)
    else:
        for item in built["wheels"]:
            print(item["wheel"])
    return 0


def add_audit(commands: Commands) -> None:
    """The parser of ``audit``."""
    audit = commands.add_parser(
        "audit", help="check a finished wheel: what it needs, what it contains, and whether it keeps its promises"
    )
    audit.add_argument("wheel", type=path, metavar="WHEEL")
    audit.add_argument(
        "--torch",
        type=path,
        action="append",
        default=[],
        metavar="SITE_PACKAGES",
        help="a torch to look symbols up in; may be repeated (default: this environment's)",
    )
    audit.add_argument(
        "--require",
        metavar="WHAT",
        help="fail if the wheel needs more or contains less than this: glibc=2.17,glibcxx=3.4.19,arch=8.0,arch=PTX",
    )
    audit.add_argument("--json", action="store_true", help="print JSON")
    audit.set_defaults(run=_audit)


def _audit(options: argparse.Namespace) -> int:
    from ..audit import report as audit_report
    from ..audit.chart import is_drawable
    from . import drive

    result = drive.audit(options.wheel, options.torch, os.environ, require=options.require or "")
    if options.json:
        print_json(audit_report.audit_json(result))
    else:
        width = shutil.get_terminal_size((audit_report.WIDTH, 0)).columns
        encoding = sys.stdout.encoding or "ascii"
        text = audit_report.audit_text(result, width, ascii_only=not is_drawable(encoding))
        print(text.encode(encoding, "replace").decode(encoding), end="")
    return AuditError.exit_code if result.problems else 0
