"""Check a folder against the plan before the upload: ``python release/check.py dist``.

Checks names, versions, build numbers, tags, sizes, metadata (twine), and each wheel's record and audit. Prints the
files with their SHA-256.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import zipfile
from collections.abc import Collection, Iterator
from hashlib import sha256
from pathlib import Path

from make_wheel import REQUIRED
from plan import TOOL, VERSION, Plan, Wheel, load
from steps import step

MB = 1e6


def problems(folder: Path, plan: Plan, machines: Collection[str]) -> Iterator[str]:
    """Yield the faults in the files of a release with wheels for these machines."""
    tool = TOOL.replace("-", "_")
    wanted = {f"{tool}-{VERSION}-py3-none-any.whl": "tool", f"{tool}-{VERSION}.tar.gz": "tool"}
    wanted |= {item.sdist: "sdist" for item in plan.wheels}
    there = {path.name for path in folder.iterdir()}
    yield from (f"{name} is missing" for name in wanted if name not in there)
    for item in plan.wheels:
        built = sorted(name for name in there if name.startswith(item.stem) and name.endswith(".whl"))
        wanted |= dict.fromkeys(built, "wheel")
        for machine in machines:
            if sum(name.endswith(f"_{machine}.whl") for name in built) != 1:
                yield f"there is not exactly one {item.stem}*_{machine}.whl"
        for name in built:
            yield from _of_wheel(folder / name, item)
    yield from (f"{name} is not in the plan" for name in sorted(there - set(wanted)))
    for name in sorted(there & set(wanted)):
        size, most = (folder / name).stat().st_size / MB, plan.limits[wanted[name]]
        if size > most:
            yield f"{name} has {size:.1f} MB; the limit in plan.toml is {most:g} MB"


def _of_wheel(path: Path, wheel: Wheel) -> Iterator[str]:
    tags = path.name.removeprefix(wheel.stem).removesuffix(".whl")
    if not tags.startswith("cp39-abi3-manylinux2014_") or "manylinux_2_17_" not in tags:
        yield f"{path.name} is not for Python 3.9 and newer on glibc 2.17"
    with zipfile.ZipFile(path) as archive:
        (name,) = (item for item in archive.namelist() if item.endswith(".dist-info/mamba-build-record.json"))
        record = json.loads(archive.read(name))
        stated = archive.read(name.replace("mamba-build-record.json", "WHEEL")).decode().splitlines()
    if record["backend"] != VERSION:
        yield f"{path.name} was made by version {record['backend']} of the tool; this is {VERSION}"
    if f"Build: {wheel.build}" not in stated:
        yield f"the WHEEL of {path.name} does not state build {wheel.build}"
    if not record["upstream"]["verified"]:
        yield f"the source of {path.name} is not a release of upstream"


def main() -> int:
    """Check the folder, and print its files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only-this-machine", action="store_true", help="do not expect wheels for other machines")
    options = parser.parse_args()
    files = sorted(path for path in options.folder.iterdir() if path.is_file())
    if not files:
        print(f"release: error: {options.folder} is empty", file=sys.stderr)
        return 1
    step(sys.executable, "-m", "twine", "check", "--strict", *files)
    for path in files:
        if path.suffix == ".whl" and "-py3-none-any" not in path.name:
            step(sys.executable, "-m", "mamba_build_backend", "audit", path, "--require", REQUIRED, quiet=True)
    plan = load()
    found = list(problems(options.folder, plan, [os.uname().machine] if options.only_this_machine else plan.machines))
    for text in found:
        print(f"release: error: {text}", file=sys.stderr)
    for path in files:
        print(f"{sha256(path.read_bytes()).hexdigest()}  {path.name}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
