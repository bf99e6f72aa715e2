"""Install the wheels of a folder into a fresh environment, as from an index, and import them.

    python release/install_check.py dist --torch 2.11.0 --python 3.11
    python release/install_check.py dist --torch /venv/lib/python3.11/site-packages --python 3.11 --by uv

A local index serves the folder, in addition to the configured index of pip or uv. The environment has torch, and no
compiler on its PATH. The installer must use the wheels, build nothing and change no installed package. Prints the
seconds from the command to the end of the first import.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping
from email.parser import HeaderParser
from pathlib import Path

import local_index
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from plan import load
from steps import fail, step, variables

from mamba_build_backend.tables import load_tables  # plan.py puts the checkout on the path

_INSTALLED = """\
import json, re
from importlib import metadata
names = {re.sub("[-_.]+", "-", item.metadata["Name"]).lower(): item.version for item in metadata.distributions()}
print(json.dumps(names))
"""

# Triton 3.2 and 3.3 (torch 2.6 and 2.7) ask for a GPU where mamba_ssm declares its kernels; the extension needs none.
_IMPORTS = """\
import importlib, sys
for word in sys.argv[1:]:
    name, *extensions = word.split(",")
    try:
        importlib.import_module(name)
    except RuntimeError as error:
        import torch
        if "active drivers" not in str(error) or torch.cuda.is_available():
            raise
        print(f"{name}: imported without its kernels in Triton, which this Triton does not declare without a GPU ({error})")
        for extension in extensions:
            importlib.import_module(extension)
"""


def environment(folder: Path, torch: str, python: str) -> Path:
    """Make a new environment with pip and this torch; return its Python.

    ``torch`` is a version (with CUDA, from the index), empty for none, or a site-packages folder with torch, whose
    packages are linked into the new environment.
    """
    step(uv(), "venv", "--quiet", "--python", python, folder)
    made = folder / "bin" / "python"
    if os.sep in torch:
        (site,) = folder.glob("lib/python*/site-packages")
        for entry in sorted(Path(torch).iterdir()):
            if not (site / entry.name).exists():
                subprocess.run(["cp", "-as", entry, site], check=True)
        return made
    wanted = []
    if torch:
        # An old torch needs an old NumPy and old transformers: the wheel's guard stops the import otherwise.
        known = load_tables().torch_row(".".join(torch.split(".")[:2]))
        wanted = [f"torch=={torch}", f"numpy{known.numpy}"]
        wanted += [f"transformers{known.transformers}"] if known.transformers else []
    step(uv(), "pip", "install", "--quiet", "--python", made, "pip", *wanted)
    return made


def admits(wheel: Path, python: str) -> bool:
    """Whether the wheel's Requires-Python admits a Python, such as ``3.9``."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        asked = HeaderParser().parsestr(archive.read(name).decode())["Requires-Python"]
    return Version(python) in SpecifierSet(asked or "")


def check(python: Path, by: str, address: str, names: Mapping[str, tuple[str, ...]]) -> float:
    """Install ``names``, each with its package and extensions, from the index at ``address``; return the seconds."""
    before = _installed(python)
    # Compilers must be unreachable: neither PATH nor a variable points to one.
    env = {
        name: value
        for name, value in variables().items()
        if name not in ("CUDA_HOME", "CUDA_PATH", "CC", "CXX", "VIRTUAL_ENV")
    }
    env |= {"PATH": str(python.parent), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    if by == "pip":
        env["PIP_EXTRA_INDEX_URL"] = " ".join(filter(None, [_pips_other_indexes(python), address]))
        command = [python, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off", *names]
    else:
        env["UV_INDEX"] = " ".join(filter(None, [env.get("UV_INDEX", ""), address]))
        command = [uv(), "pip", "install", "--python", python, *names]
    start = time.monotonic()
    said = step(*command, env=env, quiet=True)
    for line in step(python, "-c", _IMPORTS, *map(",".join, names.values()), env=env, quiet=True).splitlines():
        print(line)
    seconds = time.monotonic() - start
    built = [
        line.strip() for line in said.splitlines() if "Building wheel" in line or line.strip().startswith("Building ")
    ]
    if built:
        raise fail(f"something was built: {'; '.join(built)}")
    after = _installed(python)
    if changed := [
        f"{name} {version} became {after.get(name, 'nothing')}"
        for name, version in before.items()
        if after.get(name) != version
    ]:
        raise fail(f"the install changed installed packages: {', '.join(changed)}")
    if absent := [name for name in names if name not in after]:
        raise fail(f"{', '.join(absent)} was not installed")
    return seconds


def _pips_other_indexes(python: Path) -> str:
    """Return the extra indexes of pip's configuration, which PIP_EXTRA_INDEX_URL would otherwise replace."""
    said = step(python, "-m", "pip", "config", "list", quiet=True)
    found = [
        line.partition("=")[2].strip("'\"")
        for line in said.splitlines()
        if line.partition("=")[0].endswith("extra-index-url")
    ]
    return found[-1].replace("\\n", " ") if found else ""


def _installed(python: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads(step(python, "-c", _INSTALLED, quiet=True))
    return found


def uv() -> str:
    """Return the uv next to this Python, or on PATH. Raises SystemExit if there is none."""
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("uv")
    if not found:
        raise fail("uv is not installed: python -m pip install uv")
    return found


def main() -> int:
    """Check one environment, with one installer or both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--torch", required=True, help="a version; empty for none; or a site-packages folder with torch, to link"
    )
    parser.add_argument("--python", required=True, metavar="X.Y")
    parser.add_argument("--by", choices=("pip", "uv", "both"), default="both")
    options = parser.parse_args()
    tables = load_tables()
    modules = {
        item.distribution: (item.project.replace("-", "_"), *tables.versions_of(item.project)[0].project.extensions)
        for item in load().wheels
    }
    found = {name: sorted(options.folder.glob(f"{name.replace('-', '_')}-*.whl")) for name in modules}
    if not any(found.values()):
        raise fail(f"{options.folder} has none of the plan's wheels")
    served = {name: modules[name] for name, wheels in found.items() if wheels and admits(wheels[-1], options.python)}
    for name in found.keys() - served.keys():
        print(f"{name}: not for Python {options.python}, or not in {options.folder}")
    if not served:
        raise fail(f"none of the wheels in {options.folder} is for Python {options.python}")
    with local_index.served(options.folder.absolute()) as address:
        for by in ("pip", "uv") if options.by == "both" else (options.by,):
            with tempfile.TemporaryDirectory(prefix="mamba-install-") as folder:
                python = environment(Path(folder) / "env", options.torch, options.python)
                seconds = check(python, by, address, served)
            what = f"torch {options.torch or 'of the installer'}, Python {options.python}"
            print(f"{by}: {', '.join(served)} beside {what}: {seconds:.1f} s from the command to the import")
    return 0


if __name__ == "__main__":
    sys.exit(main())
