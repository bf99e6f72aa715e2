"""Build one wheel of the plan for this machine, audit it, and put it into a folder: ``python release/make_wheel.py PROJECT dist``."""

from __future__ import annotations

import sys
from pathlib import Path

from plan import Plan, load
from steps import fail, step

REQUIRED = "glibc=2.17"
"""The limit for every wheel of a release."""


def make(project: str, out: Path, plan: Plan) -> Path:
    """Build the wheel and return its path.

    Raises SystemExit if the build fails, or if the wheel does not match the plan.
    """
    wheel = next((item for item in plan.wheels if item.project == project), None)
    if wheel is None:
        raise fail(f"plan.toml has no wheel of {project!r}")
    settings = {**plan.settings, "build-tag": str(wheel.build)}
    options = [word for key, value in settings.items() for word in ("-C", f"{key}={value}")]
    backend = [sys.executable, "-m", "mamba_build_backend"]
    step(*backend, "build", f"{project}=={wheel.version}", *options, "-w", out)
    found = sorted(out.glob(f"{wheel.stem}*.whl"))
    if len(found) != 1:
        raise fail(f"{out} contains {len(found)} wheels {wheel.stem}*.whl, not 1")
    step(*backend, "audit", found[0], "--require", REQUIRED)
    return found[0]


def main() -> int:
    """Build the wheel."""
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    print(make(sys.argv[1], Path(sys.argv[2]).absolute(), load()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
