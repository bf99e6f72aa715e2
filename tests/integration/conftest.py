"""One cache for all tests and processes of this tier, so that the sysroot is made once; helpers for frontends."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from support import copy_tiny, lacking, shared_folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shared_folder(tmp_path_factory) / "cache"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def env(clean_env: dict[str, str], cache: Path) -> dict[str, str]:
    return {**clean_env, "MAMBA_BUILD_CACHE_DIR": str(cache), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


@pytest.fixture
def tiny(tmp_path: Path, torch_site: Path, gxx: str) -> Path:
    """The tiny CUDA project with the backend copied in, as vendoring does it."""
    return copy_tiny(tmp_path / "tiny")


@pytest.fixture(scope="session")
def zig_package() -> Path:
    spec = find_spec("ziglang")
    if spec is None or spec.origin is None:
        lacking("ziglang 0.13")
    return Path(spec.origin).parent
