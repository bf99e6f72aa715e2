"""Write what is made from code and tables anew: look at the diff before you commit it.

The reports of all recorded machines, the JSON Schema of ``doctor --json``, and docs/troubleshooting.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

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
    report.SCHEMA_FILE.parent.mkdir(exist_ok=True)
    report.SCHEMA_FILE.write_text(json.dumps(doctor_schema(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
