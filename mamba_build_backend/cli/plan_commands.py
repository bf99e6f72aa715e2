"""``doctor``, ``patches`` and ``requires``: show what would be built and with which tools; they compile nothing."""

from __future__ import annotations

import argparse
import os

from ..core.error_boundary import PREFIX
from ..core.errors import PlanError, SourceError
from ..core.own_copy import not_in_a_copy
from ..core.paths import is_file, read_text
from ..core.process import say
from ..core.storage import disk_errors
from .at_hand import at_hand
from .options import Commands, add_common, here, path, plan_for, print_json, project_folder, read_settings


def add_doctor(commands: Commands) -> None:
    """The parser of ``doctor``."""
    doctor = commands.add_parser(
        "doctor", help="show what was found on this machine, what would be built, and why; compiles nothing"
    )
    doctor.add_argument(
        "tree",
        nargs="?",
        metavar="TREE",
        help="a folder with a setup.py: a release of a known project, or a changed copy of one",
    )
    add_common(doctor)
    doctor.add_argument(
        "-v", "--verbose", action="store_true", help="also show everything that was found, chosen and rejected, and why"
    )
    doctor.add_argument("--facts", type=path, metavar="FILE", help="plan for the machine in FILE instead of this one")
    doctor.add_argument(
        "--save",
        type=path,
        metavar="FILE",
        help="save this machine's facts to FILE, without user name, host name and secrets",
    )
    doctor.add_argument("--schema", action="store_true", help="only print the JSON Schema of --json")
    doctor.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    from ..plan import report
    from ..probe import recording
    from . import terminal

    if options.schema:
        from ..plan import doctor_json

        if not is_file(doctor_json.SCHEMA_FILE):
            raise not_in_a_copy("the JSON Schema of `doctor --json`", ["doctor", "--schema"])
        print(read_text(doctor_json.SCHEMA_FILE), end="")
        return 0
    settings, facts, plan = plan_for(options)
    if options.save:
        with disk_errors(options.save, "--save another/file.json"):
            recording.save(options.save, settings, facts, os.environ)
        say(f"{PREFIX}saved this machine's facts, without user and host name, to {options.save}")
    if options.json:
        from ..plan import doctor_json  # takes 30 ms, and the text does not need it

        print_json(doctor_json.plan_json(facts, plan))
    else:
        given = read_settings(options)
        where = here(at_hand(options.project, given), given, facts.shell if options.facts else None)
        terminal.show(report.shown_lines(facts, plan, where, verbose=options.verbose, width=terminal.columns()))
    return PlanError.exit_code if plan.problems else 0


def add_patches(commands: Commands) -> None:
    """The parser of ``patches``."""
    patches = commands.add_parser(
        "patches",
        help="list the patches that a build here would apply to upstream's source, those that it would not, and why",
    )
    patches.add_argument(
        "action",
        nargs="?",
        choices=["list", "check"],
        default="list",
        help="check: try every patch on every source version that it is for (-C source=MIRROR reads them from a git mirror)",
    )
    add_common(patches)
    patches.add_argument("--facts", type=path, metavar="FILE", help="list for the machine in FILE instead of this one")
    patches.set_defaults(run=_patches)


def _patches(options: argparse.Namespace) -> int:
    from ..plan import report

    if options.action == "check":
        from ..job import make_job
        from .patch_check import check_patches

        given = read_settings(options)
        tried = check_patches(make_job(project_folder(options, given), given, os.environ))
        failed = [item for item in tried if item["problem"]]
        if options.json:
            print_json({"schema": report.PATCHES_SCHEMA, "ok": not failed, "tried": tried})
        else:
            for item in tried:
                print(f"{item['file']}  {item['title']}  {item['problem'] or 'fits'}")
            print(f"{len(tried) - len(failed)} of {len(tried)} fit")
        return SourceError.exit_code if failed else 0
    _, _, plan = plan_for(options)
    if options.json:
        print_json(report.patches_json(plan))
    else:
        print(report.patches_text(plan), end="")
    return 0


def add_requires(commands: Commands) -> None:
    """The parser of ``requires``."""
    needs = commands.add_parser(
        "requires",
        help="list what an isolated build here would install and download, one per line; for a wheelhouse or --no-build-isolation",
    )
    add_common(needs)
    needs.add_argument("--facts", type=path, metavar="FILE", help="for the machine in FILE instead of this one")
    needs.set_defaults(run=_requires)


def _requires(options: argparse.Namespace) -> int:
    from .. import build_requires

    settings, facts, _ = plan_for(options)
    plan = build_requires.isolated_plan(settings, facts)
    found, files = (
        build_requires.isolated_requirements(project_folder(options, read_settings(options)), plan),
        build_requires.isolated_files(plan),
    )
    if options.json:
        print_json({"schema": 1, "requires": found, "files": files})
        return 0
    print("\n".join(found))
    # As comments, so that the output is still a valid requirements file.
    for item in files:
        print(f"# fetch {item['url']}  {item['bytes']} bytes, sha256 {item['sha256']}")
    return 0
