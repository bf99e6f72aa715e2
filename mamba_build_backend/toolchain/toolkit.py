"""One CUDA toolkit, as torch's build code expects it: bin, include, lib64, nvvm under one folder.

A toolkit that is such a folder is used where it is. PyPI's nvcc is spread over the site-packages of the build environment
(nvcc, nvvm, crt, cccl) and of torch (headers and libraries of the runtime and of cuBLAS, cuSPARSE, …): those are put
together as a folder of links. nvcc finds its parts beside the path that it was started by, so links are enough.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..facts import Toolkit


def apply_toolkit(toolkit: Toolkit, torch_site: Path, work: Path) -> Path:
    """The folder to be used as CUDA_HOME."""
    if toolkit.layout == "home":
        return Path(toolkit.home)
    home = Path(toolkit.home)
    view = work / "toolchain" / "cuda"
    # The first one wins: nvcc's own headers (crt, cccl) before torch's copies.
    parts = [home, torch_site / "nvidia" / home.name]
    for part in parts:
        for name in ("bin", "include", "nvvm", "lib"):
            if (part / name).is_dir():
                _link_tree(part / name, view / name)
    _link_unversioned(view / "lib")
    lib64 = view / "lib64"
    if not lib64.is_symlink():
        lib64.symlink_to("lib")
    return view


def _link_tree(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for entry in os.scandir(source):
        link = target / entry.name
        if entry.is_dir(follow_symlinks=True):
            _link_tree(Path(entry.path), link)
        elif not link.is_symlink() and not link.exists():
            link.symlink_to(entry.path)


def _link_unversioned(lib: Path) -> None:
    """The wheels hold libcudart.so.13 but no libcudart.so, which is what -lcudart looks for."""
    for entry in sorted(lib.glob("lib*.so.*")):
        link = lib / (entry.name.partition(".so.")[0] + ".so")
        if not link.exists():
            link.symlink_to(entry.name)
