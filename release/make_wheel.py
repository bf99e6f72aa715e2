"""Build one wheel of the plan for this machine, audit it, and put it into a folder: ``python release/make_wheel.py PROJECT dist``."""

from __future__ import annotations

import sys
from pathlib import Path

from plan import Plan, load
from steps import fail, step

REQUIRED = "glibc=2.17"
"""What no wheel of a release may exceed."""


def make(project: str, out: Path, plan: Plan) -> Path:
    """The path of the wheel. Raises SystemExit where it is not built, or is not what was planned."""
    wheel = next((item for item in plan.wheels if item.project == project), None)
    if wheel is None:
        raise fail(f"plan.toml has no wheel of {project!r}")
    settings = {**plan.settings, "build-tag": str(wheel.build)}
    options = [word for key, value in settings.items() for word in ("-C", f"{key}={value}")]
    backend = [sys.executable, "-m", "mamba_build_backend"]
    step(*backend, "build", f"{project}=={wheel.version}", *options, "-w", out)
    found = sorted(out.glob(f"{wheel.stem}*.whl"))
    if len(found) != 1:
        raise fail(f"{out} holds {len(found)} wheels {wheel.stem}*.whl, and one was built")
    step(*backend, "audit", found[0], "--require", REQUIRED)
    return found[0]


def main() -> int:
    """Build it."""
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    print(make(sys.argv[1], Path(sys.argv[2]).absolute(), load()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
