"""``python -m`` with this package's name checks whether this installation works here. Exit code 0 if nothing failed."""

from __future__ import annotations

import argparse
import json
import sys

from . import _built_for
from ._check import Row, all_rows

_SIGNS = {"ok": "ok", "failed": "FAILED", "unchecked": "-"}


def main() -> int:
    """Print the table, or the same as JSON."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {__package__}",
        description="Check this installation with the installed torch and this machine's GPU.",
    )
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument(
        "--full", action="store_true", help="compare the kernels at more lengths and layouts (takes minutes)"
    )
    options = parser.parse_args()
    rows = all_rows(full=options.full)
    failed = [row for row in rows if row.state == "failed"]
    verdict = _verdict(rows)
    if options.json:
        data = [{"check": row.check, "state": row.state, "found": row.found} for row in rows]
        print(
            json.dumps(
                {
                    "schema": 1,
                    "distribution": _built_for.DISTRIBUTION,
                    "version": _built_for.VERSION,
                    "rows": data,
                    "verdict": verdict,
                },
                indent=1,
            )
        )
    else:
        width = max(len(row.check) for row in rows)
        for row in rows:
            first, *rest = row.found.splitlines() or [""]
            print(f"{row.check:<{width}}  {_SIGNS[row.state]:<6}  {first}")
            for line in rest:
                print(" " * (width + 10) + line.strip())
        print(verdict)
    return 1 if failed else 0


def _verdict(rows: list[Row]) -> str:
    failed = [row.check for row in rows if row.state == "failed"]
    unchecked = [row.check for row in rows if row.state == "unchecked"]
    if failed:
        return f"not working: {', '.join(failed)}"
    if unchecked:
        why = " without a GPU" if "GPU" in unchecked else ""
        return f"no problem found; not checked{why}: {', '.join(unchecked)}"
    return "all systems go"


if __name__ == "__main__":
    sys.exit(main())
