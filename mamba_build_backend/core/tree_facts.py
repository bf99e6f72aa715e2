"""The facts about a source tree."""

from __future__ import annotations

from dataclasses import dataclass

from .typed import Word


class Fit(Word):
    """How a patch fits into a tree that somebody may have changed."""

    FITS = "fits"
    DONE = "done"
    """The tree already contains the patch's result, or none of the lines that the patch changes."""
    ABSENT = "absent"
    """The tree has none of the patch's files."""
    MISFIT = "misfit"


@dataclass(frozen=True)
class PatchFit:
    """How one patch fits into a tree."""

    file: str
    fit: Fit
    place: str = ""
    """Where the patch does not fit: hunk, line and file."""


@dataclass(frozen=True)
class Fault:
    """A damaged or missing file of a tree."""

    file: str
    why: str


@dataclass(frozen=True)
class Owner:
    """An installed distribution that contains a module of this name."""

    module: str
    name: str
    version: str


@dataclass(frozen=True)
class Tree:
    """A folder with a setup.py, which is read and not run."""

    path: str
    sha256: str = ""
    """Hash of the names and contents of all its files; empty if one cannot be read."""
    name: str = ""
    """Name and ``version`` as the tree's files state them; empty if they are computed."""
    version: str = ""
    packages: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    """The modules that setup.py compiles, as far as it names them."""
    files: tuple[tuple[str, str], ...] = ()
    """Its sources, each with the first digits of git's hash of its content (with Unix line ends)."""
    fits: tuple[PatchFit, ...] = ()
    """For each patch that is for the most similar release and for a file of the tree."""
    faults: tuple[Fault, ...] = ()
    headers: tuple[str, ...] = ()
    """The headers of torch and pybind11 that its C++ and CUDA files include."""
    names: tuple[str, ...] = ()
    """The torch names that they use, and the methods that C++ files call."""
    imports: tuple[str, ...] = ()
    """The modules of known projects that its packages import unconditionally."""
    build_imports: tuple[str, ...] = ()
    """The modules that its setup.py imports unconditionally."""
    owners: tuple[Owner, ...] = ()
    """Next to the torches that were found."""
    is_archive: bool = False
    """Whether ``path`` is an archive that contains the tree."""
    below: tuple[str, ...] = ()
    """Folders with a setup.py, of an archive that has none at its top."""
    has_setup: bool = True
    """Whether there is a setup.py."""
