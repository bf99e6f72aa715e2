"""What was found of a tree of sources: a part of the facts."""

from __future__ import annotations

from dataclasses import dataclass

from .typed import Word


class Fit(Word):
    """How a patch fits into a tree that may have been changed."""

    FITS = "fits"
    DONE = "done"
    """The tree has what it makes, or nothing of the lines that it changes."""
    ABSENT = "absent"
    """The tree has none of its files."""
    MISFIT = "misfit"


@dataclass(frozen=True)
class PatchFit:
    """How one patch of the series fits into a tree."""

    file: str
    fit: Fit
    place: str = ""
    """Where it does not: hunk, line and file."""


@dataclass(frozen=True)
class Fault:
    """A file of a tree that cannot be right."""

    file: str
    why: str


@dataclass(frozen=True)
class Owner:
    """An installed distribution that holds a module of this name."""

    module: str
    name: str
    version: str


@dataclass(frozen=True)
class Tree:
    """A folder with a setup.py, read and not run."""

    path: str
    sha256: str = ""
    """Of the names and contents of all its files; empty where one cannot be read."""
    name: str = ""
    """With ``version``: as its own files say; empty where they only compute it."""
    version: str = ""
    packages: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    """The modules that its setup.py compiles, as far as it names them."""
    files: tuple[tuple[str, str], ...] = ()
    """Its sources, each with the first digits of git's hash of its content (lines that end as on Unix)."""
    fits: tuple[PatchFit, ...] = ()
    """For each patch of the series that is for the release that the tree is most like, and for some file of it."""
    faults: tuple[Fault, ...] = ()
    headers: tuple[str, ...] = ()
    """What its C++ and CUDA files include of torch and pybind11."""
    names: tuple[str, ...] = ()
    """The names of torch that they use, and in C++ files the methods that are called."""
    imports: tuple[str, ...] = ()
    """What its packages import whenever they are imported, beside themselves."""
    build_imports: tuple[str, ...] = ()
    """The same of its setup.py."""
    owners: tuple[Owner, ...] = ()
    """Beside the torches that were found."""
    is_archive: bool = False
    """Whether ``path`` is an archive that holds it."""
    below: tuple[str, ...] = ()
    """Of an archive without a setup.py: its folders that have one."""
    has_setup: bool = True
    """Whether there is a setup.py."""
