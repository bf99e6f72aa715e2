"""Debian's CUDA toolkit unpacked into a folder, for tests that build with it. This machine stays unchanged."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from support import lacking

RELEASES = {"11.8": ("bookworm", "libcudart11.0"), "12.4": ("trixie", "libcudart12")}
"""Debian's toolkits, in its section non-free: the suite, and the runtime's package."""
PACKAGES = ("nvidia-cuda-toolkit", "nvidia-cuda-dev", "libcub-dev", "libthrust-dev", "libcu++-dev")
"""The mathematical libraries, which are most of it, are left out."""

KEPT = ("./usr/include/*", "./usr/bin/*", "./usr/lib/nvidia-cuda-toolkit/*", "*/libcudart*", "*/libcudadevrt*")
PROFILE = """\
TOP = $(_HERE_)/..
NVVMIR_LIBRARY_DIR = $(TOP)/nvvm/libdevice
PATH += $(_HERE_):
INCLUDES += "-I$(TOP)/include" $(_SPACE_)
LIBRARIES =+ $(_SPACE_) "-L$(TOP)/lib64"
"""


def cuda_toolkit(release: str, cache: Path) -> Path:
    """A folder laid out as NVIDIA's installer does it; made once and kept in ``cache`` (about two minutes)."""
    home = cache / f"debian-cuda-{release}"
    if home.is_dir():
        return home
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        lacking(f"Debian's packages (apt-get, dpkg-deb), for nvcc {release}")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as name:
        folder, draft = Path(name), Path(name) / "cuda"
        folder.chmod(0o755)  # apt reads there as a user of its own
        for package in downloaded(release, folder):
            unpack(package, folder / "all")
        usr = folder / "all" / "usr"
        own = usr / "lib" / "nvidia-cuda-toolkit"
        shutil.copytree(own / "bin", draft / "bin", ignore=shutil.ignore_patterns("g++", "gcc", "nvcc.profile"))
        for tool in ("ptxas", "fatbinary", "cudafe++", "nvlink", "bin2c", "cuobjdump"):
            shutil.copy(usr / "bin" / tool, draft / "bin")
        (draft / "bin" / "nvcc.profile").write_text(PROFILE)
        shutil.copytree(own / "libdevice", draft / "nvvm" / "libdevice")
        shutil.copytree(usr / "include", draft / "include")
        shutil.copytree(usr / "lib" / f"{os.uname().machine}-linux-gnu", draft / "lib64", symlinks=True)
        draft.rename(home)
    return home


def downloaded(release: str, folder: Path) -> Iterator[Path]:
    """The packages' files, from where this machine has its own from, with an apt of its own in ``folder``."""
    targets = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN)", "Created-By: Packages"]
    said = subprocess.run(targets, capture_output=True, text=True, check=True).stdout
    mirror = next((line.split()[0] for line in said.splitlines() if line.endswith(" Debian")), None)
    if mirror is None:
        lacking(f"a Debian mirror among apt's sources, for nvcc {release}")
    suite, runtime = RELEASES[release]
    for name in ("state/lists/partial", "cache/archives/partial", "debs"):
        (folder / name).mkdir(parents=True)
    (folder / "sources.list").write_text(f"deb {mirror} {suite} main contrib non-free\n")
    (folder / "debs").chmod(0o777)
    options = {"Dir::State": "state", "Dir::Cache": "cache", "Dir::Etc::sourcelist": "sources.list"}
    apt = ["apt-get", "-qq", "-o", "Dir::Etc::sourceparts=-", "-o", "Dir::State::status=/dev/null"]
    apt += [part for key, value in options.items() for part in ("-o", f"{key}={folder / value}")]
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "download", *PACKAGES, runtime], check=True, cwd=folder / "debs")
    yield from sorted((folder / "debs").glob("*.deb"))


def unpack(package: Path, into: Path) -> None:
    into.mkdir(exist_ok=True)
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as archive:
        subprocess.run(
            ["tar", "-x", "-C", into, "--wildcards", *KEPT],
            stdin=archive.stdout,
            stderr=subprocess.DEVNULL,  # it complains of a pattern that this package has nothing of
            check=False,
        )
    package.unlink()
