"""Print a version's notes from CHANGELOG.md: ``python release/notes.py 0.2.0``.

Its section must exist and not be empty.
"""

from __future__ import annotations

import re
import sys

from plan import ROOT, VERSION
from steps import fail


def section(text: str, title: str) -> str:
    """Return the text below ``## TITLE`` (also ``## 0.2.0, 2026-12-01``) up to the next heading.

    Raises SystemExit if it is missing.
    """
    parts = re.split(r"^## +(.+?) *$", text, flags=re.MULTILINE)
    found = [
        body.strip()
        for name, body in zip(parts[1::2], parts[2::2], strict=True)
        if re.match(rf"{re.escape(title)}(?![\w.])", name)
    ]
    if len(found) != 1 or not found[0]:
        raise fail(f"CHANGELOG.md has {'no section' if not found else 'no single, full section'} {title!r}")
    return found[0] + "\n"


def main() -> int:
    """Print the notes. The argument may have a tag's ``v``, and must be the version of the code."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    version = sys.argv[1].removeprefix("v")
    if version not in (VERSION, "Unreleased"):
        raise fail(f"the requested version is {version}, but the code is {VERSION} (mamba_build_backend/_version.py)")
    print(section((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
