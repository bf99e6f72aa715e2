"""Proves wheels on a GPU: builds mamba-ssm and causal-conv1d, and runs upstream's own tests against them.

    python tests/gpu/pair.py build OUT --source SOURCES [--links WHEELS] [--plain] mamba-ssm==2.3.0 causal-conv1d==1.6.1 …
    python tests/gpu/pair.py test OUT --tests TESTS [--against plain] mamba-ssm==2.3.0 causal-conv1d==1.6.1

SOURCES: a folder of upstream's archives. WHEELS: the build tools, for a machine without network. TESTS: the ``tests``
folders of upstream's tags, as <project>-<version>. The builds run side by side, for compute capability 9.0, with this
machine's glibc (``repair=false``), since the wheels stay here; --plain also builds the same archives with upstream's
own setup.py, cut to the same capability and otherwise unchanged. ``test`` runs the tests of all named projects,
installed together, and with --against plain prints those that pass only on the plain build.

Runs under the Python that has the torch; needs nvcc, and pytest and pytest-xdist among WHEELS or installed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SITE = sysconfig.get_path("purelib")
TOOLS = [
    "setuptools",
    "wheel",
    "ninja",
    "platformdirs",
    "packaging",
    "pyproject-metadata",
]
TESTED_WITH = ["einops", "pytest", "pytest-xdist", "transformers<5"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    build_, test_ = commands.add_parser("build"), commands.add_parser("test")
    for command in (build_, test_):
        command.add_argument("out", type=Path)
        command.add_argument("projects", nargs="+", metavar="PROJECT==VERSION")
        command.add_argument("--links", type=Path, help="a folder of wheels to install the tools from")
    build_.add_argument("--source", type=Path, required=True)
    build_.add_argument("--plain", action="store_true", help="upstream's own build of the same, too")
    build_.add_argument("--jobs", type=int, default=4, help="compilers at once, for each project")
    build_.add_argument("--setting", action="append", default=[], metavar="KEY=VALUE")
    test_.add_argument("--tests", type=Path, required=True)
    test_.add_argument("--against", choices=["plain"])
    test_.add_argument("--workers", type=int, default=8)
    options = parser.parse_args()
    options.out = options.out.absolute()
    options.out.mkdir(parents=True, exist_ok=True)
    python = environment(options)
    return build(options, python) if options.command == "build" else test(options, python)


def environment(options: argparse.Namespace) -> Path:
    """A virtual environment with the tools, that sees this Python's packages."""
    folder = options.out / "venv"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        (next(folder.glob("lib/python*/site-packages")) / "beside.pth").write_text(f"{SITE}\n", encoding="utf-8")
        links = ["--no-index", "--find-links", options.links] if options.links else []
        subprocess.run([python, "-m", "pip", "install", "-q", *links, *TOOLS, *TESTED_WITH], check=True)
    return python


def build(options: argparse.Namespace, python: Path) -> int:
    """Start all builds, wait for all, and say of each how it went."""
    running = []
    start = time.monotonic()
    for project in options.projects:
        command = [
            python,
            "-m",
            "mamba_build_backend",
            "build",
            project,
            "--no-isolation",
            "-w",
            options.out / "wheels",
        ]
        settings = [
            "repair=false",
            "arch=9.0",
            f"source={options.source.absolute()}",
            f"torch={SITE}",
            f"jobs={options.jobs}",
        ]
        for setting in [*settings, *options.setting]:
            command += ["-C", setting]
        running.append((project, started(command, ROOT, options.out / f"build-{project}.log", os.environ)))
        if options.plain:
            tree = plain_tree(options, project)
            command = [
                python,
                "-m",
                "pip",
                "wheel",
                "-v",
                "--no-deps",
                "--no-build-isolation",
                "-w",
                options.out / "plain",
                tree,
            ]
            env = {
                **os.environ,
                "MAMBA_FORCE_BUILD": "TRUE",
                "CAUSAL_CONV1D_FORCE_BUILD": "TRUE",
                "MAX_JOBS": str(options.jobs),
            }
            running.append((f"plain {project}", started(command, tree, options.out / f"plain-{project}.log", env)))
    failed = 0
    while running:
        for item in list(running):
            project, child = item
            if child.poll() is not None:
                running.remove(item)
                failed += bool(child.returncode)
                print(f"{project}: exit code {child.returncode} after {time.monotonic() - start:.0f} s", flush=True)
        time.sleep(0.5)
    return 1 if failed else 0


def started(
    command: list[object], cwd: Path, log: Path, env: dict[str, str] | os._Environ[str]
) -> subprocess.Popen[bytes]:
    clean = {key: value for key, value in env.items() if key != "TORCH_CUDA_ARCH_LIST"}
    with log.open("wb") as file:
        return subprocess.Popen([str(part) for part in command], cwd=cwd, env=clean, stdout=file, stderr=file)


def plain_tree(options: argparse.Namespace, project: str) -> Path:
    """Upstream's archive, unpacked; its list of architectures cut to one, to save time."""
    name, _, version = project.partition("==")
    folder = options.out / "plain-source"
    folder.mkdir(exist_ok=True)
    base = f"{name.replace('-', '_')}-{version}"
    with tarfile.open(options.source / f"{base}.tar.gz") as tar:
        tar.extractall(folder, filter="data")
    path = folder / base / "setup.py"
    text = path.read_text(encoding="utf-8")
    for arch in (53, 62, 70, 72, 75, 80, 87, 100, 103, 110, 120, 121):
        flag = rf'\n *cc_flag.append\("-gencode"\)\n *cc_flag.append\("arch=compute_{arch},code=sm_{arch}"\)'
        text = re.sub(flag, "\n            pass", text)
    path.write_text(text, encoding="utf-8")
    return folder / base


def test(options: argparse.Namespace, python: Path) -> int:
    """Run the tests against ours and, where asked, the plain build."""
    passed = {}
    for kind in ["wheels", *([options.against] if options.against else [])]:
        site = options.out / f"site-{kind}-{'+'.join(options.projects)}"
        shutil.rmtree(site, ignore_errors=True)
        wheels = [wheel_of(options.out / kind, project) for project in options.projects]
        subprocess.run(
            [python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--target", site, *wheels], check=True
        )
        env = {**os.environ, "PYTHONPATH": str(site), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        if kind == "wheels":
            for module in sorted(site.glob("*_portable")):
                print(f"== python -m {module.name}", flush=True)
                subprocess.run([python, "-m", module.name], cwd=options.out, env=env, check=False)
        passed[kind] = set()
        for project in options.projects:
            folder = options.tests.absolute() / project.replace("==", "-")
            log = options.out / f"test-{kind}-{project}.log"
            # Neither this project's settings nor other people's plugins decide upstream's tests.
            command = [python, "-m", "pytest", "-c", os.devnull, "-p", "xdist.plugin", "-p", "no:cacheprovider"]
            command += ["-q", "-rA", "-n", str(options.workers), folder]
            start = time.monotonic()
            with log.open("wb") as file:
                subprocess.run(
                    [str(part) for part in command], cwd=options.out, env=env, stdout=file, stderr=file, check=False
                )
            text = log.read_text(encoding="utf-8", errors="replace")
            passed[kind] |= set(re.findall(r"^PASSED (\S+)", text, re.MULTILINE))
            print(f"{kind}: {project}: {text.strip().splitlines()[-1]} [{time.monotonic() - start:.0f} s]", flush=True)
            for line in sorted(set(re.findall(r"^(?:FAILED|ERROR) .*", text, re.MULTILINE)))[:12]:
                print(f"    {line[:220]}", flush=True)
    lost = passed.get("plain", set()) - passed["wheels"]
    if options.against:
        print(
            f"{len(lost)} lost: {len(passed['plain'])} pass on the plain build, {len(passed['wheels'])} on ours",
            *sorted(lost),
            sep="\n    ",
        )
    return 1 if lost or not all(passed.values()) else 0


def wheel_of(folder: Path, project: str) -> Path:
    name, _, version = project.partition("==")
    pattern = rf"{name.replace('-', '_')}(_portable)?-{re.escape(version)}-"
    return next(path for path in sorted(folder.glob("*.whl")) if re.match(pattern, path.name))


if __name__ == "__main__":
    sys.exit(main())
