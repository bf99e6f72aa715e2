"""Every torch that this build could be for, read from its files, because importing torch takes seconds and may fail."""

from __future__ import annotations

import ast
import mmap
import os
import re
import site
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from ..core.facts import Origin, Package, Torch
from ..core.paths import expanded, is_dir, is_file, matching, open_plain, read_text
from ..core.projects import project_names
from ..core.settings import Settings
from ..symbols.quick_reader import newest_needs
from ..tables import is_version
from .cuda import parts_beside
from .frontend import Frontend

# c10::detail::torchCheckFail(char const*, char const*, unsigned, std::string const&): its mangled name shows which
# std::string libc10 was compiled with. Every libc10 since torch 1.8 contains it.
_NEW_ABI = b"_ZN3c106detail14torchCheckFailEPKcS2_jRKNSt7__cxx1112basic_string"
_OLD_ABI = b"_ZN3c106detail14torchCheckFailEPKcS2_jRKSs"

NEIGHBOURS = ("numpy", "transformers", "mkl")
"""Packages next to torch whose version decides whether a finished build can be imported, in addition to the known
projects."""

_NOBODY = Frontend()
_LIBRARIES = ("libc10.so", "libc10_cuda.so", "libtorch_cpu.so", "libtorch_cuda.so", "libtorch_python.so")


def probe_torches(settings: Settings, environ: Mapping[str, str], frontend: Frontend = _NOBODY) -> tuple[Torch, ...]:
    """Find torch in the setting's folder, on this process's path, and in the target environment."""
    seen: set[str] = set()
    found: list[Torch] = []
    for folder, origin, where in site_folders(settings, environ, frontend):
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        if is_file(Path(folder) / "torch" / "version.py"):
            found.append(read_torch(Path(folder), where, origin))
        elif origin is Origin.SETTING:
            found.append(Torch(str(folder), where, problem="there is no torch in this folder", origin=origin))
    return tuple(found)


def torch_path(settings: Settings) -> Path | None:
    """The ``torch`` setting as a path; None if it is a requirement or ``auto``."""
    value = settings.torch
    if value == "auto" or not (os.sep in value or os.path.isdir(value)):
        return None
    path = expanded(value)
    return path.parent if is_file(path / "version.py") and path.name == "torch" else path


def site_folders(
    settings: Settings, environ: Mapping[str, str], frontend: Frontend
) -> Iterable[tuple[str, Origin, str]]:
    """The folders that may contain torch, in order, each with its origin.

    The frontend's target environment is only a hint, so it comes after everything that this process knows about its own
    environment. It comes before conda's active environment and the user's site-packages, which exist whatever the
    target is.
    """
    path = torch_path(settings)
    if path is not None:
        # Users may give an environment's root: use its site-packages.
        inner = path / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        yield str(inner if is_dir(inner) else path), Origin.SETTING, "setting torch"
        return
    for entry in sys.path:
        if entry and os.path.isdir(entry):
            yield entry, Origin.PYTHON, "this Python's path"
    # Under pip's isolation, sys.path is the build environment's, but the prefix is still the target environment's.
    for key in ("purelib", "platlib"):
        yield sysconfig.get_path(key), Origin.ENVIRONMENT, f"the environment {sys.prefix}"
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if active := environ.get("VIRTUAL_ENV", ""):
        yield os.path.join(active, "lib", python, "site-packages"), Origin.VARIABLE, f"VIRTUAL_ENV ({active})"
    for prefix in frontend.environments:
        for name in ("site-packages", "dist-packages"):  # the latter in images with Debian's or Ubuntu's Python
            where = f"the environment that {frontend.name} works for ({prefix})"
            yield os.path.join(prefix, "lib", python, name), Origin.CALLER, where
    if conda := environ.get("CONDA_PREFIX", ""):
        yield os.path.join(conda, "lib", python, "site-packages"), Origin.VARIABLE, f"CONDA_PREFIX ({conda})"
    with suppress(Exception):
        yield site.getusersitepackages(), Origin.USER, "the user's site-packages"


def read_torch(folder: Path, where: str, origin: Origin = Origin.UNKNOWN) -> Torch:
    """Read one installation; a read error becomes its ``problem``."""
    try:
        values = _version_file(read_text(folder / "torch" / "version.py"))
    except (OSError, SyntaxError, ValueError) as error:
        return Torch(str(folder), where, problem=f"torch/version.py cannot be read: {error}", origin=origin)
    version = values.get("__version__") or ""
    if not is_version(version):
        unread = f"torch/version.py contains no readable version ({version!r})"
        return Torch(str(folder), where, problem=unread, origin=origin)
    libc10 = folder / "torch" / "lib" / "libc10.so"
    abi: bool | None = None
    problem: str | None = None
    try:
        abi = _cxx11_abi(libc10)
    except (OSError, ValueError):
        problem = f"{libc10} cannot be read: the installation is incomplete"
    header = folder / "torch" / "include" / "ATen" / "ATen.h"
    if problem is None and not is_file(header):
        problem = f"{header} is missing: the installation has no C++ headers"
    needs = newest_needs(folder / "torch" / "lib" / name for name in _LIBRARIES)
    return Torch(
        site=str(folder),
        found_in=where,
        version=version,
        cuda=values.get("cuda") or None,
        hip=values.get("hip") or None,
        cxx11_abi=abi,
        cxx_standard=_cxx_standard(header),
        tag=_tag(folder, version),
        glibc=needs.get("GLIBC", ""),
        glibcxx=needs.get("GLIBCXX", ""),
        cxxabi=needs.get("CXXABI", ""),
        cuda_headers=parts_beside(folder),
        packages=installed_beside(folder),
        archs=_archs(folder / "torch" / "lib" / "libtorch_python.so"),
        installer=_installer(folder),
        problem=problem,
        origin=origin,
    )


_ARCHS = re.compile(rb"(?:sm_\d{2,3}[af]? )*sm_\d{2,3}[af]?(?: compute_\d{2,3}[af]?)*|compute_\d{2,3}")


def _archs(library: Path) -> tuple[str, ...]:
    """The result of ``torch.cuda.get_arch_list()``, read from torch's library: a call needs a GPU, and seconds."""
    with suppress(OSError, ValueError), open_plain(library) as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            for wanted in (b" sm_8", b" sm_9", b" sm_7", b" sm_1"):
                at = view.find(wanted)
                while at >= 0:
                    start, end = view.rfind(b"\0", max(0, at - 400), at) + 1, view.find(b"\0", at, at + 400)
                    if end > 0 and _ARCHS.fullmatch(found := view[start:end]):
                        codes = [word.partition("_") for word in found.decode().split()]
                        return tuple(dict.fromkeys(code if kind == "sm" else "PTX" for kind, _, code in codes))
                    at = view.find(wanted, at + 1)
    return ()


def _installer(folder: Path) -> str:
    """The installer of torch, by its metadata; conda's torch may have only a record in conda-meta."""
    for info in matching(folder, "torch-*.*-info"):
        with suppress(OSError):
            return read_text(info / "INSTALLER", errors="replace").strip()[:20]
    meta = folder.parent.parent.parent / "conda-meta"
    return "conda" if any(matching(meta, "pytorch-[0-9]*.json")) else ""


def installed_beside(folder: Path) -> tuple[Package, ...]:
    """The versions of NEIGHBOURS and of the known projects in a site-packages, from their metadata folders."""
    found = {}
    with suppress(OSError):
        for entry in sorted(os.listdir(folder)):
            if match := re.fullmatch(r"([\w.]+)-([^-]+)(-py[\d.]+)?\.(dist|egg)-info", entry):
                found[re.sub(r"[_.]+", "-", match[1]).lower()] = match[2]
    projects = [name for project in sorted(project_names()) for name in (project, f"{project}-portable")]
    return tuple(Package(name, found[name]) for name in (*NEIGHBOURS, *projects) if is_version(found.get(name, "")))


def _version_file(text: str) -> dict[str, str | None]:
    values: dict[str, str | None] = {}
    for node in ast.parse(text).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
        for target in targets:
            if (
                isinstance(target, ast.Name)
                and isinstance(value, ast.Constant)
                and isinstance(value.value, (str, type(None)))
            ):
                values[target.id] = value.value
    return values


def _cxx11_abi(libc10: Path) -> bool | None:
    with open_plain(libc10) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        if view.find(_NEW_ABI) >= 0:
            return True
        return False if view.find(_OLD_ABI) >= 0 else None


def _cxx_standard(header: Path) -> int:
    # ATen.h: "#error C++17 or later compatible compiler is required to use ATen."
    with suppress(OSError):
        if match := re.search(r"#error C\+\+(\d\d) or later", read_text(header, errors="replace")):
            return int(match[1])
    return 17


def _tag(folder: Path, version: str) -> str | None:
    for info in matching(folder, "torch-*.dist-info"):
        if info.name in (f"torch-{version}.dist-info", f"torch-{version.split('+', maxsplit=1)[0]}.dist-info"):
            with suppress(OSError):
                if match := re.search(r"^Tag: (\S+)", read_text(info / "WHEEL"), re.MULTILINE):
                    return match[1]
    return None
