"""The compile matrix: build the rows of ``matrix.toml`` and record the results.

    python tests/matrix.py list
    python tests/matrix.py run torch2.0-cuda11.8 --python /venv/bin/python [--source MIRRORS] [mamba-ssm==1.0.1 …]
    python tests/matrix.py note torch2.0-cuda11.8 WHEEL … --python /venv/bin/python

Use ``run`` on the machine that has the torch, the toolkit and the compilers; ``--source`` is a folder with git mirrors,
mamba.git and causal-conv1d.git, for a machine without network. ``note`` does the same with a wheel that was built
before. A result is a wheel that passed the audit and was imported with that torch; it goes into matrix-results.json.
Standard library only: it runs under the Python of any environment.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "tests" / "matrix-results.json"


def environments() -> dict[str, dict[str, Any]]:
    """The environments of the matrix by name."""
    try:
        import tomllib
    except ImportError:  # before 3.11, where pip brings one
        from pip._vendor import tomli as tomllib  # type: ignore[import-not-found, no-redef]
    with (ROOT / "tests" / "matrix.toml").open("rb") as file:
        return {item["name"]: item for item in tomllib.load(file)["environment"]}


def results() -> list[dict[str, Any]]:
    """What was seen, the oldest first."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    commands.add_parser("list")
    for name in ("run", "note"):
        command = commands.add_parser(name)
        command.add_argument("environment", choices=list(environments()))
        command.add_argument("what", nargs="*", help="PROJECT==VERSION, or wheels to note (default: all)")
        command.add_argument("--python", default=sys.executable, help="the Python that has the torch")
        command.add_argument("--source", help="a folder of git mirrors")
        command.add_argument("--results", type=Path, default=RESULTS)
        command.add_argument("--commit", help="of the backend that built the wheels (default: this checkout's)")
    options = parser.parse_args()
    if options.command == "list":
        for item in environments().values():
            print(
                f"{item['name']}: torch {item['torch']}, Python {item['python']}, nvcc {item['nvcc']}: {item['where']}"
            )
            for build in item["builds"]:
                print(f"    {build['what']}" + (f" with {build['gxx']}" if "gxx" in build else ""))
        return 0
    return run(options) if options.command == "run" else note(options)


def run(options: argparse.Namespace) -> int:
    environment = environments()[options.environment]
    failed = []
    for build in environment["builds"]:
        if options.what and build["what"] not in options.what:
            continue
        with tempfile.TemporaryDirectory() as folder:
            start = time.monotonic()
            command = [options.python, "-m", "mamba_build_backend", "build", build["what"], "-w", folder]
            # With abi=stable the version of torch would not matter.
            command += ["-C", f"arch={environment['arch']}", "-C", "abi=torch"]
            command += ["-C", f"host-compiler={build['gxx']}"] if "gxx" in build else []
            command += ["-C", f"cuda-home={environment['cuda-home']}"] if "cuda-home" in environment else []
            command += ["-C", f"source={options.source}"] if options.source and build.get("git") else []
            print("+", *command, flush=True)
            status = subprocess.run(command, cwd=ROOT, check=False).returncode
            wheels = list(Path(folder).glob("*.whl"))
            if status or len(wheels) != 1:
                failed.append(build["what"])
                continue
            keep(options, check(wheels[0], options, seconds=round(time.monotonic() - start)))
    print("failed:", *failed or ["nothing"])
    return 1 if failed else 0


def note(options: argparse.Namespace) -> int:
    for wheel in options.what:
        keep(options, check(Path(wheel), options))
    return 0


def check(wheel: Path, options: argparse.Namespace, *, seconds: int | None = None) -> dict[str, Any]:
    """Audit and import a wheel; what the build and the two said."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("mamba-build-record.json"))
        record = json.loads(archive.read(name))
    sources = [record["upstream"], *record["companions"]]
    for key in ("torch", "nvcc"):
        used = record["torch" if key == "torch" else "toolkit"]["version"]
        asked = environments()[options.environment][key]
        if used != asked:
            sys.exit(f"{wheel.name} was built with {key} {used}, and {options.environment} is {asked}")
    # The audit of the build is done again on the finished file, by the command that a user has.
    with tempfile.TemporaryDirectory() as folder:
        python = overlay(options.python, Path(folder))
        pip = [python, "-m", "pip", "install", "-q", "--no-input"]
        subprocess.run([*pip, "packaging", "platformdirs", wheel], check=True, cwd=folder)
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        # The record no longer holds the folder of that torch.
        code = "import importlib.util as u, os; print(os.path.dirname(os.path.dirname(u.find_spec('torch').origin)))"
        said = subprocess.run([options.python, "-c", code], capture_output=True, text=True, check=True).stdout
        audit = [python, "-m", "mamba_build_backend", "audit", "--json", wheel, "--torch", said.strip()]
        said = json.loads(
            subprocess.run(audit, cwd=folder, env=env, capture_output=True, text=True, check=False).stdout
        )
        packages = [name for item in sources for name in item["packages"]]
        extensions = [name for item in sources for name in item["extensions"]]
        imported = imports(python, [*packages, *extensions])
        # Triton 3.1 and 3.2 ask for a GPU where a kernel is declared, so at the import of the package.
        if "0 active drivers" in imported:
            imported = imports(python, extensions).replace("ok", "ok (the extension; Triton asks for a GPU)")
    return {
        "environment": options.environment,
        "what": f"{sources[0]['name']}=={sources[0]['version']}",
        "date": time.strftime("%Y-%m-%d"),
        "commit": options.commit or commit(),
        "torch": record["torch"]["version"],
        "python": record["python"],
        "nvcc": record["toolkit"]["version"],
        "gxx": record["compiler"]["version"],
        "standard": record["torch"]["cxx_standard"],
        "patches": [item["file"] for item in record["upstream"]["patches"]],
        "wheel": wheel.name,
        "size": wheel.stat().st_size,
        "seconds": seconds,
        "nvcc-append-flags": os.environ.get("NVCC_APPEND_FLAGS", ""),
        "floor": record["floor"]["measured"],
        "audit": "ok" if said.get("ok") else "; ".join(item["found"] for item in said.get("problems", [])),
        "import": imported,
    }


def imports(python: Path, modules: list[str]) -> str:
    """``ok``, or the last line of what an import says."""
    command = [python, "-c", "import torch, " + ", ".join(modules)]
    done = subprocess.run(command, cwd=python.parent, capture_output=True, text=True, check=False)
    return "ok" if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def overlay(python: str, folder: Path) -> Path:
    """A virtual environment that sees the packages of another one without installing them again."""
    subprocess.run([python, "-m", "venv", folder / "v"], check=True)
    mine = folder / "v" / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    here, there = (
        Path(subprocess.run([item, "-c", where], capture_output=True, text=True, check=True).stdout.strip())
        for item in (mine, python)
    )
    (here / "beside.pth").write_text(f"{there}\n", encoding="utf-8")
    return mine


def commit() -> str:
    """The checkout's commit, short."""
    command = ["git", "-C", ROOT, "-c", "safe.directory=*", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def keep(options: argparse.Namespace, result: dict[str, Any]) -> None:
    """Add a result, in place of an older one of the same."""
    path = options.results
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    key = (result["environment"], result["what"])
    known = [item for item in known if (item["environment"], item["what"]) != key]
    path.write_text(json.dumps([*known, result], indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    sys.exit(main())
