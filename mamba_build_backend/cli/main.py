"""The command line: arguments in, one call, output. No logic."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._version import __version__
from ..core.errors import AuditError, PlanError, SettingsError, SourceError
from ..core.process import say
from ..core.settings import PATHS
from ..core.storage import disk_errors

if TYPE_CHECKING:
    from ..core.facts import Facts
    from ..core.settings import Settings
    from ..plan import BuildPlan


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    options = _parser().parse_args(argv)
    status: int = options.run(options)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mamba_build_backend",
        description="Build portable wheels of mamba-ssm. Exit codes: 0 fine, 1 unknown to explain or not up to date for vendor --check, 2 settings, 3 plan, 4 source, 5 build, 6 audit, 7 disk, 8 a tool, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    doctor = commands.add_parser(
        "doctor", help="what was found on this machine, what would be built, and why; compiles nothing"
    )
    _common(doctor)
    doctor.add_argument("-v", "--verbose", action="store_true", help="also what was rejected, and why")
    doctor.add_argument("--facts", type=Path, metavar="FILE", help="plan for the machine in FILE instead of this one")
    doctor.add_argument(
        "--save", type=Path, metavar="FILE", help="write this machine to FILE, without user name, host name and secrets"
    )
    doctor.add_argument("--schema", action="store_true", help="print the JSON Schema of --json, and nothing else")
    doctor.set_defaults(run=_doctor)

    patches = commands.add_parser(
        "patches", help="which patches a build here would apply to upstream's source, which not, and why"
    )
    patches.add_argument(
        "action",
        nargs="?",
        choices=["list", "check"],
        default="list",
        help="check: try every patch on every source version that it is for (-C source=MIRROR takes them from a git mirror)",
    )
    _common(patches)
    patches.add_argument("--facts", type=Path, metavar="FILE", help="list for the machine in FILE instead of this one")
    patches.set_defaults(run=_patches)

    build = commands.add_parser(
        "build", help="build wheels, in isolation, for the torch of this environment: mamba-ssm, causal-conv1d or both"
    )
    build.add_argument(
        "targets",
        nargs="*",
        metavar="PROJECT[==VERSION]",
        help="mamba-ssm, causal-conv1d, or both from one plan; without a version, the newest known good one, and of "
        "causal-conv1d the one that goes with the mamba-ssm beside it (default: the setting upstream)",
    )
    _common(build)
    build.add_argument("-w", "--wheel-dir", default="dist", metavar="DIR", help="where the wheel goes (default: dist)")
    build.add_argument(
        "--no-isolation", action="store_true", help="use this environment's build tools instead of fetching them"
    )
    build.set_defaults(run=_build)

    needs = commands.add_parser(
        "requires",
        help="what an isolated build here would install, a requirement a line: for a wheelhouse, or --no-build-isolation",
    )
    _common(needs)
    needs.add_argument("--facts", type=Path, metavar="FILE", help="for the machine in FILE instead of this one")
    needs.set_defaults(run=_requires)

    audit = commands.add_parser(
        "audit", help="what a finished wheel needs and holds, and whether it keeps its promises"
    )
    audit.add_argument("wheel", type=Path, metavar="WHEEL")
    audit.add_argument(
        "--torch",
        type=Path,
        action="append",
        default=[],
        metavar="SITE_PACKAGES",
        help="a torch to look symbols up in; more than once for several (default: this environment's)",
    )
    audit.add_argument(
        "--require",
        metavar="WHAT",
        help="fail where the wheel needs more, or holds less: glibc=2.17,glibcxx=3.4.19,arch=8.0,arch=PTX",
    )
    audit.add_argument("--json", action="store_true", help="print JSON")
    audit.set_defaults(run=_audit)
    explain = commands.add_parser(
        "explain", help="what an error message or a build log means, and what to type; exit code 1 for an unknown one"
    )
    explain.add_argument("text", nargs="*", metavar="FILE|TEXT", help="a log file, or the message (default: stdin)")
    explain.add_argument("-a", "--all", action="store_true", help="all that was recognised, not the most telling alone")
    explain.add_argument("--json", action="store_true", help="print JSON")
    explain.set_defaults(run=_explain)

    _add_vendor(commands)
    _many(commands)
    return parser


def _add_vendor(commands: Any) -> None:
    vendor = commands.add_parser(
        "vendor", help="copy the backend into another project and make its pyproject.toml name it, or check such a copy"
    )
    vendor.add_argument("dest", type=Path, metavar="DEST", help="the project's folder")
    vendor.add_argument(
        "--upstream",
        choices=["self", "causal-conv1d", "mamba-ssm"],
        help="what the project builds (default: what its pyproject.toml says, else self)",
    )
    how = vendor.add_mutually_exclusive_group()
    how.add_argument("--force", action="store_true", help="replace a copy that was edited")
    how.add_argument("--check", action="store_true", help="change nothing; exit code 1 if the copy is not up to date")
    vendor.add_argument("--json", action="store_true", help="print JSON")
    vendor.set_defaults(run=_vendor)


def _many(commands: Any) -> None:
    """The commands for many wheels."""
    matrix = commands.add_parser(
        "matrix", help="the wheels that a matrix file lists: what each would be, or why it cannot be built"
    )
    matrix.add_argument(
        "file",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="default: ./matrix.toml, else the checkout's manylinux/matrix.toml",
    )
    matrix.add_argument("--facts", type=Path, metavar="FILE", help="plan for the machine in FILE instead of this one")
    matrix.add_argument("-v", "--verbose", action="store_true", help="also all notes, settings, and what to type")
    shown = matrix.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print JSON")
    shown.add_argument(
        "--github",
        action="store_true",
        help="print one line for a GitHub workflow's strategy.matrix: what can be built",
    )
    matrix.set_defaults(run=_matrix)

    index = commands.add_parser("index", help="write DIR/simple, a package index of finished wheels for any web server")
    index.add_argument("folder", type=Path, metavar="DIR")
    index.add_argument(
        "-w", "--wheel-dir", type=Path, metavar="DIR", help="where in DIR they lie (default: DIR itself)"
    )
    index.add_argument("--json", action="store_true", help="print JSON")
    index.set_defaults(run=_index)


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-C",
        "--config-setting",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting, as for pip; may be repeated",
    )
    parser.add_argument(
        "--project",
        type=Path,
        default=None,
        metavar="DIR",
        help="the project to build (default: the one that holds the backend)",
    )
    parser.add_argument(
        "--allow-unverified",
        action="store_true",
        help="take a source that is not as upstream released it (-C allow-unverified=true)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _settings(options: argparse.Namespace) -> dict[str, str]:
    out: dict[str, str] = {}
    for item in options.config_setting:
        key, equals, value = item.partition("=")
        if not equals:
            raise SettingsError(f"-C {item!r} has no value", "it is written KEY=VALUE", f"-C {key}=…")
        out[key] = os.path.abspath(os.path.expanduser(value)) if key in PATHS and os.sep in value else value
    if options.allow_unverified:
        out["allow-unverified"] = "true"
    return out


def _project(options: argparse.Namespace) -> Path:
    project: Path = (options.project or Path(__file__).parent.parent.parent).absolute()
    if not (project / "pyproject.toml").is_file():
        raise SettingsError(f"{project} has no pyproject.toml", "the folder of a project is needed", "--project DIR")
    return project


def _doctor(options: argparse.Namespace) -> int:
    from ..plan import report
    from ..probe import recording
    from . import terminal

    if options.schema:
        print(report.SCHEMA_FILE.read_text(encoding="utf-8"), end="")
        return 0
    settings, facts, plan = _planned(options)
    if options.save:
        with disk_errors(options.save, "--save another/file.json"):
            recording.save(options.save, settings, facts, os.environ)
        say(f"mamba-build-backend: this machine, without names, is in {options.save}")
    if options.json:
        _print_json(report.plan_json(facts, plan))
    else:
        terminal.show_plan(facts, plan, verbose=options.verbose)
    return PlanError.exit_code if plan.problems else 0


def _planned(options: argparse.Namespace) -> tuple[Settings, Facts, BuildPlan]:
    """The plan for this machine, or for the one in a file."""
    from .. import pipeline
    from ..plan import decide
    from ..probe import recording
    from ..tables import load_tables

    if options.facts:
        settings, facts = recording.load(options.facts, _settings(options))
        return settings, facts, decide(settings, facts, load_tables())
    job = pipeline.make_job(_project(options), _settings(options), os.environ)
    return job.settings, job.facts, job.plan


def _requires(options: argparse.Namespace) -> int:
    from .. import pipeline

    settings, facts, _ = _planned(options)
    found = pipeline.build_requirements(_project(options), settings, facts)
    if options.json:
        _print_json({"schema": 1, "requires": found})
    else:
        print("\n".join(found))
    return 0


def _patches(options: argparse.Namespace) -> int:
    from .. import pipeline
    from ..plan import report

    if options.action == "check":
        tried = pipeline.check_patches(pipeline.make_job(_project(options), _settings(options), os.environ))
        failed = [item for item in tried if item["problem"]]
        if options.json:
            _print_json({"schema": report.SCHEMA, "ok": not failed, "tried": tried})
        else:
            for item in tried:
                print(f"{item['file']}  {item['title']}  {item['problem'] or 'fits'}")
            print(f"{len(tried) - len(failed)} of {len(tried)} fit")
        return SourceError.exit_code if failed else 0
    _, _, plan = _planned(options)
    if options.json:
        _print_json(report.patches_json(plan))
    else:
        print(report.patches_text(plan), end="")
    return 0


def _explain(options: argparse.Namespace) -> int:
    from ..compile import known_failures

    diagnosis = known_failures.explain(_given_text(options.text))
    if options.json:
        _print_json(known_failures.diagnosis_json(diagnosis))
    else:
        print(known_failures.diagnosis_text(diagnosis, everything=options.all), end="")
    return 0 if diagnosis.explanations else 1


def _given_text(words: list[str]) -> str:
    """A file's content, the words themselves, or stdin."""
    if not words or words == ["-"]:
        if sys.stdin is not None and sys.stdin.isatty():
            say("mamba-build-backend: paste the message, then Ctrl-D")
        return sys.stdin.buffer.read().decode("utf-8", errors="replace") if sys.stdin is not None else ""
    path = Path(words[0])
    if len(words) == 1 and path.is_file():
        try:
            return path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise SettingsError(
                f"{path} cannot be read: {error.strerror}",
                "a log is needed",
                "python -m mamba_build_backend explain < build.log",
            ) from None
    if len(words) == 1 and not re.search(r"\s", words[0]) and (os.sep in words[0] or path.suffix in (".log", ".txt")):
        raise SettingsError(
            f"there is no file {path}",
            "a log, or the text of a message, is needed",
            "python -m mamba_build_backend explain < build.log",
        )
    return " ".join(words)


def _build(options: argparse.Namespace) -> int:
    from . import drive

    built = drive.build(
        _project(options),
        drive.with_targets(_settings(options), options.targets),
        Path(options.wheel_dir).absolute(),
        os.environ,
        isolated=not options.no_isolation,
    )
    if options.json:
        _print_json(built)
    else:
        for item in built["wheels"]:
            print(item["wheel"])
    return 0


def _audit(options: argparse.Namespace) -> int:
    from ..audit import report as audit_report
    from ..audit.chart import is_drawable
    from . import drive

    result = drive.audit(options.wheel, options.torch, os.environ, require=options.require or "")
    if options.json:
        _print_json(audit_report.audit_json(result))
    else:
        width = shutil.get_terminal_size((audit_report.WIDTH, 0)).columns
        encoding = sys.stdout.encoding or "ascii"
        text = audit_report.audit_text(result, width, ascii_only=not is_drawable(encoding))
        print(text.encode(encoding, "replace").decode(encoding), end="")
    return 6 if result.problems else 0


def _vendor(options: argparse.Namespace) -> int:
    from ..vendoring import report as vendor_report
    from ..vendoring import vendor

    if options.check:
        found = vendor.check_copy(options.dest)
        if options.json:
            _print_json(vendor_report.state_json(found))
        else:
            print(vendor_report.state_text(found), end="")
        return 0 if found.ok else 1
    done = vendor.vendor(options.dest, options.upstream, force=options.force)
    if options.json:
        _print_json(vendor_report.vendored_json(done))
    else:
        print(vendor_report.vendored_text(done), end="")
    return 0


def _matrix(options: argparse.Namespace) -> int:
    from .. import matrix
    from ..matrix.command import list_cells

    planned = list_cells(options.file, options.facts, Path(__file__).parent.parent.parent, os.environ)
    problems = tuple(dict.fromkeys(problem for item in planned for problem in item.problems))
    nothing = all(item.problems for item in planned)
    if options.github:
        if nothing:
            raise PlanError(problems)
        print(json.dumps(matrix.github_json(planned, os.getcwd())))
    elif options.json:
        _print_json(matrix.cells_json(planned))
    else:
        print(matrix.cells_text(planned, verbose=options.verbose), end="")
    return PlanError.exit_code if nothing else 0


def _index(options: argparse.Namespace) -> int:
    from ..matrix import index_writer

    index = index_writer.write_index(options.folder, options.wheel_dir)
    for name, why in index.left_out:
        say(f"mamba-build-backend: left out: {name}: {why}")
    if options.json:
        _print_json(index_writer.index_json(index))
    else:
        print(index.page)
    return AuditError.exit_code if index.left_out else 0


def _print_json(data: Any) -> None:
    json.dump(data, sys.stdout, indent=1, ensure_ascii=False)
    print()
