"""The whole release on this machine, against a local index; nothing is uploaded.

    python release/rehearse.py                                  # all of it: the wheels take minutes each
    python release/rehearse.py --wheels ready --environment /venv/lib/python3.11/site-packages:3.11

Its steps are those of the release workflow, by the same scripts: the workflows are linted; the distributions are made twice and must be the same
bytes; the wheels are made, or taken from a folder and given the plan's build number; all is held against the plan; fresh environments take
the wheels by pip and by uv, and the tool by uvx; containers import them, if Docker or Podman is here; the notes and the site are made.
It needs the packages of the dependency group `test`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import local_index
from install_check import uv
from plan import ROOT, TOOL, Plan, Wheel, load
from steps import fail, step, variables

SCRIPTS = ROOT / "release"


@contextmanager
def timed(title: str, times: list[tuple[str, float]]) -> Iterator[None]:
    """A part of the rehearsal, with its time for the table at the end."""
    print(f"\n## {title}", flush=True)
    start = time.monotonic()
    yield
    times.append((title, time.monotonic() - start))


def script(name: str, *words: object) -> None:
    """Run a script of this folder."""
    step(sys.executable, SCRIPTS / name, *words)


def lint_workflows() -> None:
    """As the checks of every change do."""
    files = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    step(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", *files)
    step(Path(sys.executable).with_name("zizmor"), "--offline", "--quiet", ROOT / ".github")


def take_wheels(ready: Path, dist: Path, plan: Plan) -> None:
    """Copy wheels that were made before, under the names that the plan gives them."""
    for wheel in plan.wheels:
        name = wheel.distribution.replace("-", "_")
        found = sorted(ready.rglob(f"{name}-{wheel.version}-*abi3*.whl"))
        if len(found) != 1:
            raise fail(
                f"{ready} holds {len(found)} wheels of {wheel.distribution} {wheel.version} for every torch, and one is needed"
            )
        _give_build(found[0], wheel, dist)


def _give_build(made: Path, wheel: Wheel, dist: Path) -> None:
    copied = Path(shutil.copy(made, dist))
    if not copied.name.startswith(wheel.stem):
        step(sys.executable, "-m", "wheel", "tags", "--build", wheel.build, "--remove", copied, quiet=True)
    if not list(dist.glob(f"{wheel.stem}*.whl")):
        raise fail(f"{made.name} could not be given build {wheel.build}")


def try_tool(dist: Path) -> None:
    """The tool from the index, by uvx: its version, its help, and that it refuses nothing that it should do."""
    with local_index.served(dist) as address:
        env = {**variables(), "UV_INDEX": address, "NO_PROXY": "127.0.0.1"}
        for words in (["--version"], ["explain", "version `GLIBC_2.32' not found"]):
            step(uv(), "tool", "run", "--no-cache", "--python", sys.executable, TOOL, *words, cwd=dist, env=env)


def engine() -> bool:
    """Whether Docker or Podman answers."""
    for name in ("docker", "podman"):
        if shutil.which(name) and subprocess.run([name, "info"], capture_output=True, check=False).returncode == 0:
            return True
    return False


def main() -> int:
    """Do all of it, and say what each part took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--wheels", type=Path, metavar="FOLDER", help="take ready wheels of the plan's versions from there"
    )
    parser.add_argument(
        "--environment",
        action="append",
        metavar="TORCH:PYTHON",
        help="try this one in place of the plan's; may be repeated",
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="keep what would be uploaded")
    options = parser.parse_args()
    plan, times = load(), list[tuple[str, float]]()
    wanted = options.environment or [f"{item.torch}:{item.python}" for item in plan.environments]
    skipped = []
    with tempfile.TemporaryDirectory(prefix="mamba-rehearsal-") as folder:
        dist = (options.out or Path(folder) / "dist").absolute()
        dist.mkdir(parents=True, exist_ok=True)
        with timed("workflows", times):
            lint_workflows()
        with timed("distributions, twice", times):
            script("make_distributions.py", dist)
        with timed("wheels", times):
            if options.wheels:
                take_wheels(options.wheels, dist, plan)
            for wheel in () if options.wheels else plan.wheels:
                script("make_wheel.py", wheel.project, dist)
        with timed("held against the plan", times):
            script("check.py", dist, "--only-this-machine")
        with timed("the tool from the index", times):
            try_tool(dist)
        for item in wanted:
            torch, _, python = item.rpartition(":")
            with timed(f"torch {torch or 'of the installer'}, Python {python}", times):
                script("install_check.py", dist, "--torch", torch, "--python", python)
        if engine():
            for linux in plan.linux:
                with timed(linux.image, times):
                    script("prove.py", dist, "--image", linux.image, "--python", linux.python)
        else:
            skipped.append("the containers: neither Docker nor Podman answers")
        with timed("notes and site", times):
            script("notes.py", "Unreleased")
            script("make_site.py", Path(folder) / "site")
    print("\n## Rehearsed")
    for title, seconds in times:
        print(f"{seconds:7.1f} s  {title}")
    for text in skipped:
        print(f"  not run  {text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
