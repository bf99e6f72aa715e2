"""One cache for all tests of this tier, so that the sysroot is made once, and helpers to drive frontends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from support import PACKAGES, ROOT, lacking


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def env(clean_env: dict[str, str], cache: Path) -> dict[str, str]:
    return {**clean_env, "MAMBA_BUILD_CACHE_DIR": str(cache), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


@pytest.fixture
def tiny(tmp_path: Path, torch_site: Path, gxx: str) -> Path:
    """The tiny CUDA project with the backend copied in, as vendoring does it."""
    return copy_tiny(tmp_path / "tiny")


def copy_tiny(into: Path) -> Path:
    shutil.copytree(PACKAGES / "tiny_cuda", into)
    shutil.copytree(ROOT / "mamba_build_backend", into / "mamba_build_backend", ignore=shutil.ignore_patterns("__pycache__"))
    return into


def run(*command: object, env: dict[str, str], cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(part) for part in command], env=env, cwd=cwd, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        pytest.fail(f"{command} exited with {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done


def pip_wheel(project: Path, out: Path, env: dict[str, str], *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "-w", out, *options, project, env=env, cwd=out.parent, check=check)


def only_wheel(folder: Path) -> Path:
    wheels = list(folder.glob("*.whl"))
    assert len(wheels) == 1, wheels
    return wheels[0]


@pytest.fixture(scope="session")
def zig_package() -> Path:
    spec = find_spec("ziglang")
    if spec is None or spec.origin is None:
        lacking("ziglang 0.13")
    return Path(spec.origin).parent


def without_local_nvcc(env: dict[str, str]) -> dict[str, str]:
    """PATH without any folder that holds nvcc."""
    kept = [folder for folder in env["PATH"].split(os.pathsep) if not os.path.exists(os.path.join(folder, "nvcc"))]
    return {**env, "PATH": os.pathsep.join(kept)}
