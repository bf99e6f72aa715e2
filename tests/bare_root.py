"""Root folders of a Linux with only Python and pip.

manylinux/check-root makes and enters them. They use the same package index as pip here.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support import ROOT, kept_folder, lacking, run

CHECK_ROOT = ROOT / "manylinux" / "check-root"
COMPILERS = ("gcc", "g++", "cc", "c++", "clang", "ld", "as", "strip", "nvcc", "git", "make")
_PASSED = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_LEFT = (".git", ".mypy_cache", ".ruff_cache", ".pytest_cache", "__pycache__", "tests", "build", "dist", "*.egg-info")
NVCC_10_1 = """\
#!/bin/sh
case $1 in --version) echo "Cuda compilation tools, release 10.1, V10.1.243" ;; *) exit 1 ;; esac
"""
GXX_4_8 = """\
#!/bin/sh
case "$*" in
    *-dump*) echo 4.8.5 ;;
    --version) echo "g++ (GCC) 4.8.5 20150623 (Red Hat 4.8.5-44)" ;;
    *) exit 1 ;;
esac
"""


@dataclass
class BareRoot:
    """A Debian with python3 and python3-venv, and a folder of the test's that it sees as /out and may write to."""

    suite: str
    out: Path
    env: Mapping[str, str]
    folders: list[Path] = field(default_factory=list)
    """What is bound into it read-only, at the same place."""
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make it, or find it."""
        if os.geteuid() != 0 or not shutil.which("debootstrap", path=f"{os.environ['PATH']}:/usr/sbin"):
            lacking("root, and debootstrap")
        self.folders += pip_folders(pip_variables(self.env))
        # pip itself reads its settings only from variables there.
        self.variables = {**pip_variables(self.env), "HOME": "/out/home", "TMPDIR": "/out/tmp", **self.variables}
        for name in ("home", "tmp", "stand-ins"):
            (self.out / name).mkdir(parents=True)
        root = Path(self._enter("--make").stdout.strip())
        assert not [name for name in COMPILERS if any((root / place / name).exists() for place in ("usr/bin", "bin"))]
        self.run("python3", "-m", "venv", "/out/venv")

    def _enter(self, *options: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [CHECK_ROOT, "--network", "--suite", self.suite, "--package", "python3-venv", *options]
        return run(*command, env=dict(self.env), cwd=ROOT, check=check)

    def run(self, *command: object, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """A command in the root, with these variables in addition to those of the root."""
        binds = [part for folder in self.folders for part in ("--bind", folder)]
        words = [f"{key}={value}" for key, value in {**self.variables, **variables}.items()]
        unset = ["-u", "PYTHONPATH", "-u", "PYTHONDONTWRITEBYTECODE"]
        return self._enter(*binds, "--out", self.out, "--", "env", *unset, *words, *command, check=check)

    def python(self, *arguments: object, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """The virtual environment's Python there, as in a shell in which it is active."""
        path = "/out/venv/bin:/out/stand-ins:/usr/bin:/bin"
        return self.run("python", *arguments, check=check, PATH=path, VIRTUAL_ENV="/out/venv", **variables)

    def put_torch(self, site: Path) -> None:
        """Torch and its requirements, as links to the files of another environment: an installation would fill 5 GB."""
        (own,) = (self.out / "venv" / "lib").glob("python*/site-packages")
        self.folders.append(site)
        for name in sorted(torchs_entries(site)):
            if (site / name).exists() and not (own / name).exists():
                subprocess.run(["cp", "-as", site / name, own], check=True)

    def rename_torch(self, version: str, cuda: str) -> None:
        """Have torch say that it is another, for what only reads it: its version is a file of text."""
        (path,) = (self.out / "venv" / "lib").glob("python*/site-packages/torch/version.py")
        text = path.read_text()
        path.unlink()
        text = re.sub(r"^__version__ = .*", f"__version__ = {version!r}", text, flags=re.MULTILINE)
        path.write_text(re.sub(r"^cuda: (.*?) = .*", rf"cuda: \1 = {cuda!r}", text, flags=re.MULTILINE))

    def put_zigs_library(self) -> None:
        """Copy the C++ library that zig builds at its first link, in minutes, if an earlier test has it."""
        kept, cache = kept_folder() / "zig", self.out / "home" / ".cache" / "mamba-build-backend"
        cache.mkdir(parents=True)
        if kept.is_dir():
            subprocess.run(["cp", "-a", kept, cache / "zig"], check=True)

    def put_project(self) -> str:
        """This project as a user downloads it, as an archive; gives its folder in the root."""
        shutil.copytree(ROOT, self.out / "project", ignore=shutil.ignore_patterns(*_LEFT))
        return "/out/project"

    def put_wrong_tools(self) -> None:
        """An nvcc and a g++ that are too old for anything, first on PATH."""
        for name, text in (("nvcc", NVCC_10_1), ("g++", GXX_4_8)):
            (self.out / "stand-ins" / name).write_text(text)
            (self.out / "stand-ins" / name).chmod(0o755)


def torchs_entries(site: Path) -> set[str]:
    """The names at the top of a site-packages that belong to torch, or to what it requires."""
    found = {canonicalize_name(item.metadata["Name"]): item for item in metadata.distributions(path=[str(site)])}
    wanted, entries, seen = [canonicalize_name("torch")], set[str](), set[str]()
    while wanted:
        name = wanted.pop()
        if name in seen or name not in found:
            continue
        seen.add(name)
        entries |= {path.parts[0] for path in found[name].files or () if path.parts[0] not in ("..", "__pycache__")}
        for text in found[name].requires or ():
            need = Requirement(text)
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                wanted.append(canonicalize_name(need.name))
    return entries


def pip_variables(env: Mapping[str, str]) -> dict[str, str]:
    """This machine's configuration of pip and of its network, as variables."""
    said = run(sys.executable, "-m", "pip", "config", "list", env=dict(env), cwd=ROOT).stdout.splitlines()
    pairs = [line.partition("=") for line in sorted(said, key=lambda line: line.startswith(":env:"))]
    out = {
        f"PIP_{key.rpartition('.')[2].replace('-', '_').upper()}": ast.literal_eval(value) for key, _, value in pairs
    }
    passed = {key: value for key, value in env.items() if key.upper() in _PASSED}
    return {**{key: " ".join(value.split()) for key, value in out.items()}, **passed}


def pip_folders(variables: Mapping[str, str]) -> list[Path]:
    """The folders that such variables name: pages and files of an index, certificates, wheels."""
    return sorted(set(_named_folders(variables)))


def _named_folders(variables: Mapping[str, str]) -> Iterator[Path]:
    for word in " ".join(variables.values()).split():
        path = Path(word.removeprefix("file://"))
        if path.is_absolute() and path.exists():
            # An index often has its files next to its pages.
            yield path.parent if path.is_file() or word.startswith("file:") else path
