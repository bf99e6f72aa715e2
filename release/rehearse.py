"""Rehearse the whole release on this machine, with a local index; uploads nothing.

    python release/rehearse.py                                  # everything: each wheel takes minutes
    python release/rehearse.py --wheels ready --environment /venv/lib/python3.11/site-packages:3.11

Runs the steps of the release workflow with the same scripts: lints the workflows; makes the distributions twice and
compares the bytes; makes the wheels, or takes them from a folder and gives them the plan's build number; checks all
files against the plan; installs the wheels with pip and uv into fresh environments, and the tool with uvx; imports the
wheels in containers, if Docker or Podman answers; makes the notes and the site. Needs the packages of the dependency
group `test`, and npm for the site.
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
    """Time a part of the rehearsal for the table at the end."""
    print(f"\n## {title}", flush=True)
    start = time.monotonic()
    yield
    times.append((title, time.monotonic() - start))


def script(name: str, *words: object) -> None:
    """Run a script of this folder."""
    step(sys.executable, SCRIPTS / name, *words)


def lint_workflows() -> None:
    """Lint the workflows, as the checks of every change do."""
    files = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    step(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", *files)
    step(Path(sys.executable).with_name("zizmor"), "--offline", "--quiet", ROOT / ".github")


def take_wheels(ready: Path, dist: Path, plan: Plan) -> None:
    """Copy ready wheels, with the plan's names."""
    for wheel in plan.wheels:
        name = wheel.distribution.replace("-", "_")
        found = sorted(ready.rglob(f"{name}-{wheel.version}-*abi3*.whl"))
        if len(found) != 1:
            raise fail(
                f"{ready} contains {len(found)} wheels of {wheel.distribution} {wheel.version} for every torch, not 1"
            )
        _give_build(found[0], wheel, dist)


def _give_build(made: Path, wheel: Wheel, dist: Path) -> None:
    copied = Path(shutil.copy(made, dist))
    if not copied.name.startswith(wheel.stem):
        step(sys.executable, "-m", "wheel", "tags", "--build", wheel.build, "--remove", copied, quiet=True)
    if not list(dist.glob(f"{wheel.stem}*.whl")):
        raise fail(f"cannot set the build number of {made.name} to {wheel.build}")


def try_tool(dist: Path) -> None:
    """Run the tool from the index with uvx: its version, and an explanation."""
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
    """Run everything, and print the time of each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--wheels", type=Path, metavar="FOLDER", help="use ready wheels of the plan's versions from this folder"
    )
    parser.add_argument(
        "--environment",
        action="append",
        metavar="TORCH:PYTHON",
        help="use this environment in place of the plan's; may be repeated",
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="keep the files for the upload in this folder")
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
        with timed("checked against the plan", times):
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
