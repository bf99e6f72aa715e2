"""Write what is made from code and tables anew: look at the diff before you commit it.

The reports of all recorded machines, the JSON Schema of ``doctor --json``, docs/troubleshooting.md and docs/compatibility.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import matrix  # noqa: E402
from doctor_schema import doctor_schema  # noqa: E402

from mamba_build_backend import explain, plan, recorded, report, tables  # noqa: E402

PAGE = """\
# Troubleshooting

What users of mamba-ssm and causal-conv1d meet while they install, build or import them: the message, why it comes, and
what to type. `python -m mamba_build_backend explain < build.log` finds the entry for a log by itself, and
`python -m mamba_build_backend doctor` says what stands in the way before anything is built.

This page is made from `mamba_build_backend/tables/failures.toml` by `python tests/update_reports.py`.
"""


def troubleshooting() -> str:
    """The page, for those who search for a message."""
    out = [PAGE]
    for item in explain.load_failures():
        log = (ROOT / "tests" / "logs" / f"{item.id}.txt").read_text(encoding="utf-8")
        found = explain.explain(log).explanations[0]
        out += [f"## {item.id.replace('-', ' ')}\n", f"    {found.line}\n", f"{found.cause}\n"]
        for fix in found.fix:
            command, _, why = fix.partition("   (")
            out.append(f"- `{command}`" + (f": {why.removesuffix(')')}" if why else ""))
        out.append(f"\nReported: {', '.join(address(name) for name in item.reported)}\n")
    return "\n".join(out)


COMPATIBILITY = """\
# What was compiled with what

Each row was built from this project's checkout, linked, audited and imported beside that torch; `patches` names what was
changed in upstream's source for it ([the series](../patches/series.toml)). One compute capability each, since it is the
sources that are tried: 8.0 with CUDA 11 and 12, 9.0 with CUDA 13. `python tests/matrix.py list` prints what the matrix holds,
and in an environment as its heading says

    python tests/matrix.py run NAME --python PYTHON

builds it again, where PYTHON has the torch (`--source FOLDER` takes upstream's tags from git mirrors). Rows marked CI are built
by the end-to-end tests of every change too. This page is made from `tests/matrix.toml` and `tests/matrix-results.json` by
`python tests/update_reports.py`.
"""


def compatibility() -> str:
    """The page of the matrix."""
    seen = {(item["environment"], item["what"]): item for item in matrix.results()}
    out = [COMPATIBILITY]
    for name, environment in matrix.environments().items():
        out.append(
            f"## {name}: torch {environment['torch']}, Python {environment['python']}, nvcc {environment['nvcc']}\n\n"
            f"{environment['where']}.\n\n"
            "| project | source | g++ | patches | wheel | needs | audit, import | at |\n|---|---|---|---|---|---|---|---|"
        )
        out += [_row(build, seen.get((name, build["what"]))) for build in environment["builds"]]
        out.append("")
    return "\n".join(out)


def _row(build: dict[str, Any], item: dict[str, Any] | None) -> str:
    project = f"{build['what'].replace('==', ' ')}{' (CI)' if build.get('ci') else ''}"
    source = "tag" if build.get("git") else "index"
    if item is None:
        return f"| {project} | {source} | | | not built yet | | | |"
    patches = ", ".join(path.partition("/")[2].partition("-")[0] for path in item["patches"]) or "none"
    tag = item["wheel"].removesuffix(".whl").rpartition("-")[2].partition(".")[0]
    floor = item["floor"]
    needs = "its own machine's glibc (`repair=false`)"
    if floor:
        needs = f"GLIBC {floor['glibc']}, GLIBCXX {floor['glibcxx']}, CXXABI {floor['cxxabi']}"
    flags = f", `{item['nvcc-append-flags']}`" if item.get("nvcc-append-flags") else ""
    wheel = f"{item['size'] / 1e6:.1f} MB, {tag}{flags}"
    return (
        f"| {project} | {source} | {item['gxx']} | {patches} | {wheel} | {needs} "
        f"| {item['audit']}, {item['import']} | {item['commit']} |"
    )


def address(name: str) -> str:
    """A Markdown link of ``owner/name#number``; an address stays as it is."""
    repository, _, number = name.partition("#")
    return f"[{name}](https://github.com/{repository}/issues/{number})" if number else f"<{name}>"


def main() -> None:
    """Write them all."""
    for path in sorted((ROOT / "tests" / "facts").glob("*.json")):
        settings, facts = recorded.load(path, {})
        made = plan.decide(settings, facts, tables.load_tables())
        path.with_suffix(".txt").write_text(report.plan_text(facts, made, verbose=True), encoding="utf-8")
    (ROOT / "docs" / "troubleshooting.md").write_text(troubleshooting(), encoding="utf-8")
    (ROOT / "docs" / "compatibility.md").write_text(compatibility(), encoding="utf-8")
    report.SCHEMA_FILE.parent.mkdir(exist_ok=True)
    report.SCHEMA_FILE.write_text(json.dumps(doctor_schema(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
