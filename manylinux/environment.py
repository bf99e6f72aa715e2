"""Prints the folder of an environment's torch, if it is the torch of its cells.

    PYTHON -m mamba_build_backend doctor --json > doctor.json
    python manylinux/environment.py doctor.json --torch 2.11 --cuda 13.0

Exits with code 1 and a message for any other torch, or none: a wheel built for it would have the wrong name. Standard
library only.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any


def main() -> int:
    """Print the folder that contains torch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("doctor", type=Path, metavar="FILE", help="the output of doctor --json in that environment")
    parser.add_argument("--torch", required=True, help="a minor version")
    parser.add_argument("--cuda", required=True)
    options = parser.parse_args()
    try:
        data = json.loads(options.doctor.read_text(encoding="utf-8"))
    except ValueError:
        print("ERROR: doctor failed in that environment: see the lines above", file=sys.stderr)
        return 1
    wrong = misfit(data, options.torch, options.cuda)
    if wrong:
        print(f"ERROR: {wrong}", file=sys.stderr)
        return 1
    print(data["plan"]["torch"]["chosen"]["site"])
    return 0


def misfit(doctor: dict[str, Any], torch: str, cuda: str) -> str:
    """Return why this environment does not have the cells' torch; empty if it does."""
    found = doctor["plan"]["torch"]["chosen"]
    needed = f"torch {torch} for CUDA {cuda} is needed"
    where = f"the environment of Python {doctor['facts']['machine']['python_version']}"
    if found is None:
        told = [item["found"] for item in doctor["problems"] if item["code"].startswith("torch-")]
        return f"{told[0] if told else f'{where} has no torch'}; {needed}"
    if (found["version"].split(".")[:2], found["cuda"]) != (torch.split("."), cuda):
        return f"{where} has torch {found['version']} for CUDA {found['cuda']}; {needed}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
