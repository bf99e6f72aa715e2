"""Make the files that need no compiler: the tool's wheel and sdist, and the sdist of each portable distribution.

    python release/make_distributions.py dist

Builds each file twice (wheels from the sdist), and checks that both builds are byte-identical.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from plan import ROOT, TOOL, Plan, load
from same_bytes import compare
from steps import step

_PLACES = {"mamba-ssm": ROOT}
"""Projects whose distribution is not in ``distributions/``."""


def make(out: Path, plan: Plan) -> None:
    """Make the files in a folder."""
    build = [sys.executable, "-m", "build"]
    step(*build, "--outdir", out, ROOT / "distributions" / TOOL, quiet=True)
    for wheel in plan.wheels:
        place = _PLACES.get(wheel.project, ROOT / "distributions" / wheel.distribution)
        settings = [f"-Cupstream={wheel.project}", f"-Cupstream-version={wheel.version}"]
        step(*build, "--sdist", *settings, "--outdir", out, place, quiet=True)


def main() -> int:
    """Make the files twice, and compare."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    out = Path(sys.argv[1]).absolute()
    with tempfile.TemporaryDirectory(prefix="mamba-release-") as folder:
        first, second = Path(folder) / "first", Path(folder) / "second"
        for place in (first, second):
            make(place, load())
        compare(first, second)
        out.mkdir(parents=True, exist_ok=True)
        for path in sorted(first.iterdir()):
            shutil.copy(path, out)
            print(f"{path.stat().st_size:>9} bytes  {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
