"""build-constraints.txt: every build tool that the backend may ask for, in one version, with hashes."""

import os
import re

from packaging.requirements import Requirement
from support import ROOT, planned_for

from mamba_build_backend import build_requires
from mamba_build_backend.audit.types import ABI_TABLE
from mamba_build_backend.core import pyproject
from mamba_build_backend.source.index import FETCHER
from mamba_build_backend.wheel.metadata import METADATA_WRITER
from mamba_build_backend.wheel.project_files import project_files

FILE = ROOT / "build-constraints.txt"
TOOLS = [
    *pyproject.load(ROOT)["build-system"]["requires"], *build_requires._COMPILE.values(), *build_requires._REPAIR.values(),
    "setuptools>=64,<82", ABI_TABLE, FETCHER, METADATA_WRITER, "ziglang==0.13.0.post1", "nvidia-ml-py",
]  # fmt: skip


def pinned():
    """The versions of each name, and how many hashes each has."""
    text = FILE.read_text().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            item = Requirement(line.partition(" --hash")[0])
            (only,) = item.specifier
            assert only.operator == "==", line
            found.setdefault(item.name, []).append(
                (only.version, len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", line)))
            )
    return found


def test_constraints_pin_every_build_tool_with_hashes():
    found = pinned()
    for text in TOOLS:
        item = Requirement(text)
        assert item.name in found, text
        for version, hashes in found[item.name]:
            assert item.specifier.contains(version), (text, version)
            assert hashes


def test_constraints_hold_every_requirement_but_torch_and_cuda():
    found = pinned()
    for machine in ("conda-lib-everywhere", "debian12-torch2.11-cuda13.0"):
        _, plan = planned_for(ROOT / "tests" / "facts" / f"{machine}.json")
        for text in [*build_requires.requires_for_wheel(plan, None), *plan.requirements]:
            name = Requirement(text).name
            assert name in found or name.startswith(("torch", "nvidia-")), text


def test_the_sdist_carries_the_file():
    assert FILE in project_files(ROOT, dict(os.environ)).paths
