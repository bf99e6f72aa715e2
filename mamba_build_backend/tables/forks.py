"""A changed tree, as the tables know one: the release that it is most like, and what of it differs."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.tree_facts import Owner, PatchFit

PYTHON = (".py",)
CUDA = (".cu", ".cuh")
CXX = (".cpp", ".cc", ".cxx", ".c", ".h", ".hpp")
SOURCES = (*PYTHON, *CUDA, *CXX)
"""How the names of source files end."""


@dataclass(frozen=True)
class Fork:
    """A tree that somebody changed, and the release that it is most like."""

    project: str
    release: str
    """Its version."""
    same: tuple[str, ...] = ()
    """Paths in the tree, as all here but ``missing``."""
    changed: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    released: tuple[str, ...] = ()
    """Those that some release of the project has, whichever it is."""
    path: str = ""
    sha256: str = ""
    fits: tuple[PatchFit, ...] = ()
    is_whole: bool = True
    """Whether it is a copy of the project, under its name; if not, of its kernels alone."""
    build_imports: tuple[str, ...] = ()
    """What its setup.py imports."""
    owners: tuple[Owner, ...] = ()
    """Installed distributions that hold its modules."""
    beyond: tuple[str, ...] = ()
    """What its sources use of torch beyond the stable headers."""

    @property
    def like(self) -> str:
        """The release, as one says it."""
        return f"{self.project} {self.release}"

    @property
    def differences(self) -> str:
        """How it differs, in a few words."""
        kinds = (("Python", PYTHON), ("CUDA", CUDA), ("C++", CXX))
        counts = {kind: sum(name.endswith(ends) for name in self.changed) for kind, ends in kinds}
        parts = [_files(counts[kind], kind) for kind, _ in kinds if counts[kind] or kind != "C++"]
        parts += [f"{_files(len(self.new), 'new')}"] if self.new else []
        parts += [f"{len(self.missing)} of the release's missing"] if self.missing and self.is_whole else []
        return "changed: " + ", ".join(parts)

    def is_released(self, *paths: str) -> bool:
        """Whether each of these files is as some release has it."""
        return all(path in self.released for path in paths)

    def with_folder_of(self, path: str) -> tuple[str, ...]:
        """The headers that a file can take in without a path: those of its folder and below."""
        folder = path.rpartition("/")[0]
        every = (*self.same, *self.changed, *self.new)
        return tuple(name for name in every if name.startswith(f"{folder}/") and name.endswith((".cuh", ".h", ".hpp")))


def _files(count: int, kind: str) -> str:
    return f"{count or 'no'} {kind} file{'' if count == 1 or not count else 's'}"
