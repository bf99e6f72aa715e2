"""Import the wheels' extension modules on another Linux, in a container: ``python release/prove.py dist --image debian:12 --python 3.11``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from plan import ROOT
from steps import fail, step


def main() -> int:
    """Check each wheel for this machine's architecture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--image", required=True)
    parser.add_argument("--python", required=True, metavar="X.Y")
    options = parser.parse_args()
    wheels = sorted(options.folder.absolute().glob(f"*_{os.uname().machine}.whl"))
    if not wheels:
        raise fail(f"{options.folder} has no wheel for {os.uname().machine}")
    for wheel in wheels:
        step(ROOT / "manylinux" / "check-root", "--image", options.image, "--python", options.python, "--wheel", wheel)
    return 0


if __name__ == "__main__":
    sys.exit(main())
