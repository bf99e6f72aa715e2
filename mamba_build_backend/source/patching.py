"""Apply the plan's patches to a copy of upstream's tree: in order, each hunk exactly where it says, or not at all."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..core.errors import SourceError, ToolError
from ..core.process import capture
from ..tables import PATCHES, PatchRow

PATCHER = "patch-ng>=1.18"
"""Conan's: it takes a hunk only at its own line, and applies a patch whole or not at all. Asked for where one is planned."""


def apply_patches(patches: Sequence[PatchRow], tree: Path, title: str, environ: Mapping[str, str]) -> None:
    """Patch ``tree``, which is ``title``'s. Raises SourceError, naming patch, file, hunk and line."""
    for patch in patches:
        path = PATCHES / patch.file
        if not path.is_file():
            raise SourceError(
                f"the patch {patch.file} is not there", f"{title} does not compile without it", "use a whole checkout"
            )
        # In a process of its own: it changes the current folder, and speaks through the logging of the whole process.
        command = [sys.executable, "-c", _APPLY, str(tree), str(path)]
        try:
            said = capture(command, env={**environ, "PYTHONUTF8": "1"}, merge=True, timeout=60)
        except ToolError as error:
            raise _misfit(patch, title, error.problems[0].found) from None
        files = len(re.findall(r"^\+\+\+ ", path.read_text(encoding="utf-8"), re.MULTILINE))
        # To the library a file that is patched already is a success; here it is another source than was meant.
        if "RESULT True" not in said or said.count("successfully patched") != files:
            raise _misfit(patch, title, said)


_APPLY = """
import sys, patch_ng
patch_ng.setdebug()
patch = patch_ng.fromfile(sys.argv[2])
print("RESULT", bool(patch) and patch.apply(1, root=sys.argv[1], fuzz=False), flush=True)
"""


def _misfit(patch: PatchRow, title: str, said: str) -> SourceError:
    where = re.search(r"hunk no\.(\d+) doesn't match source file at line (\d+)", said)
    file = re.search(r"file \d+/\d+:\s+(?:b')?([^\s']+)", said)
    place = f" (hunk {where[1]}, line {where[2]} of {file[1] if file else 'its file'})" if where else ""
    if "already patched" in said:
        place = " (what it changes is changed already)"
    return SourceError(
        f"the patch {patch.file} does not fit this source of {title}{place}",
        f"it is needed: {patch.why}",
        ("-C source=auto   (upstream's own source, which it fits)", f"mend patches/{patch.file}"),
    )
