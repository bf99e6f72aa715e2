"""Run the checks and the tests: ``python tests/run.py`` runs all, ``python tests/run.py fast`` those of a minute.

``fast`` checks style, prose, types, imports and the site, and runs the unit tests, in an environment without torch.
``all`` does that first, and then runs the integration and the end-to-end tests in an environment with torch.
``integration`` and ``e2e`` run one tier. Environments are kept in the user's cache folder. Standard library only. Extra
arguments go to pytest.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TORCH = "torch==2.11.0"
ROOM = 20e9  # bytes: two environments with a torch of their own (5.4 GB each), the archives, the builds
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
NOTHING_SELECTED = 5  # pytest's exit code
TIERS = {"fast": ("fast",), "integration": ("integration",), "e2e": ("e2e",), "all": ("fast", "integration", "e2e")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tier", nargs="?", choices=TIERS, default="all")
    parser.add_argument(
        "--keep-objects",
        action="store_true",
        help="use what earlier runs compiled (default: each run compiles all itself)",
    )
    options, rest = parser.parse_known_args()
    if options.tier != "fast" and (free := shutil.disk_usage(tempfile.gettempdir()).free) < ROOM:
        print(
            f"there are {free / 1e9:.0f} GB free below {tempfile.gettempdir()}, and the end-to-end tests, some with a "
            f"torch of their own, need {ROOM / 1e9:.0f} GB: make room, or set TMPDIR to a larger disk",
            file=sys.stderr,
        )
        return 1
    rest += [] if options.tier == "fast" else ["--no-skips"]
    with tempfile.TemporaryDirectory(prefix="mamba-objects-") as objects:
        rest += [] if options.keep_objects else [f"--objects={objects}"]
        for tier in TIERS[options.tier]:
            start = time.monotonic()
            python = environment(with_torch=tier != "fast")
            made = time.monotonic()
            print(f"# {tier}: its environment took {made - start:.0f} s", flush=True)
            if status := (checks(python) if tier == "fast" else 0) or tests(tier, python, rest):
                return status
    return 0


def checks(python: Path) -> int:
    """Style, prose, types, the order of imports, the site, in parallel. Gives the first exit status that is not 0."""
    with tempfile.TemporaryDirectory(prefix="mamba-docs-") as site:
        commands = [
            [python, "-m", "ruff", "check", "."],
            [python, "-m", "ruff", "format", "--check", "."],
            # With a cache each: two that write one at once end in an internal error now and then.
            [python, "-m", "mypy", "--cache-dir", ".mypy_cache/backend"],
            [python, "-m", "mypy", "--cache-dir", ".mypy_cache/tests", "--config-file", "tests/mypy.ini"],
            [python.parent / "lint-imports", "--no-logo", "--no-cache"],
            [python, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", site],
            [python, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS],
            [python.parent / "zizmor", "--offline", "--quiet", ".github"],
            *([[python, "tests/prose.py"]] if sys.version_info >= (3, 10) else []),  # proselint needs 3.10
            # What a test imports while it is collected, torch for one, would end every run that has none.
            [python, "-m", "pytest", "--collect-only", "-qq", "tests/integration", "tests/e2e"],
        ]

        def run(command: list[object]) -> int:
            done = subprocess.run(
                command, cwd=ROOT, env=variables(python), check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True,
            )  # fmt: skip
            words = "" if done.returncode == 0 and "--collect-only" in command else done.stdout
            print("+", *command, f"\n{words}".rstrip(), flush=True)
            return done.returncode

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return next((status for status in list(pool.map(run, commands)) if status), 0)


def tests(tier: str, python: Path, rest: list[str]) -> int:
    """Run the tests of a tier. Builds of e2e use all cores, the rest of e2e one, so two files share the machine."""
    parallel = ["-n", "2", "--dist", "loadfile"] if tier == "e2e" else ["-n", "auto", "--dist", "loadgroup"]
    # Files that are named are run in place of the whole tier.
    named = any((ROOT / word.partition("::")[0]).exists() for word in rest if not word.startswith("-"))
    folder = [] if named else [f"tests/{'unit' if tier == 'fast' else tier}"]
    command = [python, "-m", "pytest", *folder, *parallel, *rest]
    print("+", *command, flush=True)
    status = subprocess.run(command, cwd=ROOT, env=variables(python), check=False).returncode
    return 0 if rest and status == NOTHING_SELECTED else status


def variables(python: Path) -> dict[str, str]:
    """The variables of the tests' processes: nothing that a developer has set may decide a test."""
    env = {**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}", "NO_MKDOCS_2_WARNING": "1"}
    for name in list(env):
        if name.startswith(("MAMBA_", "PYTHON")) or name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
            del env[name]
    return env


def environment(*, with_torch: bool) -> Path:
    """The Python of the test environment, made or completed where needed."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mamba-ssm-portable-tests"
    # Only the installed packages count, not the rest of the file. Not every Python that may run this has tomllib.
    groups = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("\n[dependency-groups]")[2]
    installed = groups.partition("\n[")[0] + TORCH + sys.version
    key = hashlib.sha256(installed.encode()).hexdigest()[:12]
    folder = cache / f"{'all' if with_torch else 'fast'}-{sys.version_info.major}.{sys.version_info.minor}-{key}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        # Made for what this file asked for once; with a torch in it, each fills 5 GB.
        for stale in cache.glob(folder.name.removesuffix(key) + "*"):
            print(f"removing {stale}, which is out of date", flush=True)
            shutil.rmtree(stale)
        print(f"making a test environment in {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        group = ["--group", f"{ROOT / 'pyproject.toml'}:test"]
        subprocess.run([*pip, "uv>=0.5"], check=True)
        # uv takes a fifth of pip's time, but does not read pip's configuration: pip handles an index that only pip
        # knows. Each build of a test starts three Pythons that import torch: 5 s from source, 2 s from bytecode.
        wanted = ["pip>=25.1", *group, *([TORCH] if with_torch else [])]
        if subprocess.run(
            [folder / "bin" / "uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", python, *wanted],
            check=False,
        ).returncode:
            print("uv could not; pip does it", flush=True)
            subprocess.run([*pip, "--upgrade", "pip>=25.1"], check=True)
            subprocess.run([*pip, *wanted], check=True)
        (folder / "complete").touch()
    return python


if __name__ == "__main__":
    sys.exit(main())
