"""Compare the metadata hook's output with the wheel's metadata: PEP 517 requires that they agree."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path

from ..core.errors import BuildFailedError
from ..core.paths import is_file, matching, read_bytes

_HOOK = "the metadata hook"


def check_promised(directory: Path, text: str, licenses: Mapping[str, Path]) -> None:
    """Raise BuildFailedError if METADATA or the licences differ from those in ``directory``, naming the first difference.

    ``directory`` is the .dist-info that the hook wrote, as in PEP 517, or its parent folder.
    """
    info = directory
    if not is_file(info / "METADATA"):
        info = next(iter(matching(directory, "*.dist-info")), directory)
    if found := _difference(info, text, licenses):
        raise BuildFailedError(
            found,
            f"a frontend that passes metadata_directory ({info}) relies on that metadata",
            "run the same command again   (the build's inputs must not change between its steps)",
        )


def _difference(info: Path, text: str, licenses: Mapping[str, Path]) -> str:
    try:
        promised = read_bytes(info / "METADATA").decode("utf-8")
        files = {path.relative_to(info / "licenses").as_posix(): path for path in (info / "licenses").rglob("*")}
        names = {name for name, path in files.items() if is_file(path)}
        if promised != text:
            lines = zip_longest(promised.split("\n"), text.split("\n"), fillvalue="")
            old, new = next((pair for pair in lines if pair[0] != pair[1]), ("", ""))
            return f"METADATA of the wheel would say {new!r}, but {_HOOK} wrote {old!r}"
        if names != set(licenses):
            name = min(names ^ set(licenses))
            return f"the licence file {name} is {'missing now' if name in names else 'new'} since {_HOOK} ran"
        for name, path in licenses.items():
            if read_bytes(path) != read_bytes(files[name]):
                return f"the licence file {name} differs from the one that {_HOOK} wrote"
    except (OSError, UnicodeDecodeError) as error:
        return f"the METADATA that {_HOOK} wrote cannot be read: {error}"
    return ""
