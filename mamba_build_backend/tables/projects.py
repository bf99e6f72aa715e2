"""Types for the known projects and their versions, ``projects/<name>/``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Optional

from ..core._compat import specifiers, tomllib
from ..core.paths import open_plain
from ..core.projects import SELF, read_projects
from ..core.typed import Word, load_row, sourced
from .forks import Fork
from .rows import KernelGroup, admits, in_order


@dataclass(frozen=True)
class BadArch:
    """An architecture for which nvcc generates wrong code of a project, and the architecture to use instead."""

    SOURCES: ClassVar[tuple[str, ...]] = ("source",)

    arch: str
    cuda: str
    use: str
    why: str


@dataclass(frozen=True)
class ThirdParty:
    """Third-party code that a project's sources include."""

    SOURCES: ClassVar[tuple[str, ...]] = ("source",)

    name: str
    license: str
    """An SPDX expression."""
    what: str
    notice: str = ""
    """The part of the expression whose text must accompany a binary; empty if none.

    The exceptions of GCC and LLVM free compiled code from their conditions.
    """


@dataclass(frozen=True)
class Partner:
    """Another project that this one calls, and that may share its wheel (setting ``with-NAME``)."""

    name: str
    default: str
    """The setting's default, for the table of settings."""
    missing: str
    """What does not work if no version of the partner fits; the end of a sentence."""
    calls: str = ""
    """The end of the path of the file that calls the partner's binding: a changed copy may call it differently."""


@dataclass(frozen=True)
class Project:
    """Facts about a project that do not depend on its version."""

    name: str
    good: tuple[str, ...] = ()
    """Versions that are known to work, newest first."""
    repository: str = ""
    packages: tuple[str, ...] = ()
    """Importable packages; each checks torch before it loads a binary."""
    extensions: tuple[str, ...] = ()
    """The modules that the wheel must contain."""
    environment: tuple[tuple[str, str], ...] = sourced(())
    """Variables for its setup.py, which would otherwise download a wheel, or not compile the CUDA code."""
    license: str = sourced("")
    """An SPDX expression."""
    default: bool = False
    """Whether this project is built by default."""
    extras: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Requirements that only an optional part needs (its imports are guarded), by a name for that part."""
    unneeded: tuple[str, ...] = sourced(())
    """Requirements that upstream lists by mistake."""
    avoid: tuple[BadArch, ...] = ()
    one_pass: tuple[str, ...] = sourced(())
    """Patterns of file names without code for GPUs after Ampere, so that one pass of nvcc's front end is enough."""
    compiled: int = 0
    """The maximum number of files to compile; 0 if unknown."""
    kernel_groups: tuple[KernelGroup, ...] = ()
    """Files with similar kernels, which compress far better together; slowest first."""
    stable: str = sourced("")
    """Specifiers of the versions whose binding compiles with the stable-ABI headers (``mamba_build_backend/stable``)."""
    triton: str = sourced("")
    """The parts that Triton compiles at run time, in words; empty if none."""
    partner: Optional[Partner] = None
    third_party: tuple[ThirdParty, ...] = ()


@dataclass(frozen=True)
class ProjectVersion:
    """One version of a project; ``version`` is empty for ``self``."""

    SOURCES: ClassVar[tuple[str, ...]] = ("source",)

    project: Project
    version: str
    index_file: str = ""
    index_sha256: str = ""
    """Empty if the index's archive has no CUDA sources."""
    git_tag: str = ""
    git_commit: str = ""
    tree_sha256: tuple[str, ...] = ()
    """Hashes of the content of the index's archive and of the tag (archives.tree_sha256)."""
    cuda_min: str = ""
    """The oldest nvcc that its setup.py accepts."""
    transformers: str = ""
    """Specifiers of the transformers that its imports work with; empty if it does not import transformers."""
    torch_min: str = ""
    python_min: str = ""
    """The oldest torch and Python that it really works with, regardless of its metadata."""
    needs_why: str = ""
    partner: str = ""
    """The matching version of the project's partner."""
    partner_fits: str = ""
    """Specifiers of the partner versions whose binding accepts the arguments of this version."""
    partner_required: bool = False
    """Whether it cannot be imported without the partner."""
    fork: Optional[Fork] = None
    """The differences, if it is a changed tree."""

    @property
    def name(self) -> str:
        """The project's name."""
        return self.project.name

    @property
    def is_own(self) -> bool:
        """Whether it is the project that contains the backend, not one of ``projects/``."""
        return self.name == SELF

    @property
    def stable(self) -> bool:
        """Whether its binding compiles with the stable-ABI headers."""
        # A fork has its own version, which may be missing.
        return bool(self.project.stable) and (self.fork is not None or admits(self.project.stable, self.version))

    @property
    def title(self) -> str:
        """Name and version for a sentence."""
        return f"{self.name} {self.version}".rstrip() if self.version or self.fork else "this project"

    @property
    def described(self) -> str:
        """The title, with the differences of a fork."""
        return f"{self.title}, {self.fork.differences}" if self.fork and self.fork.release else self.title

    @property
    def archive_name(self) -> str:
        """The file name of its source archive: the index's, or one in the same form for the tag."""
        return self.index_file or f"{self.name.replace('-', '_')}-{self.version}.tar.gz"

    @property
    def commit_name(self) -> str:
        """The name of a folder with only the commit of its tag."""
        return f"{self.name}-{self.git_commit[:16]}"

    @property
    def mirror_name(self) -> str:
        """The folder that ``git clone --mirror`` makes of its repository."""
        return f"{self.project.repository.rpartition('/')[2]}.git"


class PatchKind(Word):
    """The purpose of a patch."""

    DRIFT = "drift"
    """Needed to compile or import the source after a change of CUDA, torch or Triton."""
    FIX = "fix"
    """Without it, the source computes wrong results. A build may leave it out: ``fixes=false``."""


@dataclass(frozen=True)
class PatchRow:
    """A patch to a project's sources. ``versions``, ``cuda``, ``torch`` and ``cxx`` are specifiers; empty means all."""

    SOURCES: ClassVar[tuple[str, ...]] = ("why", "reported", "until")

    file: str
    upstream: str
    versions: str
    cuda: str = ""
    torch: str = ""
    cxx: str = ""
    """Specifier of the language standard: ``>=20``."""
    why: str = ""
    kind: PatchKind = PatchKind.DRIFT
    shown: str = sourced("")
    """For a fix: the command that shows the fault, and its output before and after."""
    concern: str = ""
    """For a fix: which results change."""
    copies: str = ""
    """Projects with changed copies, if the patch is for no release."""

    @property
    def is_fix(self) -> bool:
        """Whether the patch changes results."""
        return self.kind is PatchKind.FIX

    @property
    def subject(self) -> str:
        """The subject, from the file name without number and versions."""
        name = self.file.rpartition("/")[2].removesuffix(".patch").partition("-")[2]
        return re.sub(r"-(to|before)-[0-9][0-9a-z.]*$", "", name).replace("-", " ")

    def concerns(self, row: ProjectVersion) -> bool:
        """Whether the patch is for this project and this version."""
        return not self.copies and row.name == self.upstream and admits(self.versions, row.version)

    def misfit(self, row: ProjectVersion, cuda: str, torch: str, cxx: int) -> str:
        """Return why the patch is not applied to a release; empty if it is applied."""
        return self.not_for(row) or self.unneeded(cuda, torch, cxx)

    def not_for(self, row: ProjectVersion) -> str:
        """Return the other releases that the patch is for; empty if it is for this release."""
        return "" if self.concerns(row) else f"it is for {self.meant}"

    @property
    def meant(self) -> str:
        """The versions or copies that the patch is for, in words."""
        return f"copies of {self.upstream} in {self.copies}" if self.copies else f"{self.upstream} {self.versions}"

    def unneeded(self, cuda: str, torch: str, cxx: int) -> str:
        """Return why the patch is not needed with this CUDA, torch and C++; empty if it is needed."""
        for what, ranges, found in (
            ("CUDA", self.cuda, cuda),
            ("torch", self.torch, torch),
            ("C++", self.cxx, str(cxx)),
        ):
            if ranges and not (found and admits(ranges, found)):
                return f"it is for {what} {ranges}"
        return ""


def load_projects(folder: Path) -> tuple[tuple[Project, ...], tuple[ProjectVersion, ...]]:
    """Read and check every project in ``projects/``.

    Raises ValueError if anything is missing, unknown or inconsistent.
    """
    projects, versions = [], []
    for name, data in read_projects(folder).items():
        project: Project = load_row(Project, {**data, "name": name}, f"projects/{name}/project.toml")
        rows = _versions(project, folder / name / "versions.toml")
        _check(project, rows)
        projects.append(project)
        versions += rows
    _check_partners(versions)
    return tuple(projects), tuple(versions)


def _versions(project: Project, path: Path) -> list[ProjectVersion]:
    with open_plain(path) as file:
        data = tomllib.load(file)["version"]
    rows = [_version(project, row, f"projects/{project.name}/versions.toml: {row.get('version')}") for row in data]
    return list(in_order(project.name, rows))


def _version(project: Project, data: dict[str, Any], where: str) -> ProjectVersion:
    row: ProjectVersion = load_row(ProjectVersion, {**data, "project": project}, where)
    if not (row.index_sha256 and row.index_file) and not (row.git_commit and row.git_tag):
        raise ValueError(f"{where} has neither an archive with its sha256 nor a tag with its commit")
    if (row.index_sha256 and len(row.index_sha256) != 64) or (row.git_commit and len(row.git_commit) != 40):
        raise ValueError(f"{where}: not a sha256, or not a commit")
    if len(row.tree_sha256) != bool(row.index_sha256) + bool(row.git_commit) or any(
        len(tree) != 64 for tree in row.tree_sha256
    ):
        raise ValueError(f"{where}: one tree-sha256 is needed for its archive, and one for its tag")
    if (row.torch_min or row.python_min) and not row.needs_why:
        raise ValueError(f"{where}: what it needs has no 'needs-why'")
    if row.partner and not (project.partner and row.partner_fits):
        raise ValueError(f"{where}: a partner needs 'partner-fits', and [partner] in project.toml")
    for ranges in (row.transformers, row.partner_fits):
        specifiers.SpecifierSet(ranges)  # raises InvalidSpecifier, a ValueError
    return row


def _check(project: Project, rows: list[ProjectVersion]) -> None:
    where = f"projects/{project.name}/project.toml"
    for key, value in (("good", project.good), ("packages", project.packages), ("license", project.license)):
        if not value:
            raise ValueError(f"{where}: has no {key!r}")
    for version in project.good:
        if version not in [row.version for row in rows]:
            raise ValueError(f"{where}: {version} has no row in versions.toml")
    for ranges in (project.stable, *(item.cuda for item in project.avoid)):
        specifiers.SpecifierSet(ranges)


def _check_partners(versions: list[ProjectVersion]) -> None:
    for row in versions:
        partner = row.project.partner
        if row.partner and partner and not any((it.name, it.version) == (partner.name, row.partner) for it in versions):
            raise ValueError(
                f"projects/{row.name}/versions.toml: {row.version}: {partner.name} {row.partner} has no row"
            )
