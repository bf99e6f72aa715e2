"""Put Python and the backend into a built site, for its page "Explain a log": Pyodide from npm, pinned by its hash."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from importlib.metadata import distribution
from pathlib import Path

from plan import ROOT, TOOL
from steps import fail, step

PAGE = "explain"
"""The folder of the page's files in the site."""
_PINNED = ROOT / "release" / "pyodide.toml"
_RUN = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")
_TOLD = ("package.json", "README.md")
"""What names Pyodide's licence and the place of its source."""
_REQUIRED = ("packaging", "platformdirs")
"""What the backend imports. Both are pure Python, and are taken from this environment."""
_TIME = (2020, 1, 1, 0, 0, 0)


def put_python(site: Path) -> None:
    """Add Pyodide and the backend to the site, and say in built.json that they are there. Raises SystemExit."""
    folder = site / PAGE
    version = _put_pyodide(folder / "pyodide")
    _put_backend(folder / "backend.zip")
    fetched = [*(folder / "pyodide" / name for name in _RUN), folder / "backend.zip", folder / "answer.py"]
    size = {path.name: path.stat().st_size for path in fetched}
    # A script that is imported tells no progress: the bar is about the rest.
    counted = sum(count for name, count in size.items() if not name.endswith(".mjs"))
    about = {"pyodide": version, "backend": "backend.zip", "bytes": sum(size.values()), "counted": counted}
    (folder / "built.json").write_text(json.dumps(about) + "\n", encoding="utf-8")
    print(f"{about['bytes']:>9} bytes  Python {version} and the backend in {PAGE}/")


def _put_pyodide(folder: Path) -> str:
    pinned = tomllib.loads(_PINNED.read_text(encoding="utf-8"))
    version = str(pinned["version"])
    with tempfile.TemporaryDirectory(prefix="mamba-pyodide-") as fetched:
        if not shutil.which("npm"):
            raise fail("npm is not on PATH; the page 'Explain a log' needs Pyodide, which is a package of npm")
        step("npm", "pack", f"pyodide@{version}", "--ignore-scripts", "--silent", cwd=Path(fetched), quiet=True)
        (archive,) = Path(fetched).glob("*.tgz")
        check_integrity(archive, pinned["integrity"])
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive) as file:
            for name in (*_RUN, *_TOLD):
                content = file.extractfile(f"package/{name}")
                if content is None:
                    raise fail(f"{archive.name} has no file {name}")
                (folder / name).write_bytes(content.read())
    return version


def check_integrity(archive: Path, integrity: str) -> None:
    """Raise SystemExit unless the file has this hash, written as npm writes it."""
    found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode("ascii")
    if found != integrity:
        raise fail(f"{archive.name} is {found}, and {_PINNED.name} names {integrity}")


def _put_backend(target: Path) -> None:
    """One archive of the tool's own wheel and of what it imports, unpacked."""
    program = "import sys, from_checkout; from_checkout.build_wheel(sys.argv[1])"
    with tempfile.TemporaryDirectory(prefix="mamba-backend-") as folder:
        step(sys.executable, "-c", program, folder, cwd=ROOT / "distributions" / TOOL, quiet=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as file:
            files = {name: file.read(name) for name in file.namelist()}
    for name in _REQUIRED:
        for path in distribution(name).files or ():
            if path.suffix != ".pyc" and ".." not in path.parts:
                files[path.as_posix()] = path.read_binary()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out:
        for name in sorted(files):
            out.writestr(zipfile.ZipInfo(name, _TIME), files[name], zipfile.ZIP_DEFLATED)
