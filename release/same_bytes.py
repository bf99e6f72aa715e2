"""Two folders hold the same files, byte for byte: ``python release/same_bytes.py A B``. It names the first member that differs."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from hashlib import sha256
from pathlib import Path

from steps import fail


def compare(one: Path, other: Path) -> None:
    """Raises SystemExit where a name is in one folder alone, where content differs, or where there is none."""
    names, others = ({path.name for path in folder.iterdir() if path.is_file()} for folder in (one, other))
    if names != others:
        raise fail(f"one build alone made {', '.join(sorted(names ^ others))}")
    if not names:
        raise fail(f"{one} and {other} are empty")
    for name in sorted(names):
        if (one / name).read_bytes() != (other / name).read_bytes():
            raise fail(f"two builds of {name} differ: {_difference(one / name, other / name)}")
    print(f"{len(names)} files are the same bytes in two builds")


def _difference(one: Path, other: Path) -> str:
    """The first members with another content; the archives' own fields where all are alike."""
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
    """Compare the folders that were named."""
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    compare(Path(sys.argv[1]), Path(sys.argv[2]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
