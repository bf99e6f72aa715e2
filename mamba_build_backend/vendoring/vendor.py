"""Copy the backend into another project, update the copy, and report its state."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._version import __version__
from ..core import pyproject
from ..core.errors import SettingsError
from ..core.files import write_whole
from ..core.own_copy import NAME, RECORD, command, is_running
from ..core.paths import expanded, is_file, resolved
from ..core.projects import SELF
from ..core.settings import TABLE
from ..core.storage import disk_errors
from ..plan.fork import fork_of
from ..probe.tree import probe_tree
from ..tables import Fork, load_tables
from . import pyproject_edit
from .manifest import Copy, content, find_copies, look, make_record


@dataclass(frozen=True)
class Vendored:
    """Result of ``vendor``."""

    project: Path
    upstream: str
    patches: int
    written: tuple[str, ...]
    """The names written: the folder, pyproject.toml, both or neither."""
    edit: pyproject_edit.Edit
    notes: tuple[str, ...]


@dataclass(frozen=True)
class State:
    """The copy in a project, compared with the running backend."""

    project: Path
    state: str
    """``current``, ``stale``, ``edited``, ``absent`` or ``unrecorded``."""
    version: str
    edited: Mapping[str, str]
    others: tuple[Copy, ...]
    """Other copies in the project with a different version."""

    @property
    def ok(self) -> bool:
        """Whether there is nothing to fix."""
        return self.state == "current" and not self.others


def vendor(folder: Path, upstream: str | None, *, force: bool = False) -> Vendored:
    """Put a copy into the project and name it in pyproject.toml. ``upstream`` defaults to pyproject.toml's, or ``self``.

    Raises SettingsError if there is no project, or if edits of a copy would be lost, and ToolError if pyproject.toml
    cannot be edited; in these cases nothing is written.
    """
    project = _project(folder)
    place, path = project / NAME, project / "pyproject.toml"
    _check_not_running(place)
    text, data = pyproject.read(path)
    given = data.get("tool", {}).get(TABLE, {})
    fork = _fork(project) if upstream is None and given.get("upstream") in (None, SELF) else None
    chosen = fork.project if fork else _upstream(upstream, data, path)
    files = content(chosen)
    record = make_record(chosen, files)
    found = look(place)
    if found is not None and not force:
        _check_replaceable(found)
    edit = pyproject_edit.decide_edit(data, chosen, own_tree=fork is not None)
    rendered = pyproject_edit.render(path, text, data, edit)
    written = []
    if found is None or found.edited or found.record != record:
        _put(place, {**files, RECORD: (json.dumps(record, indent=1) + "\n").encode()})
        written.append(NAME)
    if rendered != text:
        _write(path, rendered)
        written.append(path.name)
    patches = sum(name.endswith(".patch") for name in files)
    own_tree = fork is not None or given.get("source") == "."
    notes = _notes(project, chosen, created=not text, own_tree=own_tree)
    if fork:
        notes = (
            f"this project is a copy of {fork.like}, {fork.differences}: its builds use the patches and flags of {fork.like}",
            *notes,
        )
    return Vendored(project, chosen, patches, tuple(written), edit, notes)


def check_copy(folder: Path) -> State:
    """Compare the copy in a project with the running backend, and search for further copies. Raises SettingsError."""
    project = _project(folder)
    found = look(project / NAME)
    version = "" if found is None else found.record["version"] if found.record else found.version
    others = [copy for copy in find_copies(project) if copy.folder != project / NAME]
    odd = tuple(copy for copy in others if copy.version != (version or __version__))
    return State(project, decide_state(found), version, found.edited if found else {}, odd)


def decide_state(found: Copy | None) -> str:
    """Return the state of a copy, see :class:`State`."""
    if found is None:
        return "absent"
    if found.record is None:
        return "current" if is_running(found.folder) else "unrecorded"
    if found.edited:
        return "edited"
    upstream = found.record["upstream"]
    # During development the content changes and the version does not: compare the content.
    return "current" if found.record == make_record(upstream, content(upstream)) else "stale"


def is_project(folder: Path) -> bool:
    """Whether the folder contains a Python project."""
    return any(is_file(folder / name) for name in ("pyproject.toml", "setup.py"))


def listed(edited: Mapping[str, str]) -> str:
    """List edited files, and how each was edited."""
    return ", ".join(f"{name} ({how})" for name, how in edited.items())


def _project(folder: Path) -> Path:
    # Make "." and ".." absolute, since the path is compared and shown.
    project = Path(os.path.abspath(expanded(folder)))
    if not is_project(project):
        raise SettingsError(
            f"{project} has neither pyproject.toml nor setup.py",
            "the folder of a project is needed",
            command(Path("/path/of/a/project")),
        )
    return project


def _fork(project: Path) -> Fork | None:
    """Return the release that the project is a changed copy of; None for a release itself, or a project like none."""
    if not is_file(project / "setup.py"):
        return None
    tree, tables = probe_tree(project), load_tables()
    released = any(tree.sha256 in row.tree_sha256 for row in tables.versions)
    return None if released else fork_of(tree, tables)


def _check_not_running(place: Path) -> None:
    if is_running(place):
        raise SettingsError(
            f"{place} is the running backend itself",
            "it can be copied into other projects, or updated from another checkout",
            (
                command(Path("/path/of/another/project")),
                f"cd /a/checkout/of/mamba-ssm-portable && {command(place.parent)}",
            ),
        )


def _upstream(wanted: str | None, data: Mapping[str, Any], path: Path) -> str:
    """Return the wanted upstream, or the one in pyproject.toml, or ``self``. Raises SettingsError."""
    chosen = wanted or data.get("tool", {}).get(TABLE, {}).get("upstream") or SELF
    known = (SELF, *(project.name for project in load_tables().projects))
    if chosen not in known:
        raise SettingsError(
            f"upstream = {chosen!r} in {path} is not known",
            f"known are {', '.join(known)}",
            f"{command(path.parent)} --upstream {SELF}",
        )
    return str(chosen)


def _check_replaceable(found: Copy) -> None:
    if found.record is None:
        found_edits = f"{found.folder} exists without {RECORD}, so it may contain local changes"
    elif found.edited:
        found_edits = f"{found.folder} was edited since it was vendored: {listed(found.edited)}"
    else:
        return
    raise SettingsError(
        found_edits,
        "local changes are not overwritten without --force",
        f"{command(found.folder.parent)} --force   (discards the local changes)",
    )


def _notes(project: Path, upstream: str, *, created: bool, own_tree: bool) -> tuple[str, ...]:
    notes = []
    if created:
        notes.append("if setup.py imports more than torch and setuptools, such as numpy, add it to requires")
    if upstream == SELF and not is_file(project / "setup.py"):
        notes.append("this project has no setup.py; the backend builds only projects that have one")
    if upstream != SELF and not own_tree and is_file(project / "setup.py"):
        notes.append(
            f"upstream = {upstream} builds upstream's released source, not the source in this folder; to build this folder: "
            f'source = "." and allow-unverified = true under [tool.{TABLE}]'
        )
    return tuple(notes)


_ROOM = "make the folder writable, with a few MB of room"


def _put(place: Path, files: Mapping[str, bytes]) -> None:
    """Write the copy next to its place and rename it, so that the place has the old or the new copy, never a mixture."""
    with disk_errors(place.parent, _ROOM):
        room = Path(tempfile.mkdtemp(prefix=f".{NAME}.", dir=place.parent))
        draft, old = room / "new", room / "old"
        try:
            for name, data in files.items():
                path = draft / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            try:
                if os.path.lexists(place):
                    place.rename(old)
                draft.rename(place)
            except BaseException:
                if os.path.lexists(old) and not os.path.lexists(place):
                    old.rename(place)
                raise
        finally:
            shutil.rmtree(room, ignore_errors=True)


def _write(path: Path, text: str) -> None:
    real = resolved(path)  # rewrite the target of a link, and keep the link
    with disk_errors(real.parent, _ROOM):
        write_whole(real, text.encode())
