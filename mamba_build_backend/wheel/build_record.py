"""The build record: what was done, for whoever meets the wheel later.

A wheel travels, and two builds of one plan are to be the same bytes. So a record holds neither folders of the person who built
it nor anything of the hour: where a path stood is a name for the place, such as ``{torch}``.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._version import __version__
from ..compile import stable_abi
from ..core.facts import to_json
from ..plan import BuildPlan
from ..symbols.floors import EffectiveFloor
from ..tables import Floor

RECORD_NAME = "mamba-build-record.json"
RECORD_SCHEMA = 1
NO_FLOOR = Floor()

_OF_THE_HOUR = ("jobs", "compiler_cache", "requirements", "notes", "problems", "only_metadata")
"""Parts of a plan that say how it was carried out on this machine, today, and not what came of it."""


def build_record(
    plan: BuildPlan,
    origins: Sequence[Mapping[str, Any]],
    floor: Floor,
    python: str,
    effective: EffectiveFloor | None = None,
    places: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What was done.

    ``origins`` say of each part where its source came from; ``floor`` is what was measured, ``effective`` that together with
    what torch needs, None where nothing was measured; ``places`` has a name for each folder that is not to be told.
    """
    record = {
        "schema": RECORD_SCHEMA,
        "backend": __version__,
        "python": python,
        "upstream": origins[0],
        "companions": list(origins[1:]),
        "flags": {
            "nvcc": [*plan.nvcc_flags, *stable_abi.flags(plan)],
            "cxx": [f"-std=c++{plan.target.cxx_standard}", *stable_abi.flags(plan)],
        },
        "floor": {"promised": to_json(plan.floor), "measured": to_json(floor), "effective": to_json(effective)},
        "plan": _lasting(to_json(plan)),
    }
    found: dict[str, Any] = json.loads(_named(json.dumps(record, ensure_ascii=False), places or {}))
    return found


def places(work: Path, project: Path, cache: Path, torch_site: Path) -> dict[str, str]:
    """Folders of this build and this user, and what a record calls them."""
    root = torch_site.parents[2] if torch_site.parent.parent.name.startswith("lib") else torch_site
    named = {
        str(project): "{project}",
        str(cache): "{cache}",
        **{entry: "{site-packages}" for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))},
        **({sys.prefix: "{environment}"} if sys.prefix != sys.base_prefix else {}),
        **({str(root): "{torch-environment}"} if str(root) not in ("/usr", "/usr/local") else {}),
        str(torch_site): "{torch}",
        str(work): "{build}",
        os.path.realpath(work): "{build}",
        os.path.expanduser("~"): "~",
    }
    return {folder: name for folder, name in named.items() if len(folder) > 1}


def _lasting(plan: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in plan.items() if key not in _OF_THE_HOUR}
    # Which variables were changed; what a user had in them is theirs.
    kept["environment"] = [name for name, _ in plan["environment"]]
    sysroot = kept["sysroot"]["value"]
    if sysroot and sysroot["provider"] == "zig":
        # Whether its package made it just now or it lay in the cache: it is the same.
        made = {**sysroot, "path": "", "found_in": "", "glibc": kept["floor"]["glibc"]}
        kept["sysroot"] = {"value": made, "because": "", "rejected": []}
    if kept["companion"]:
        kept["companion"] = _lasting(kept["companion"])
    return kept


def _named(text: str, places: Mapping[str, str]) -> str:
    # The longest first: a cache lies in a home folder. In JSON a quote and a backslash have one before them.
    for folder in sorted(places, key=len, reverse=True):
        written = json.dumps(folder, ensure_ascii=False)[1:-1]

        def name(found: re.Match[str], name: str = places[folder]) -> str:
            # "-I/src" is that folder, and "/usr/src" is another.
            return found[0] if re.search(r"/[\w.-]+$", found.string[: found.start()]) else name

        text = re.sub(rf"{re.escape(written)}(?![\w.-])", name, text)
    return text
