"""The projects that can be built, and their versions, as types: what ``projects/<name>/`` holds."""

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
    """An architecture for which nvcc makes wrong code of a project, and the one whose code its GPUs run instead."""

    SOURCES: ClassVar[tuple[str, ...]] = ("source",)

    arch: str
    cuda: str
    use: str
    why: str


@dataclass(frozen=True)
class ThirdParty:
    """Code of others that a project's sources take in when they are compiled."""

    SOURCES: ClassVar[tuple[str, ...]] = ("source",)

    name: str
    license: str
    """An SPDX expression."""
    what: str
    notice: str = ""
    """The part of the expression that asks for its text beside a binary; empty where nothing does.

    The exceptions of GCC and LLVM are there so that what a compiler makes is free of their conditions.
    """


@dataclass(frozen=True)
class Partner:
    """Another project that this one calls, and that may go into the same wheel (setting ``with-NAME``)."""

    name: str
    default: str
    """The setting's default, as the table of settings shows it."""
    missing: str
    """What becomes of this project where no version of the partner fits; the end of a sentence."""
    calls: str = ""
    """How the path of the file ends that calls the partner's binding: a copy that changed it may call another one."""


@dataclass(frozen=True)
class Project:
    """What is known of a project, whatever its version."""

    name: str
    good: tuple[str, ...] = ()
    """Versions that are known to work, the newest first."""
    repository: str = ""
    packages: tuple[str, ...] = ()
    """What is imported; each checks torch before it loads a binary."""
    extensions: tuple[str, ...] = ()
    """The modules that the wheel must hold."""
    environment: tuple[tuple[str, str], ...] = sourced(())
    """Set for its setup.py, which would else download a wheel, or compile none of the CUDA code."""
    license: str = sourced("")
    """An SPDX expression."""
    default: bool = False
    """Whether it is built where nothing is said."""
    extras: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Requirements that it makes of everybody and only one optional part needs (its imports are guarded), by a name for the part."""
    unneeded: tuple[str, ...] = sourced(())
    """Requirements that it makes of everybody by mistake."""
    avoid: tuple[BadArch, ...] = ()
    one_pass: tuple[str, ...] = sourced(())
    """Patterns of file names: these have nothing of GPUs after Ampere, so that one pass of nvcc's front end is enough."""
    compiled: int = 0
    """How many files there are to compile, at most; 0 where nobody knows."""
    kernel_groups: tuple[KernelGroup, ...] = ()
    """Files whose kernels are so similar that they compress far better together; those that take longest first."""
    stable: str = sourced("")
    """Specifiers of the versions whose binding compiles with the stable-ABI headers (``mamba_build_backend/stable``)."""
    triton: str = sourced("")
    """What of it Triton compiles when it runs, in words; empty for nothing."""
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
    """Empty where the index's archive holds no CUDA sources."""
    git_tag: str = ""
    git_commit: str = ""
    tree_sha256: tuple[str, ...] = ()
    """What the content of the index's archive, and of the tag, is known by (archives.tree_sha256)."""
    cuda_min: str = ""
    """The oldest nvcc that its setup.py takes."""
    transformers: str = ""
    """Specifiers of the transformers that its imports work with; empty where it imports none."""
    torch_min: str = ""
    python_min: str = ""
    """The oldest torch and Python that it goes with, whatever its metadata say."""
    needs_why: str = ""
    partner: str = ""
    """The version of the project's partner that goes with this one."""
    partner_fits: str = ""
    """Specifiers of those whose binding takes the arguments that this one passes."""
    partner_required: bool = False
    """Whether it cannot be imported without."""
    fork: Optional[Fork] = None
    """How it differs, where it is a tree that somebody changed."""

    @property
    def name(self) -> str:
        """The project's."""
        return self.project.name

    @property
    def is_own(self) -> bool:
        """Whether it is the project itself that holds the backend, and none of ``projects/``."""
        return self.name == SELF

    @property
    def stable(self) -> bool:
        """Whether its binding compiles with the stable-ABI headers."""
        # A fork's version is its author's own and may be none.
        return bool(self.project.stable) and (self.fork is not None or admits(self.project.stable, self.version))

    @property
    def title(self) -> str:
        """Name and version, as one says them."""
        return f"{self.name} {self.version}".rstrip() if self.version or self.fork else "this project"

    @property
    def described(self) -> str:
        """The same, and of a fork how it differs."""
        return f"{self.title}, {self.fork.differences}" if self.fork and self.fork.release else self.title

    @property
    def archive_name(self) -> str:
        """The file name of its source archive: the index's, or the same for one made from the tag."""
        return self.index_file or f"{self.name.replace('-', '_')}-{self.version}.tar.gz"

    @property
    def commit_name(self) -> str:
        """What a folder with the commit of its tag alone is called."""
        return f"{self.name}-{self.git_commit[:16]}"

    @property
    def mirror_name(self) -> str:
        """The folder that ``git clone --mirror`` makes of its repository."""
        return f"{self.project.repository.rpartition('/')[2]}.git"


class PatchKind(Word):
    """What a patch is for."""

    DRIFT = "drift"
    """The source does not compile or import without it, since a toolkit, torch or Triton changed."""
    FIX = "fix"
    """The source computes wrong results without it. A build may do without: ``fixes=false``."""


@dataclass(frozen=True)
class PatchRow:
    """A patch to a project's sources. ``versions``, ``cuda``, ``torch`` and ``cxx`` are specifiers; empty ones admit all."""

    SOURCES: ClassVar[tuple[str, ...]] = ("why", "reported", "until")

    file: str
    upstream: str
    versions: str
    cuda: str = ""
    torch: str = ""
    cxx: str = ""
    """Of the language standard: ``>=20``."""
    why: str = ""
    kind: PatchKind = PatchKind.DRIFT
    shown: str = sourced("")
    """Of a fix: the command that shows what is wrong, and what it printed before and after."""
    concern: str = ""
    """Of a fix: whose results change."""
    copies: str = ""
    """Whose changed copies it is for, where it is for no release."""

    @property
    def is_fix(self) -> bool:
        """Whether it changes results."""
        return self.kind is PatchKind.FIX

    @property
    def subject(self) -> str:
        """What it is about, in the words of its file's name: without its number and the versions that it ends with."""
        name = self.file.rpartition("/")[2].removesuffix(".patch").partition("-")[2]
        return re.sub(r"-(to|before)-[0-9][0-9a-z.]*$", "", name).replace("-", " ")

    def concerns(self, row: ProjectVersion) -> bool:
        """Whether it is for this project and this version."""
        return not self.copies and row.name == self.upstream and admits(self.versions, row.version)

    def misfit(self, row: ProjectVersion, cuda: str, torch: str, cxx: int) -> str:
        """Why it is not applied to a release; empty where it is."""
        return self.not_for(row) or self.unneeded(cuda, torch, cxx)

    def not_for(self, row: ProjectVersion) -> str:
        """Why it is for other releases; empty where it is for this one."""
        return "" if self.concerns(row) else f"it is for {self.meant}"

    @property
    def meant(self) -> str:
        """What it is for, in words."""
        return f"copies of {self.upstream} in {self.copies}" if self.copies else f"{self.upstream} {self.versions}"

    def unneeded(self, cuda: str, torch: str, cxx: int) -> str:
        """Why it is not needed with this CUDA, torch and C++; empty where it is."""
        for what, ranges, found in (
            ("CUDA", self.cuda, cuda),
            ("torch", self.torch, torch),
            ("C++", self.cxx, str(cxx)),
        ):
            if ranges and not (found and admits(ranges, found)):
                return f"it is for {what} {ranges}"
        return ""


def load_projects(folder: Path) -> tuple[tuple[Project, ...], tuple[ProjectVersion, ...]]:
    """Read and check every project of ``projects/``. Raises ValueError for what is missing, unknown, or contradicts itself."""
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
