"""The same wheels with every torch: installed, imported, called. ``torches.json`` has the results, for the docs.

    python tests/stable/torches.py mamba.whl conv.whl [--only 2.6 …] [--python 3.10=/usr/bin/python3.10 …]

The wheels have abi=stable: mamba-ssm, and causal-conv1d where its Python code works (torch 2.4, Python 3.10). Each
torch gets a new environment, with the transformers that the tables name for it; uv installs the wheels, and pip prints
what it would install. Neither may touch torch, Triton or a package of NVIDIA. Then the script runs ``python -m
mamba_ssm_portable``, the calls of ``calls.py``, of both modules everywhere, and ``views.py`` with each way of reading
tensors. Needs uv, g++, an environment with torch for CUDA (its headers), a network, and 16 GB of disk; one torch takes
two minutes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent.parent), str(HERE.parent)]

from support import compile_binding, python_of_version  # noqa: E402

from mamba_build_backend.core._compat import version  # noqa: E402
from mamba_build_backend.tables import load_tables  # noqa: E402

RESULTS = HERE / "torches.json"
ROWS = (
    ("2.0.1", "3.9"), ("2.0.1", "3.11"), ("2.1.2", "3.9"), ("2.1.2", "3.11"), ("2.2.2", "3.9"), ("2.2.2", "3.12"),
    ("2.3.1", "3.9"), ("2.3.1", "3.12"), ("2.4.1", "3.9"), ("2.4.1", "3.12"), ("2.5.1", "3.9"), ("2.5.1", "3.13"),
    ("2.6.0", "3.9"), ("2.6.0", "3.13"), ("2.7.1", "3.9"), ("2.7.1", "3.13"), ("2.8.0", "3.9"), ("2.8.0", "3.13"),
    ("2.9.1", "3.10"), ("2.9.1", "3.13"), ("2.10.0", "3.10"), ("2.10.0", "3.13"),
    ("2.11.0", "3.10"), ("2.11.0", "3.11"), ("2.11.0", "3.12"), ("2.11.0", "3.13"), ("2.12.*", "3.10"), ("2.12.*", "3.13"),
    ("2.13.*", "3.10"), ("2.13.*", "3.13"), ("2.14.*", "3.10"), ("2.14.*", "3.13"), ("2.15.*", "3.11"), ("2.15.*", "3.13"),
)  # fmt: skip
"""torch and Python: PyPI's build of each minor version since 2.0, with its oldest and newest Python of 3.9 to 3.13; for
2.11, all of them."""
OURS = ("torch", "triton", "nvidia-")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mamba", type=Path)
    parser.add_argument("conv", type=Path)
    parser.add_argument("--only", nargs="*", default=[], help="minor versions of torch")
    options = parser.parse_args()
    done = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"] if RESULTS.exists() else []
    order = {pair: number for number, pair in enumerate(ROWS)}
    with tempfile.TemporaryDirectory(prefix="mamba-views-") as views:
        library, site = Path(views) / "view_binding.abi3.so", Path(sysconfig.get_path("purelib"))
        compile_binding("g++", site, library, [HERE / "view_binding.cpp"])
        for torch, pairs in itertools.groupby(ROWS, key=lambda pair: pair[0]):
            minor = ".".join(torch.split(".")[:2])
            if options.only and minor not in options.only:
                continue
            # One cache for each torch: some torches fill 80 GB.
            with tempfile.TemporaryDirectory(prefix="mamba-torches-") as cache:
                for _, python in pairs:
                    start = time.monotonic()
                    with tempfile.TemporaryDirectory(prefix="venv-", dir=cache) as folder:
                        env = {**clean(), "UV_CACHE_DIR": f"{cache}/uv"}
                        row = tried(Path(folder), env, torch, python, minor, options.mamba, options.conv, library)
                    print(f"{time.monotonic() - start:.0f} s", json.dumps(row), flush=True)
                    done = [item for item in done if (item["asked"], item["python"]) != (torch, python)] + [row]
                    done.sort(key=lambda item: order.get((item["asked"], item["python"]), len(ROWS)))
                    text = json.dumps({"wheels": [options.mamba.name, options.conv.name], "rows": done}, indent=1)
                    RESULTS.write_text(text + "\n", encoding="utf-8")
    return 0


def tried(
    folder: Path, env: dict[str, str], torch: str, python: str, minor: str, mamba: Path, conv: Path, library: Path
) -> dict[str, Any]:
    """What one environment says of the wheels, and of the binding of ``views.py``."""
    uv = shutil.which("uv") or "uv"
    run([uv, "venv", "-q", "--seed", "--python", python_of_version(python), folder / "venv"], env, folder)
    inside = folder / "venv" / "bin" / "python"
    known = load_tables().torch_row(minor)
    wanted = [
        f"torch=={torch}",
        f"numpy{known.numpy}",
        *([f"transformers{known.transformers}"] if known.transformers else []),
    ]
    run([uv, "pip", "install", "-q", "--python", inside, *wanted], env, folder)
    before = installed(uv, inside, env, folder)
    wheels = [mamba]
    if version.Version(minor) >= version.Version("2.4") and version.Version(python) >= version.Version("3.10"):
        wheels.append(conv)
    report = folder / "report.json"
    pip = [
        inside,
        "-m",
        "pip",
        "install",
        "-q",
        "--dry-run",
        "--report",
        report,
        "--disable-pip-version-check",
        *wheels,
    ]
    run(pip, env, folder)
    pips = [item["metadata"]["name"].lower() for item in json.loads(report.read_text(encoding="utf-8"))["install"]]
    run([uv, "pip", "install", "-q", "--python", inside, *wheels], env, folder)
    after = installed(uv, inside, env, folder)
    changed = [name for name in after if name.startswith(OURS) and after[name] != before.get(name)]
    rows = {}
    packages = ["mamba_ssm_portable", *(["causal_conv1d_portable"] if len(wheels) == 2 else [])]
    for package in packages:
        said = run([inside, "-m", package, "--json"], env, folder, check=False).stdout
        rows.update(
            {item["check"]: item for item in json.loads(said)["rows"]} if said else {package: {"state": "failed"}}
        )
    return {
        "asked": torch,
        "python": python,
        "torch": local_version(inside, env, folder),
        "triton": after.get("triton", ""),
        "transformers": after.get("transformers", ""),
        "checks": {name: item["state"] for name, item in rows.items()},
        "failed": {name: item.get("found", "") for name, item in rows.items() if item["state"] == "failed"},
        "mamba3": mamba3(inside, env, folder),
        "changed by uv": sorted(changed),
        "changed by pip": sorted(name for name in pips if name.startswith(OURS)),
        "calls": calls(inside, conv, env, folder),
        "views": views(inside, library, env, folder),
    }


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}


def run(
    command: list[Any], env: dict[str, str], folder: Path, *, check: bool = True
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(part) for part in command], env=env, cwd=folder, capture_output=True, text=True, check=False
    )
    if check and done.returncode:
        raise RuntimeError(f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done


def installed(uv: str, python: Path, env: dict[str, str], folder: Path) -> dict[str, str]:
    said = run([uv, "pip", "list", "-q", "--python", python, "--format", "json"], env, folder).stdout
    return {item["name"].lower(): item["version"] for item in json.loads(said)}


def local_version(python: Path, env: dict[str, str], folder: Path) -> str:
    return run([python, "-c", "import torch; print(torch.__version__)"], env, folder).stdout.strip()


def mamba3(python: Path, env: dict[str, str], folder: Path) -> str:
    """Whether Mamba-3 was imported with the package, or the first line of what it says at use."""
    code = "from mamba_ssm import Mamba3; import inspect; print('imports' if inspect.isclass(Mamba3) else 'says')"
    done = run([python, "-c", code], env, folder, check=False)
    return done.stdout.strip() or (done.stderr.strip().splitlines() or [""])[-1]


def calls(python: Path, conv: Path, env: dict[str, str], folder: Path) -> str:
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    # Its Python is for fewer torches; the extension is compared under all.
    with zipfile.ZipFile(conv) as archive:
        for name in archive.namelist():
            if name.startswith("causal_conv1d_cuda"):
                archive.extract(name, site)
    done = run([python, HERE / "calls.py", "check", site], env, folder, check=False)
    return (done.stdout.strip().splitlines() or [done.stderr.strip()[-200:]])[-1]


def views(python: Path, library: Path, env: dict[str, str], folder: Path) -> str:
    """``alike``, if the binding reads what Python says in each of the three ways, as far as this torch has them."""
    for way in ("table", "aoti", "methods"):
        env = {**env, "MAMBA_STABLE_READING": way}
        done = run([python, HERE / "views.py", library.parent], env, folder, check=False)
        if done.returncode:
            return f"{way}: {(done.stdout.strip() or done.stderr.strip())[-400:]}"
    return "alike"


if __name__ == "__main__":
    sys.exit(main())
