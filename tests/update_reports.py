"""Write the reports of all recorded machines, and the JSON Schema, anew: look at the diff before you commit it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from mamba_build_backend import plan, recorded, report, schema, tables  # noqa: E402


def main() -> None:
    """Write them all."""
    for path in sorted((ROOT / "tests" / "facts").glob("*.json")):
        settings, facts = recorded.load(path, {})
        made = plan.decide(settings, facts, tables.load_tables())
        path.with_suffix(".txt").write_text(report.plan_text(facts, made, verbose=True), encoding="utf-8")
    schema.FILE.parent.mkdir(exist_ok=True)
    schema.FILE.write_text(json.dumps(schema.doctor_schema(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
