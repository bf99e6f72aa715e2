"""Runs the checks and the tests: ``python tests/run.py`` for all, ``python tests/run.py fast`` for those of seconds.

Makes a virtual environment for them once and keeps it in the user's cache folder; standard library only. Extra arguments
go to pytest.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TORCH = "torch==2.11.0"
ROOM = 12e9  # bytes: an environment with the newest torch (5.4 GB), the archives it is unpacked from, the builds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tier", nargs="?", choices=("fast", "all"), default="all")
    options, rest = parser.parse_known_args()
    python = environment(with_torch=options.tier == "all")
    env = {**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    # Nothing that a developer has set may decide a test.
    for name in [
        name for name in env if name.startswith("MAMBA_") or name in ("VIRTUAL_ENV", "PYTHONPATH", "CONDA_PREFIX")
    ]:
        del env[name]
    if options.tier == "all" and (free := shutil.disk_usage(tempfile.gettempdir()).free) < ROOM:
        print(
            f"there are {free / 1e9:.0f} GB free below {tempfile.gettempdir()}, and the end-to-end tests, each with a "
            f"torch of its own in turn, need {ROOM / 1e9:.0f} GB: make room, or set TMPDIR to a larger disk",
            file=sys.stderr,
        )
        return 1
    env["NO_MKDOCS_2_WARNING"] = "1"
    with tempfile.TemporaryDirectory(prefix="mamba-docs-") as site:
        commands = [
            [python, "-m", "ruff", "check", "."],
            [python, "-m", "ruff", "format", "--check", "."],
            [python, "-m", "mypy"],
            [python, "-m", "mypy", "--config-file", "tests/mypy.ini"],
            [python, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", site],
            [
                python,
                "-m",
                "pytest",
                *(["-m", "unit", "-n", "auto"] if options.tier == "fast" else ["--no-skips"]),
                *rest,
            ],
        ]
        for command in commands:
            print("+", *command, flush=True)
            status = subprocess.run(command, cwd=ROOT, env=env, check=False).returncode
            if status:
                return status
    return 0


def environment(*, with_torch: bool) -> Path:
    """The Python of the test environment, made or completed where needed."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mamba-ssm-portable-tests"
    # What is installed, and not the rest of the file: tomllib is not in every Python that may run this.
    groups = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("\n[dependency-groups]")[2]
    installed = groups.partition("\n[")[0] + TORCH + sys.version
    key = hashlib.sha256(installed.encode()).hexdigest()[:12]
    folder = cache / f"{'all' if with_torch else 'fast'}-{sys.version_info.major}.{sys.version_info.minor}-{key}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        # Made for what this file asked for once; with a torch in it, each fills 5 GB.
        for stale in cache.glob(folder.name.removesuffix(key) + "*"):
            print(f"removing {stale}, which is out of date", flush=True)
            shutil.rmtree(stale)
        print(f"making a test environment in {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--upgrade", "pip>=25.1"], check=True)
        # torch first: the tools must not choose a torch of their own.
        if with_torch:
            subprocess.run([*pip, TORCH], check=True)
        subprocess.run([*pip, "--group", f"{ROOT / 'pyproject.toml'}:test"], check=True)
        (folder / "complete").touch()
    return python


if __name__ == "__main__":
    sys.exit(main())
