"""What the scripts of a release share: a step is printed as it can be typed, and ends the script where it fails."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from plan import ROOT

SOURCE_DATE_EPOCH = "1577836800"
"""The time of the files in what is built: 2020-01-01, as the backend's default."""


def variables(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables of a release's builds: no setting of the person or machine that releases decides what is built."""
    kept = {
        name: value
        for name, value in given.items()
        if not name.startswith("MAMBA_BUILD_") or name.endswith("_CACHE_DIR")
    }
    return {**kept, "SOURCE_DATE_EPOCH": SOURCE_DATE_EPOCH, "PYTHONDONTWRITEBYTECODE": "1"}


def step(*command: object, cwd: Path = ROOT, env: Mapping[str, str] | None = None, quiet: bool = False) -> str:
    """Run a command and return what it prints. Raises SystemExit with its status where that is not 0."""
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
    """The error that ends a script: what was found, on stderr."""
    print(f"release: error: {found}", file=sys.stderr, flush=True)
    return SystemExit(1)
