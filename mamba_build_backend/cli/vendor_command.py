"""``vendor``: copies of the backend in other projects. A copy has no such command."""

from __future__ import annotations

import argparse

from ..core.projects import SELF, project_names
from .options import Commands, path, print_json


def add_vendor(commands: Commands) -> None:
    """The parser of ``vendor``."""
    vendor = commands.add_parser(
        "vendor",
        help="copy the backend into another project and set its pyproject.toml to use it, or check such a copy",
    )
    vendor.add_argument("dest", type=path, metavar="DEST", help="the project's folder")
    vendor.add_argument(
        "--upstream",
        choices=[SELF, *sorted(project_names())],
        help="what the project builds (default: what its pyproject.toml says, else self)",
    )
    how = vendor.add_mutually_exclusive_group()
    how.add_argument("--force", action="store_true", help="replace a copy that was edited")
    how.add_argument("--check", action="store_true", help="change nothing; exit code 1 if the copy is not up to date")
    vendor.add_argument("--json", action="store_true", help="print JSON")
    vendor.set_defaults(run=_vendor)


def _vendor(options: argparse.Namespace) -> int:
    from ..vendoring import report as vendor_report
    from ..vendoring import vendor

    if options.check:
        found = vendor.check_copy(options.dest)
        if options.json:
            print_json(vendor_report.state_json(found))
        else:
            print(vendor_report.state_text(found), end="")
        return 0 if found.ok else 1
    done = vendor.vendor(options.dest, options.upstream, force=options.force)
    if options.json:
        print_json(vendor_report.vendored_json(done))
    else:
        print(vendor_report.vendored_text(done), end="")
    return 0
