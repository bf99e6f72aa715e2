"""Shared by all commands: common options, settings from ``-C``, the project's folder, JSON on stdout."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.archives import is_archive
from ..core.errors import SettingsError
from ..core.own_copy import check_carries
from ..core.paths import exists, expanded, is_dir, is_file, matching, why_no_path
from ..core.process import quoted
from ..core.projects import default_project, project_names
from ..core.settings import PATHS
from .at_hand import NO_PROJECT, at_hand

if TYPE_CHECKING:
    from ..core.commands import Here
    from ..core.facts import Facts, Shell
    from ..core.settings import Settings
    from ..plan import BuildPlan

Commands = Any
"""The result type of ``ArgumentParser.add_subparsers``, which is private in argparse."""


def path(text: str) -> Path:
    """An argparse type for a file or folder. Raises ArgumentTypeError for text that cannot be a path."""
    if why := why_no_path(text):
        raise argparse.ArgumentTypeError(f"{text[:80] + '…' if len(text) > 80 else text!r}: {why}")
    return expanded(text)


def add_common(parser: argparse.ArgumentParser) -> None:
    """The options of every command that makes a plan."""
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
        type=path,
        default=None,
        metavar="DIR",
        help="the project to build (default: the one that contains the backend; for an installed backend, the current folder)",
    )
    parser.add_argument(
        "--allow-unverified",
        action="store_true",
        help="accept a source that differs from upstream's releases, such as a fork (-C allow-unverified=true)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def read_settings(options: argparse.Namespace) -> dict[str, str]:
    """The settings of ``-C``, with absolute paths, as hooks run in the project's folder. Raises SettingsError."""
    out: dict[str, str] = {}
    for item in options.config_setting:
        key, equals, value = item.partition("=")
        if not equals:
            raise SettingsError(f"-C {item!r} has no value", "the form is KEY=VALUE", f"-C {key}=…")
        out[key] = os.path.abspath(os.path.expanduser(value)) if _is_path(key, value) else value
    if options.allow_unverified:
        out["allow-unverified"] = "true"
    if getattr(options, "tree", None) is not None:
        out.update(tree_settings(options.tree, out))
    return out


def _is_path(key: str, value: str) -> bool:
    named = key == "source" and value not in ("", "auto", "index", "git")
    return key in PATHS and "://" not in value and (named or os.sep in value)


def is_path(target: str) -> bool:
    """Whether a build target is a path and not a project's name; ``./NAME`` is always a path."""
    return target in (".", "..") or os.sep in target or (is_dir(target) and target not in project_names())


def tree_settings(target: str, settings: Mapping[str, str]) -> dict[str, str]:
    """The settings that build a source tree; naming it is the consent to build it. Raises SettingsError."""
    if why := why_no_path(target):
        raise SettingsError(f"{target[:80]!r} is not a path: {why}", "the folder of a source tree is needed")
    folder = Path(os.path.abspath(expanded(target)))
    if not is_file(folder / "setup.py") and not is_archive(folder):
        inside = [item for item in matching(folder, "*/setup.py") + matching(folder, "*/*/setup.py") if is_file(item)]
        what = (
            "does not exist"
            if not exists(folder)
            else "has no setup.py"
            if is_dir(folder)
            else "is neither a folder nor an archive"
        )
        ways = [f"python -m mamba_build_backend build {quoted([item.parent])}" for item in inside[:5]]
        raise SettingsError(
            f"{folder} {what}",
            "the folder of a source tree (the one with setup.py) or an archive of it is needed",
            tuple(ways),
        )
    if twice := [key for key in ("source", "upstream-version") if key in settings]:
        raise SettingsError(
            f"{target!r} conflicts with -C {twice[0]}",
            "a source tree sets its own project and version",
            f"python -m mamba_build_backend build {quoted([target])}",
        )
    return {"source": str(folder)}


def project_folder(options: argparse.Namespace, settings: Mapping[str, str]) -> Path:
    """The folder of the project to build. Raises SettingsError for a folder without pyproject.toml."""
    project = at_hand(options.project, settings)
    if project != NO_PROJECT and not is_file(project / "pyproject.toml"):
        raise SettingsError(f"{project} has no pyproject.toml", "a project's folder is needed", "--project DIR")
    return project


def here(project: Path | None = None, settings: Mapping[str, str] | None = None, shell: Shell | None = None) -> Here:
    """The user's situation, so that shown commands work when they are pasted."""
    from ..core.commands import Here, at_home
    from ..core.own_copy import CHECKOUT as ELSEWHERE
    from ..core.own_copy import PACKAGE, read_record
    from ..probe.shell import probe_shell

    copied = project is None and read_record(PACKAGE) is not None
    try:
        place = at_hand(project)
    except SettingsError:
        place = NO_PROJECT  # a broken pyproject.toml must not keep a command from showing its answer
    folder = ELSEWHERE if copied else str(place)
    given = tuple(f"{key}={value}" for key, value in (settings or {}).items())
    known = shell or probe_shell(os.environ)
    known = replace(known, python=at_home(known.python, os.environ.get("HOME", "")))
    if place == NO_PROJECT:
        return Here(known, f"{default_project()}-portable", given, installed=True)
    return Here(known, at_home(folder, os.environ.get("HOME", "")), given)


def plan_for(options: argparse.Namespace) -> tuple[Settings, Facts, BuildPlan]:
    """The plan for this machine, or for the one in a file."""
    from ..job import make_job
    from ..plan import decide
    from ..probe import for_machine, recording, with_source
    from ..tables import load_tables

    if options.facts:
        settings, facts = recording.load(options.facts, read_settings(options))
        facts = with_source(facts, settings) if getattr(options, "tree", None) is not None else facts
        facts = for_machine(facts, settings.machine)
        check_carries(settings.upstream)
        return settings, facts, decide(settings, facts, load_tables())
    given = read_settings(options)
    job = make_job(project_folder(options, given), given, os.environ)
    return job.settings, job.facts, job.plan


def print_json(data: Any) -> None:
    """Print a value as JSON to stdout."""
    json.dump(data, sys.stdout, indent=1, ensure_ascii=False)
    print()
