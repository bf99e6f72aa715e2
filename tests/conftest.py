"""Fixtures, and the rule on skipping: a skip says what is missing, and where all is demanded it is a failure."""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import pytest
from support import ROOT, kept_folder, lacking

# The same examples in every run; --hypothesis-profile=long looks for new ones.
hypothesis.settings.register_profile("gate", derandomize=True, deadline=None, database=None, max_examples=40)
hypothesis.settings.register_profile("long", deadline=None, database=None, max_examples=5000)
hypothesis.settings.load_profile("gate")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--objects", metavar="FOLDER", help="where ccache keeps objects (default: a folder that later runs find again)"
    )
    parser.addoption(
        "--no-skips", action="store_true", help="a test that is skipped fails: the run is meant to be whole"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The folder of a test is its tier."""
    for item in items:
        tier = Path(item.path).relative_to(ROOT / "tests").parts[0]
        if tier in ("unit", "integration", "e2e"):
            item.add_marker(getattr(pytest.mark, tier))
    # The quick ones first: a mistake shows in seconds.
    items.sort(key=lambda item: ("unit" not in item.keywords, "integration" not in item.keywords))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests do not use the user's compiler cache.

    They share a cache of their own, so that nothing is compiled twice.
    """
    for name in [name for name in os.environ if name.startswith(("CCACHE_", "SCCACHE_"))]:
        del os.environ[name]
    if item.get_closest_marker("unit") or item.get_closest_marker("cold"):
        os.environ["CCACHE_DISABLE"] = "1"
    else:
        folder = item.config.getoption("--objects") or str(kept_folder() / "objects")
        os.environ.update(CCACHE_DIR=folder, CCACHE_MAXSIZE="2G")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.config.getoption("--no-skips"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and this run is meant to be whole: {report.longrepr}"
    return report


@pytest.fixture
def clean_env(tmp_path: Path) -> dict[str, str]:
    """The environment of a user without any settings, with caches of their own."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("MAMBA_", "UV_", "CONDA_", "NVCC_"))}
    for name in (
        "CUDA_HOME",
        "CUDA_PATH",
        "CXX",
        "CC",
        "MAX_JOBS",
        "TORCH_CUDA_ARCH_LIST",
        "VIRTUAL_ENV",
        "PYTHONPATH",
        "SOURCE_DATE_EPOCH",
    ):
        env.pop(name, None)
    return env


@pytest.fixture(scope="session")
def torch_site() -> Path:
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        lacking("a CUDA torch in the test environment (python tests/run.py installs it)")
    return Path(spec.origin).parent.parent


@pytest.fixture(scope="session")
def gxx() -> str:
    path = shutil.which("g++")
    if path is None:
        lacking("g++")
    return path


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system with room for 64 kB, which only root can make."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        lacking("the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", folder], check=True)
