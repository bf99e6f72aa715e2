"""Check that two folders have byte-identical files: ``python release/same_bytes.py A B``.

Names the first differing members.
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from hashlib import sha256
from pathlib import Path

from steps import fail


def compare(one: Path, other: Path) -> None:
    """Raise SystemExit if a file is in only one folder, if the content differs, or if both folders are empty."""
    names, others = ({path.name for path in folder.iterdir() if path.is_file()} for folder in (one, other))
    if names != others:
        raise fail(f"only one of the two builds made {', '.join(sorted(names ^ others))}")
    if not names:
        raise fail(f"{one} and {other} are empty")
    for name in sorted(names):
        if (one / name).read_bytes() != (other / name).read_bytes():
            raise fail(f"two builds of {name} differ: {_difference(one / name, other / name)}")
    print(f"{len(names)} files are byte-identical in two builds")


def _difference(one: Path, other: Path) -> str:
    """Name the first members with different content; if there are none, the archives' own fields."""
    members, others = _members(one), _members(other)
    found = sorted(name for name in {*members, *others} if members.get(name) != others.get(name))
    return ", ".join(found[:5]) or "order, times or modes of the members"


def _members(path: Path) -> dict[str, str]:
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            return {name: sha256(wheel.read(name)).hexdigest() for name in wheel.namelist()}
    with tarfile.open(path) as archive:
        files = [(item.name, archive.extractfile(item)) for item in archive.getmembers() if item.isfile()]
        return {name: sha256(file.read()).hexdigest() for name, file in files if file}


def main() -> int:
    """Compare the two folders."""
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    compare(Path(sys.argv[1]), Path(sys.argv[2]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
