"""Collects the results of a matrix: ``python manylinux/report.py OUT``.

Reads the workflow's files in OUT (cells.json, built/, audits/, logs/, environments/), links the finished wheels into
OUT/wheels, and writes OUT/report.json and OUT/report.md. You may run it at any time. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

SCHEMA = 1
STATES = ("built", "failed", "skipped", "not tried")
_PREFIX = "mamba-build-backend: "
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_ERROR = re.compile(r"\berror\b\s*:", re.IGNORECASE)
_AFTERMATH = re.compile(
    r"no wheel was built: see|No matching distribution found|subprocess-exited-with-error|Failed (to build|building)"
    r"|note: This error"
)
_NETWORK = re.compile(
    r"Connection refused|timed out|Network is unreachable|Name or service not known|Temporary failure in name resolution"
    r"|Failed to establish a new connection|No route to host",
    re.IGNORECASE,
)


def main() -> int:
    """Write the report; print its last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT")
    out: Path = parser.parse_args().out.absolute()
    if not (out / "cells.json").is_file():
        print(f"{out} contains no cells.json: the workflow has not run with out={out}", file=sys.stderr)
        return 2
    report = collect(out)
    publish(out, report)
    write(out / "report.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    write(out / "report.md", markdown(report))
    print(f"{summary(report)}: {out / 'report.md'}")
    return 0


def collect(out: Path) -> dict[str, Any]:
    """Return the state of every cell."""
    listed = json.loads((out / "cells.json").read_text(encoding="utf-8"))
    cells = [state_of(out, cell) for cell in listed["cells"]]
    owners: dict[str, str] = {}
    for cell in cells:
        name = cell["wheel"]
        if name and owners.setdefault(name, cell["id"]) != cell["id"]:
            cell.update(
                state="failed", error=f"its wheel has the same name as the wheel of {owners[name]}: {name}", wheel=""
            )
    counts = {state: sum(cell["state"] == state for cell in cells) for state in STATES}
    return {"schema": SCHEMA, "counts": counts, "cells": cells}


def state_of(out: Path, cell: dict[str, Any]) -> dict[str, Any]:
    """Return the result of one cell."""
    name = cell["id"]
    result = {
        "id": name,
        "state": "not tried",
        **{key: cell[key] for key in ("upstream", "python", "torch", "cuda")},
        "wheel": "",
        "size": 0,
        "sha256": "",
        "seconds": None,
        "audit": "",
        "error": "",
        "log": "",
    }
    if cell["skip"]:
        return {**result, "state": "skipped", "error": cell["skip"]["reason"]}
    built = _json(out / "built" / name / "build.json")
    if built:
        made = built["wheels"][0]
        result.update(size=made["size"], sha256=made["sha256"], seconds=made["seconds"])
        audited = _json(out / "logs" / f"{name}.audit.json")
        if audited is not None:
            result["audit"] = "ok" if audited["ok"] else "; ".join(item["found"] for item in audited["problems"])
        if (out / "audits" / f"{name}.audit.json").is_file():
            return {**result, "state": "built", "wheel": Path(made["wheel"]).name, "log": _log(out, f"{name}.log")}
        logs = [f"{name}.audit.log"]
    elif (out / "environments" / cell["environment"]["name"] / "python").is_file():
        logs = [f"{name}.log"]
    else:
        logs = [f"environment-{cell['environment']['name']}.log"]
    for log in logs:
        if (out / "logs" / log).is_file():
            text = (out / "logs" / log).read_text(encoding="utf-8", errors="replace")
            error = result["audit"] if result["audit"] not in ("", "ok") else last_error(text)
            result.update(state="failed", error=error, log=_log(out, log))
    return result


def _json(path: Path) -> Any:
    """Return the content; None if the file is missing or cut off."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _log(out: Path, name: str) -> str:
    return f"logs/{name}" if (out / "logs" / name).is_file() else ""


def last_error(log: str) -> str:
    """Return the error line: the backend's own, else the last line with "error:", else the last line."""
    lines = [_COLOUR.sub("", line).rstrip() for line in log.splitlines() if line.strip()]
    own = [index for index, line in enumerate(lines) if f"{_PREFIX}error: " in line and not _AFTERMATH.search(line)]
    if own:
        found = [lines[own[0]].partition(f"{_PREFIX}error: ")[2]]
        # Its continuation lines, with the compiler's own message, are indented further.
        for line in lines[own[0] + 1 :]:
            more = line.partition(f"{_PREFIX}error: ")[2]
            if not more.startswith("   "):
                break
            found.append(more.strip())
        return ": ".join(found)
    errors = [line for line in lines if _ERROR.search(line) and not _AFTERMATH.search(line)]
    said = (errors or lines or ["the log is empty"])[-1].strip()
    network = [match[0] for match in map(_NETWORK.search, lines) if match]
    return said if not network or network[-1] in said else f"{said} ({network[-1]})"


def publish(out: Path, report: dict[str, Any]) -> None:
    """Link the wheels into OUT/wheels; delete wheels of the last report that are no longer valid."""
    folder = out / "wheels"
    folder.mkdir(exist_ok=True)
    wanted = {cell["wheel"]: cell for cell in report["cells"] if cell["state"] == "built"}
    before = _json(out / "report.json") or {"cells": []}
    for name in {cell["wheel"] for cell in before["cells"] if cell["wheel"]} - set(wanted):
        for path in (folder / name, folder / f"{name}.metadata"):
            path.unlink(missing_ok=True)
    for name, cell in wanted.items():
        source = out / "built" / cell["id"] / name
        if (folder / name).exists() and os.path.samefile(source, folder / name):
            continue
        draft = folder / f".{name}.{os.getpid()}"
        try:
            try:
                os.link(source, draft)
            except OSError:  # a file system without hard links
                if (folder / name).exists() and (folder / name).stat().st_mtime_ns == source.stat().st_mtime_ns:
                    continue
                shutil.copy2(source, draft)
            draft.replace(folder / name)
        finally:
            draft.unlink(missing_ok=True)


def summary(report: dict[str, Any]) -> str:
    """Return the counts in one line."""
    return ", ".join(f"{count} {state}" for state, count in report["counts"].items() if count or state == "built")


def markdown(report: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    rows = [
        "# The matrix",
        "",
        f"{summary(report)}.",
        "",
        "| cell | state | wheel | size | seconds | audit | last error | log |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cell in report["cells"]:
        size = f"{cell['size'] / 1e6:.1f} MB" if cell["size"] else ""
        seconds = f"{cell['seconds']:.0f}" if cell["seconds"] is not None else ""
        log = f"[{cell['log']}]({cell['log']})" if cell["log"] else ""
        values = [cell["id"], cell["state"], cell["wheel"], size, seconds, cell["audit"], cell["error"], log]
        rows.append("| " + " | ".join(_cell(value) for value in values) + " |")
    return "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;")


def write(path: Path, text: str) -> None:
    """Write a draft and rename it into place."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


if __name__ == "__main__":
    sys.exit(main())
