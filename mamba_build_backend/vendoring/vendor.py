"""Put the backend into another project as a copy, bring that up to date, and say how it stands."""

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
    """What was done."""

    project: Path
    upstream: str
    patches: int
    written: tuple[str, ...]
    """The folder, pyproject.toml, both or neither."""
    edit: pyproject_edit.Edit
    notes: tuple[str, ...]


@dataclass(frozen=True)
class State:
    """How the copy in a project stands to the backend that runs."""

    project: Path
    state: str
    """``current``, ``stale``, ``edited``, ``absent`` or ``unrecorded``."""
    version: str
    edited: Mapping[str, str]
    others: tuple[Copy, ...]
    """Copies elsewhere in the project that have another version."""

    @property
    def ok(self) -> bool:
        """Whether there is nothing to mend."""
        return self.state == "current" and not self.others


def vendor(folder: Path, upstream: str | None, *, force: bool = False) -> Vendored:
    """Put a copy into the project and make its pyproject.toml name it; without ``upstream``, for what that names, or self.

    Raises SettingsError where there is no project, or a copy with edits that would be lost, and ToolError where
    pyproject.toml cannot be edited; then nothing was written.
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
            f"this project is a copy of {fork.like}, {fork.differences}: patches and flags are those of that one",
            *notes,
        )
    return Vendored(project, chosen, patches, tuple(written), edit, notes)


def check_copy(folder: Path) -> State:
    """Compare the copy in a project with the backend that runs, and look for further ones. Raises SettingsError."""
    project = _project(folder)
    found = look(project / NAME)
    version = "" if found is None else found.record["version"] if found.record else found.version
    others = [copy for copy in find_copies(project) if copy.folder != project / NAME]
    odd = tuple(copy for copy in others if copy.version != (version or __version__))
    return State(project, decide_state(found), version, found.edited if found else {}, odd)


def decide_state(found: Copy | None) -> str:
    """One word for a copy; see :class:`State`."""
    if found is None:
        return "absent"
    if found.record is None:
        return "current" if is_running(found.folder) else "unrecorded"
    if found.edited:
        return "edited"
    upstream = found.record["upstream"]
    # The same version number says little while it is being worked on: the content decides.
    return "current" if found.record == make_record(upstream, content(upstream)) else "stale"


def is_project(folder: Path) -> bool:
    """Whether something can be built there."""
    return any(is_file(folder / name) for name in ("pyproject.toml", "setup.py"))


def listed(edited: Mapping[str, str]) -> str:
    """Edited files, and how they were."""
    return ", ".join(f"{name} ({how})" for name, how in edited.items())


def _project(folder: Path) -> Path:
    # A plain path, since it is compared and shown: what is typed is often "." or "..".
    project = Path(os.path.abspath(expanded(folder)))
    if not is_project(project):
        raise SettingsError(
            f"{project} has neither pyproject.toml nor setup.py",
            "the folder of a project is needed",
            command(Path("/path/of/a/project")),
        )
    return project


def _fork(project: Path) -> Fork | None:
    """The release that the project is a changed copy of; None for a release itself, and for what is like none."""
    if not is_file(project / "setup.py"):
        return None
    tree, tables = probe_tree(project), load_tables()
    released = any(tree.sha256 in row.tree_sha256 for row in tables.versions)
    return None if released else fork_of(tree, tables)


def _check_not_running(place: Path) -> None:
    if is_running(place):
        raise SettingsError(
            f"{place} is the backend that runs",
            "it is copied into other projects, and brought up to date from another checkout",
            (
                command(Path("/path/of/another/project")),
                f"cd /a/checkout/of/mamba-ssm-portable && {command(place.parent)}",
            ),
        )


def _upstream(wanted: str | None, data: Mapping[str, Any], path: Path) -> str:
    """What was asked for, what the project says, or the project itself."""
    chosen = wanted or data.get("tool", {}).get(TABLE, {}).get("upstream") or SELF
    known = (SELF, *(project.name for project in load_tables().projects))
    if chosen not in known:
        raise SettingsError(
            f"upstream = {chosen!r} in {path} is not known",
            f"it is one of {', '.join(known)}",
            f"{command(path.parent)} --upstream {SELF}",
        )
    return str(chosen)


def _check_replaceable(found: Copy) -> None:
    if found.record is None:
        found_edits = f"{found.folder} is there and has no {RECORD}, so whether it was edited is not known"
    elif found.edited:
        found_edits = f"{found.folder} was edited since it was vendored: {listed(found.edited)}"
    else:
        return
    raise SettingsError(
        found_edits,
        "what somebody may have written there is not replaced unasked",
        f"{command(found.folder.parent)} --force   (what was changed there is lost)",
    )


def _notes(project: Path, upstream: str, *, created: bool, own_tree: bool) -> tuple[str, ...]:
    notes = []
    if created:
        notes.append("what setup.py imports beside torch and setuptools, such as numpy, belongs into requires")
    if upstream == SELF and not is_file(project / "setup.py"):
        notes.append("there is no setup.py here, and the backend builds projects that have one")
    if upstream != SELF and not own_tree and is_file(project / "setup.py"):
        notes.append(
            f"upstream = {upstream} builds its released source, not what lies here; for that: "
            f'source = "." and allow-unverified = true under [tool.{TABLE}]'
        )
    return tuple(notes)


_ROOM = "make the folder writable, with a few MB of room"


def _put(place: Path, files: Mapping[str, bytes]) -> None:
    """Written beside its place and renamed into it: what is there is the old copy or the new one, and never half of one."""
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
    real = resolved(path)  # what a link points to is rewritten, and the link stays
    with disk_errors(real.parent, _ROOM):
        write_whole(real, text.encode())
