"""A changed tree: its most similar release, and the differences."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.tree_facts import Owner, PatchFit

PYTHON = (".py",)
CUDA = (".cu", ".cuh")
CXX = (".cpp", ".cc", ".cxx", ".c", ".h", ".hpp")
SOURCES = (*PYTHON, *CUDA, *CXX)
"""Suffixes of source files."""


@dataclass(frozen=True)
class Fork:
    """A changed tree, and its most similar release."""

    project: str
    release: str
    """The version of that release."""
    same: tuple[str, ...] = ()
    """Paths in the tree, like all fields except ``missing``."""
    changed: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    released: tuple[str, ...] = ()
    """Files with the content of any release of the project."""
    path: str = ""
    sha256: str = ""
    fits: tuple[PatchFit, ...] = ()
    is_whole: bool = True
    """Whether it is a copy of the whole project under its name, not only of its kernels."""
    build_imports: tuple[str, ...] = ()
    """Modules that its setup.py imports."""
    owners: tuple[Owner, ...] = ()
    """Installed distributions that contain its modules."""
    beyond: tuple[str, ...] = ()
    """Names of torch that its sources use and the stable headers lack."""

    @property
    def like(self) -> str:
        """Name and version of the release."""
        return f"{self.project} {self.release}"

    @property
    def differences(self) -> str:
        """The differences in a few words."""
        kinds = (("Python", PYTHON), ("CUDA", CUDA), ("C++", CXX))
        counts = {kind: sum(name.endswith(ends) for name in self.changed) for kind, ends in kinds}
        parts = [_files(counts[kind], kind) for kind, _ in kinds if counts[kind] or kind != "C++"]
        parts += [f"{_files(len(self.new), 'new')}"] if self.new else []
        parts += [f"{len(self.missing)} of the release's missing"] if self.missing and self.is_whole else []
        return "changed: " + ", ".join(parts)

    def is_released(self, *paths: str) -> bool:
        """Whether each of these files has the content of a release."""
        return all(path in self.released for path in paths)

    def with_folder_of(self, path: str) -> tuple[str, ...]:
        """Return the headers that a file can include by relative path: those in its folder and below."""
        folder = path.rpartition("/")[0]
        every = (*self.same, *self.changed, *self.new)
        return tuple(name for name in every if name.startswith(f"{folder}/") and name.endswith((".cuh", ".h", ".hpp")))


def _files(count: int, kind: str) -> str:
    return f"{count or 'no'} {kind} file{'' if count == 1 or not count else 's'}"
