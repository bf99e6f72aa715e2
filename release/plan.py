"""The content of a release, from plan.toml: ``python release/plan.py wheels|linux|environments`` prints a line for a matrix."""

from __future__ import annotations

import json
import sys
import tomllib
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from mamba_build_backend._version import __version__  # noqa: E402

TOOL = "mamba-build-backend"
ROUNDS = (1, 2)
"""Each wheel is built twice, on two machines, and both builds must be byte-identical."""
VERSION = __version__
"""The version of the tool and of the release."""


@dataclass(frozen=True)
class Wheel:
    """A wheel of one upstream version; ``build`` is the number of this packaging."""

    project: str
    version: str
    build: int

    @property
    def distribution(self) -> str:
        """The name for installers."""
        return f"{self.project}-portable"

    @property
    def stem(self) -> str:
        """The beginning of its file name."""
        return f"{self.distribution.replace('-', '_')}-{self.version}-{self.build}-"

    @property
    def sdist(self) -> str:
        """The file name of this version's sdist, which has no build number."""
        return f"{self.distribution.replace('-', '_')}-{self.version}.tar.gz"


@dataclass(frozen=True)
class Linux:
    """A system on which the wheels' extension modules must load."""

    image: str
    python: str


@dataclass(frozen=True)
class Environment:
    """A fresh environment for installing the wheels; ``torch`` is empty for none."""

    torch: str
    python: str


@dataclass(frozen=True)
class Plan:
    """The content of plan.toml."""

    limits: dict[str, float]
    """MB for ``wheel``, ``sdist`` and ``tool``."""
    settings: dict[str, str]
    wheels: tuple[Wheel, ...]
    machines: dict[str, str]
    """The GitHub runner for each machine."""
    linux: tuple[Linux, ...]
    environments: tuple[Environment, ...]


def load(path: Path = HERE / "plan.toml") -> Plan:
    """Read the plan. Raises SystemExit if keys are missing or unknown, or a wheel occurs twice."""
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    try:
        plan = Plan(
            limits={name: float(data["limits"][name]) for name in ("wheel", "sdist", "tool")},
            settings={key: str(value) for key, value in data["settings"].items()},
            wheels=tuple(Wheel(**row) for row in data["wheel"]),
            machines={row["name"]: row["runner"] for row in data["machine"]},
            linux=tuple(Linux(**row) for row in data["linux"]),
            environments=tuple(Environment(**row) for row in data["environment"]),
        )
    except (KeyError, TypeError) as error:
        raise SystemExit(f"{path}: {error}") from None
    named = [(item.project, item.version) for item in plan.wheels]
    if twice := {item for item in named if named.count(item) > 1}:
        raise SystemExit(f"{path}: {twice} occurs twice: a version has one build at a time")
    return plan


def matrix(what: str, plan: Plan) -> dict[str, Any]:
    """The value of ``strategy.matrix`` for the jobs that build wheels, try them on a Linux, or in an environment."""
    if what == "wheels":
        cells = [
            {"project": item.project, "machine": name, "runner": runner, "round": number}
            for item, (name, runner), number in product(plan.wheels, plan.machines.items(), ROUNDS)
        ]
        return {"include": cells}
    return {"include": [asdict(item) for item in (plan.linux if what == "linux" else plan.environments)]}


def main() -> int:
    """Print the requested matrix."""
    words = ("wheels", "linux", "environments")
    if len(sys.argv) != 2 or sys.argv[1] not in words:
        print(f"usage: python release/plan.py {'|'.join(words)}", file=sys.stderr)
        return 2
    print(f"{sys.argv[1]}={json.dumps(matrix(sys.argv[1], load()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
