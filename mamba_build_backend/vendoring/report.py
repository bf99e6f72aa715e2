"""Format the result of ``vendor`` and the state of a copy, as text and as JSON."""

from __future__ import annotations

from typing import Any

from .._version import __version__
from ..core.errors import ways
from ..core.own_copy import NAME, PACKAGE, RECORD, SCHEMA, command
from ..core.process import quoted
from .vendor import State, Vendored, is_project, listed


def vendored_text(done: Vendored) -> str:
    """Return what was done, and the next commands."""
    number = "1 patch" if done.patches == 1 else f"{done.patches or 'no'} patches"
    what = f"{done.project / NAME}: {__version__} for upstream = {done.upstream}, with {number}"
    if not done.written:
        return f"up to date: {what}\n"
    lines = [f"{'wrote' if NAME in done.written else 'kept '} {what}"]
    if "pyproject.toml" in done.written:
        lines += [f"wrote {done.project / 'pyproject.toml'}:", *(f"  {change}" for change in done.edit.changes)]
    lines += [f"note: {note}" for note in (*done.edit.notes, *done.notes)]
    lines += [
        f"next, in {quoted([done.project])}:",
        f"  git add {NAME} pyproject.toml",
        f"  python -m {NAME} doctor",
        "  python -m pip install .",
    ]
    return "\n".join(lines) + "\n"


def vendored_json(done: Vendored) -> dict[str, Any]:
    """Return the same as JSON data."""
    return {
        "schema": SCHEMA,
        "ok": True,
        "state": "current",
        "version": __version__,
        "upstream": done.upstream,
        "patches": done.patches,
        "written": list(done.written),
        "notes": [*done.edit.notes, *done.notes],
    }


def state_text(found: State) -> str:
    """Return the state, and the command that fixes it."""
    lines = [_said(found)]
    if found.state != "current":
        forced = " --force   (discards the local changes)" if found.state in ("edited", "unrecorded") else ""
        lines += ways((command(found.project) + forced,))
    if found.others:
        first = f"{found.project / NAME if found.version else PACKAGE} is {found.version or __version__}"
        rest = ", ".join(f"{copy.folder} is {copy.title}" for copy in found.others)
        lines += [f"this tree has copies of different versions: {first}, {rest}", *ways(_fixes(found))]
    return "\n".join(lines) + "\n"


def _said(found: State) -> str:
    place = found.project / NAME
    if found.state == "current":
        return f"up to date: {place} is {found.version}"
    if found.state == "absent":
        return f"absent: {found.project} has no {NAME}; this backend is {__version__}"
    here = f"{found.state}: {place} is {found.version or 'of unknown version'}"
    ours = f"{here}, this backend is {__version__}"
    if found.state == "unrecorded":
        return f"{ours}; the copy has no {RECORD}, so it may contain local changes"
    if found.state == "edited":
        return f"{ours}; local changes: {listed(found.edited)}"
    if found.version == __version__:
        return f"{here}: same version as this backend, but the contents differ"
    return ours


def _fixes(found: State) -> tuple[str, ...]:
    """Return commands that update all copies to the running version, or delete the additional copies."""
    old = [copy.folder.parent for copy in found.others if copy.version != __version__]
    if found.version not in ("", __version__):
        old.insert(0, found.project)
    bring = " && ".join(command(project) for project in old if is_project(project))
    drop = f"rm -r {quoted([copy.folder for copy in found.others])}   (if no build uses it)"
    return (bring, drop) if bring else (drop,)


def state_json(found: State) -> dict[str, Any]:
    """Return the same as JSON data."""
    return {
        "schema": SCHEMA,
        "ok": found.ok,
        "state": found.state,
        "version": found.version or None,
        "ours": __version__,
        "edited": list(found.edited),
        "others": [{"folder": str(copy.folder), "version": copy.version} for copy in found.others],
    }
