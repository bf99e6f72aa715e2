"""What a release is made of, from plan.toml: ``python release/plan.py wheels|linux|environments`` prints a line for a strategy's matrix."""

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
"""Each wheel is built twice, on two machines, and both must be the same bytes."""
VERSION = __version__
"""The tool's, and so the release's."""


@dataclass(frozen=True)
class Wheel:
    """A wheel of one upstream version; ``build`` is the number of this packaging."""

    project: str
    version: str
    build: int

    @property
    def distribution(self) -> str:
        """The name that it is installed by."""
        return f"{self.project}-portable"

    @property
    def stem(self) -> str:
        """How its file name begins."""
        return f"{self.distribution.replace('-', '_')}-{self.version}-{self.build}-"

    @property
    def sdist(self) -> str:
        """The file name of the sdist of this version, which has no builds."""
        return f"{self.distribution.replace('-', '_')}-{self.version}.tar.gz"


@dataclass(frozen=True)
class Linux:
    """A system on which the wheels' extension modules must load."""

    image: str
    python: str


@dataclass(frozen=True)
class Environment:
    """A fresh environment into which the wheels are installed; ``torch`` is empty where none is there."""

    torch: str
    python: str


@dataclass(frozen=True)
class Plan:
    """The file."""

    limits: dict[str, float]
    """MB for ``wheel``, ``sdist`` and ``tool``."""
    settings: dict[str, str]
    wheels: tuple[Wheel, ...]
    machines: dict[str, str]
    """GitHub's runner for each."""
    linux: tuple[Linux, ...]
    environments: tuple[Environment, ...]


def load(path: Path = HERE / "plan.toml") -> Plan:
    """Read it. Raises SystemExit for a file that says less or more than this, or the same wheel twice."""
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
        raise SystemExit(f"{path}: {twice} stands there twice: a version has one build at a time")
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
    """Print the matrix that was asked for."""
    words = ("wheels", "linux", "environments")
    if len(sys.argv) != 2 or sys.argv[1] not in words:
        print(f"usage: python release/plan.py {'|'.join(words)}", file=sys.stderr)
        return 2
    print(f"{sys.argv[1]}={json.dumps(matrix(sys.argv[1], load()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
