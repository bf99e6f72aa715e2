"""Shared code of the release scripts: prints each step in pasteable form, and ends the script if a step fails."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from plan import ROOT

SOURCE_DATE_EPOCH = "1577836800"
"""The time stamp of built files: 2020-01-01, the backend's default."""


def variables(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment of a release's builds, without the backend's settings of the user or machine."""
    kept = {
        name: value
        for name, value in given.items()
        if not name.startswith("MAMBA_BUILD_") or name.endswith("_CACHE_DIR")
    }
    return {**kept, "SOURCE_DATE_EPOCH": SOURCE_DATE_EPOCH, "PYTHONDONTWRITEBYTECODE": "1"}


def step(*command: object, cwd: Path = ROOT, env: Mapping[str, str] | None = None, quiet: bool = False) -> str:
    """Run a command and return its output. Raises SystemExit with its exit code if that is not 0."""
    words = [str(word) for word in command]
    print("+", shlex.join(words), flush=True)
    done = subprocess.run(
        words, cwd=cwd, env=variables() if env is None else dict(env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", check=False,
    )  # fmt: skip
    if done.stdout and (done.returncode or not quiet):
        print(done.stdout.rstrip(), flush=True)
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout


def fail(found: str) -> SystemExit:
    """Print an error on stderr and return the exception that ends the script."""
    print(f"release: error: {found}", file=sys.stderr, flush=True)
    return SystemExit(1)
