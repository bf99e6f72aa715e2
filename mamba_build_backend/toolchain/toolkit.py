"""Present one CUDA toolkit as torch's build code expects it: bin, include, lib64, nvvm under one folder.

The folder consists of links. A complete toolkit with this layout gets a link for each of its entries. Other toolkits
are assembled: PyPI's nvcc, spread over the site-packages of the build environment and of torch; conda's, with its
headers under targets/; Debian's, with its headers in /usr/include among all others; the HPC SDK's, whose cuBLAS and
cuSPARSE have their own folder; NVIDIA's archives, with lib in place of lib64; and a toolkit without headers that the
NVIDIA wheels next to torch contain. nvcc finds its parts relative to the path that started it, so links are enough.
Only for ``gpu-code=compact``, cicc and fatbinary are scripts that start ``shims/nvcc_steps.py``.
"""

from __future__ import annotations

import os
import platform
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from ..core.facts import Toolkit, ToolkitLayout
from ..core.files import emptied
from ..core.paths import entries, exists, is_dir, is_file, is_link, matching, read_text, resolved
from ..probe.cuda import RUNTIME, TARGETS
from .shims.protocol import NVCC_STEPS_SHIM, PYTHON

_STATIC = ("libcudart_static.a", "libcudadevrt.a")
_PROGRAMS = (
    "nvcc*",
    "ptxas",
    "fatbinary",
    "cudafe++",
    "nvlink",
    "bin2c",
    "cuobjdump",
    "nvdisasm",
    "nvprune",
    "cicc",
    "crt",
)
"""Programs that nvcc or the audit runs; everything else in conda's or the system's bin stays off the build's PATH."""


def apply_toolkit(
    toolkit: Toolkit,
    torch_site: Path | None,
    work: Path,
    *,
    compact: bool = False,
    dpkg: Path = Path("/var/lib/dpkg/info"),
) -> Path:
    """Return the folder to use as CUDA_HOME.

    Missing parts come from NVIDIA's wheels in ``torch_site``; None if these are for another CUDA.
    ``compact``: rewrite the PTX of cicc and fatbinary. ``dpkg``: the folder of Debian's lists of files.
    """
    # A persistent build folder may have links into the deleted environment of an earlier build.
    view = emptied(work / "toolchain" / "cuda")
    home = Path(toolkit.home)
    if toolkit.layout is ToolkitLayout.HOME and not toolkit.missing:
        _link_entries(home, view)
        if is_dir(home / "lib"):
            _link(home / "lib", view / "lib64")  # NVIDIA's archives have lib, and torch's build code looks in lib64
    else:
        _gather(toolkit, torch_site, view, dpkg)
    if compact:
        _put_before(view / "bin" / "fatbinary")
        _put_before_cicc(view / "nvvm")
    return view


_BEFORE = f"""\
#!/bin/sh
[ -n "${NVCC_STEPS_SHIM}" ] || exec "$0.real" "$@"
exec "${PYTHON}" -I -S "${NVCC_STEPS_SHIM}" "$0.real" "$@"
"""


def _put_before(program: Path) -> None:
    """Replace the link to one of nvcc's programs by a script; the same in every build, because sccache hashes it."""
    if is_link(program):
        program.replace(program.with_name(f"{program.name}.real"))
        program.write_text(_BEFORE, encoding="utf-8")
        program.chmod(0o755)


def _put_before_cicc(nvvm: Path) -> None:
    """Replace the link to nvvm by a folder of links, with a script for cicc in it."""
    if is_link(nvvm) and is_file(nvvm / "bin" / "cicc"):
        home = resolved(nvvm)
        nvvm.unlink()
        _link_entries(home, nvvm)
        _put_before(nvvm / "bin" / "cicc")


def _link_entries(home: Path, view: Path) -> None:
    """Link the entries of a folder, and those of its ``bin``, which becomes a real folder."""
    for entry in (*entries(home), *entries(home / "bin")):
        if entry != home / "bin":
            _link(entry, view / entry.relative_to(home))


def _gather(toolkit: Toolkit, torch_site: Path | None, view: Path, dpkg: Path) -> None:
    """Link the parts of a toolkit that is spread over several folders."""
    home = Path(toolkit.home)
    for program in _programs(home, toolkit.layout):
        _link(program, view / "bin" / program.name)
    if is_dir(home / "nvvm"):
        _link(home / "nvvm", view / "nvvm")
    # The first wins: the toolkit's own headers before torch's copies.
    if toolkit.layout is ToolkitLayout.DEBIAN:
        _link_debian_headers(Path(toolkit.includes[0]), view / "include", dpkg)
    else:
        for folder in map(Path, toolkit.includes):
            _merge(folder, view / "include")
    wheels = matching(torch_site, "nvidia/*") if torch_site else []
    for folder in wheels:
        if is_dir(folder / "include"):
            _merge(folder / "include", view / "include")
    for lib in [*map(Path, toolkit.libraries), *(folder / "lib" for folder in wheels)]:
        for path in sorted([*matching(lib, f"{RUNTIME}*"), *matching(lib, "libcudadevrt*")]):
            _link(path, view / "lib64" / path.name)
    _link_unversioned(view / "lib64")
    # nvcc's own profile says $(TOP)/targets/<platform>/include if a toolkit serves several platforms.
    target = view / "targets" / TARGETS.get(platform.machine(), f"{platform.machine()}-linux")
    _link(view / "include", target / "include")
    _link(view / "lib64", target / "lib")


def aim(view: Path, machine: str, runtime: Path, work: Path) -> None:
    """Change the folder for another processor: CUDA's runtime from the wheel ``runtime``, where nvcc looks for it.

    The headers are the same for all processors.
    """
    unpacked = emptied(work / "toolchain" / "cuda-runtime")
    with zipfile.ZipFile(runtime) as wheel:
        for member in wheel.namelist():
            name = PurePosixPath(member).name
            if name in _STATIC:
                (unpacked / name).write_bytes(wheel.read(member))
    for name in ("lib64", "lib"):
        link = view / name
        if is_link(link):
            link.unlink()
        elif is_dir(link):
            emptied(link).rmdir()
        link.symlink_to(unpacked)
    targets = view / "targets"
    if is_link(targets):
        targets.unlink()
    # nvcc asks the compiler for the processor's name, and looks in the folder of that name.
    for target in {TARGETS[machine], f"{machine}-linux"}:
        if is_link(targets / target):
            (targets / target).unlink()
        _link(view / "include", targets / target / "include")
        _link(unpacked, targets / target / "lib")


def _programs(home: Path, layout: ToolkitLayout) -> Iterator[Path]:
    folders = [home / "bin"]
    if layout is ToolkitLayout.DEBIAN:
        folders.insert(0, home / "lib" / "nvidia-cuda-toolkit" / "bin")
    for folder in folders:
        for pattern in _PROGRAMS:
            yield from matching(folder, pattern)


def _link(source: Path, link: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if not is_link(link) and not exists(link):
        link.symlink_to(source)


def _merge(source: Path, target: Path) -> None:
    """Link ``source``'s entries under ``target``; a folder that several sources share becomes a real folder."""
    if is_link(target):
        if os.path.realpath(target) == os.path.realpath(source):
            return
        before = Path(os.path.realpath(target))
        target.unlink()
        target.mkdir()
        _merge(before, target)
    target.mkdir(parents=True, exist_ok=True)
    for entry in sorted(os.scandir(source), key=lambda item: item.name):
        link = target / entry.name
        if entry.is_dir(follow_symlinks=True) and (is_dir(link) or is_link(link)):
            _merge(Path(entry.path), link)
        else:
            _link(Path(entry.path), link)


def _link_debian_headers(include: Path, view: Path, dpkg: Path) -> None:
    """Link only the files that CUDA's header packages put into /usr/include.

    The whole folder would add the host's glibc headers, which the sysroot keeps out.
    """
    markers = [
        f"{include}/{name}\n" for name in ("cuda_runtime.h", "cub/cub.cuh", "thrust/version.h", "cuda/std/version")
    ]
    for text in _file_lists(dpkg):
        if not any(marker in text for marker in markers):
            continue
        for line in text.splitlines():
            name = line[len(str(include)) + 1 :] if line.startswith(f"{include}/") else ""
            path = include / name
            if name and not is_dir(path):
                _link(path, view / name)


def _file_lists(dpkg: Path) -> Iterable[str]:
    for path in matching(dpkg, "*.list"):
        with suppress(OSError, UnicodeDecodeError):
            yield read_text(path)


def _link_unversioned(lib: Path) -> None:
    """Add libcudart.so, which -lcudart looks for: the wheels contain only libcudart.so.13."""
    for entry in matching(lib, "lib*.so.*"):
        link = lib / (entry.name.partition(".so.")[0] + ".so")
        if not exists(link):
            link.symlink_to(entry.name)
