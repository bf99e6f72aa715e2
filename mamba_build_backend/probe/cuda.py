"""Every CUDA toolkit: named by a setting, in the environment, on PATH, and in the usual install folders."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ..core.errors import ToolError
from ..core.facts import Origin, Toolkit, ToolkitLayout
from ..core.paths import expanded, is_dir, is_file, matching
from ..core.process import capture
from ..core.settings import ARCHIVED_NVCC, INDEX_NVCC, Place, Settings
from .paths import conda_prefixes, on_path

PARTS = {
    "cuda_runtime.h": ("cuda_runtime.h",),
    "cuda_fp16.h": ("cuda_fp16.h",),
    "cuda_bf16.h": ("cuda_bf16.h",),
    "crt/host_config.h": ("crt/host_config.h",),
    "cub/cub.cuh": ("cub/cub.cuh", "cccl/cub/cub.cuh"),
    # ATen/cuda/CUDAContext.h includes these three.
    "cublas_v2.h": ("cublas_v2.h",),
    "cusparse.h": ("cusparse.h",),
    "cusolverDn.h": ("cusolverDn.h",),
}
"""The headers that a torch extension needs, and their possible paths below an include folder."""

RUNTIME, STATIC_RUNTIME = "libcudart", "libcudart_static"
"""The library that an extension links with, and the one for a stable wheel; listed among the missing parts, like
headers."""

TARGETS = {"x86_64": "x86_64-linux", "aarch64": "sbsa-linux"}
"""Names of the folders below targets/, in conda's packages and in toolkits for several platforms."""


def probe_toolkits(
    settings: Settings, environ: Mapping[str, str], sites: Sequence[Path], *, root: Path = Path("/")
) -> tuple[Toolkit, ...]:
    """Find nvcc; ``sites`` are site-packages that may contain PyPI's ``nvidia/cu13``. ``root`` replaces / in tests."""
    seen: set[str] = set()
    found: list[Toolkit] = []
    for home, origin, where in _homes(settings, environ, sites, root):
        real = os.path.realpath(home)
        if real in seen:
            continue
        seen.add(real)
        if nvcc_of(home) is not None:
            found.append(read_toolkit(home, where, environ, origin))
        elif origin in (Origin.SETTING, Origin.VARIABLE):
            missing = f"there is no {home / 'bin' / 'nvcc'}"
            found.append(Toolkit(str(home), where, problem=missing, origin=origin))
    return tuple(found)


def _homes(
    settings: Settings, environ: Mapping[str, str], sites: Sequence[Path], root: Path
) -> Iterable[tuple[Path, Origin, str]]:
    provided = settings.cuda_home in (INDEX_NVCC, ARCHIVED_NVCC)
    if settings.cuda_home != "auto" and not provided:
        home = expanded(settings.cuda_home)
        if settings.place("cuda-home") is Place.ALIAS:
            yield home, Origin.VARIABLE, settings.origin("cuda-home")
        else:
            yield home, Origin.SETTING, "setting cuda-home"
    if not provided:
        for variable in ("CUDA_HOME", "CUDA_PATH"):
            if environ.get(variable):
                yield Path(environ[variable]), Origin.VARIABLE, variable
        for folder in on_path(environ):
            nvcc = folder / "nvcc"
            if is_file(nvcc):
                yield home_of(nvcc, environ), Origin.PATH, "PATH"
        yield from ((prefix, Origin.CONDA, variable) for prefix, variable in conda_prefixes(environ))
        local = root / "usr/local"
        for home in [local / "cuda", *_newest_first(matching(local, "cuda-*"))]:
            yield home, Origin.SYSTEM, "/usr/local"
        yield root / "usr", Origin.SYSTEM, "Debian's nvidia-cuda-toolkit"
        sdks = _newest_first(matching(root / "opt/nvidia/hpc_sdk", "Linux_*/[0-9]*"))
        if environ.get("NVHPC_ROOT"):
            sdks.insert(0, Path(environ["NVHPC_ROOT"]))
        for sdk in sdks:
            for home in _newest_first(matching(sdk, "cuda/[0-9]*")):
                yield home, Origin.SYSTEM, "the HPC SDK"
    for site in [*(Path(entry) for entry in sys.path if entry), *sites]:
        for home in matching(site, "nvidia/cu[0-9]*"):
            yield home, Origin.INDEX, "PyPI's nvcc"


def _newest_first(folders: Iterable[Path]) -> list[Path]:
    return sorted(folders, key=lambda path: [int(part) for part in re.findall(r"\d+", path.name)], reverse=True)


def home_of(nvcc: Path, environ: Mapping[str, str]) -> Path:
    """The toolkit of an nvcc on PATH, which may be a link, or a script that starts the real nvcc elsewhere."""
    with suppress(ToolError):
        output = capture(
            [nvcc, "--dryrun", "-c", "-x", "cu", os.devnull, "-o", os.devnull], env=_plain(environ), merge=True
        )
        if match := re.search(r"^#\$ TOP=(.+)$", output, re.MULTILINE):
            return Path(os.path.realpath(match[1].strip()))
    return Path(os.path.realpath(nvcc)).parent.parent


def nvcc_of(home: Path) -> Path | None:
    """A toolkit's own nvcc. Debian's /usr/bin/nvcc is a script that starts it; other parts are next to the real one."""
    for path in (home / "lib" / "nvidia-cuda-toolkit" / "bin" / "nvcc", home / "bin" / "nvcc"):
        if is_file(path):
            return path
    return None


def read_toolkit(home: Path, where: str, environ: Mapping[str, str], origin: Origin = Origin.UNKNOWN) -> Toolkit:
    """Ask the toolkit's nvcc for its version and architectures, and check which parts of the toolkit exist."""
    nvcc = nvcc_of(home)
    assert nvcc is not None
    layout = _layout(home)
    try:
        output = capture([nvcc, "--version"], env=_plain(environ))
    except ToolError as error:
        return Toolkit(str(home), where, layout, problem=error.problems[0].found, origin=origin)
    match = re.search(r"release (\d+\.\d+)", output)
    if not match:
        unnamed = f"`{nvcc} --version` names no release"
        return Toolkit(str(home), where, layout, problem=unnamed, origin=origin)
    try:
        archs = tuple(re.findall(r"sm_(\d+)\b", capture([nvcc, "--list-gpu-code"], env=_plain(environ))))
    except ToolError:  # nvcc before 11.2 has no such option; the table knows its architectures
        archs = ()
    includes, libraries = _folders(home, layout)
    there = _parts(includes, libraries)
    missing = [name for name in (*PARTS, RUNTIME, STATIC_RUNTIME) if name not in there]
    return Toolkit(
        str(home),
        where,
        layout,
        match[1],
        archs,
        tuple(map(str, includes)),
        tuple(map(str, libraries)),
        tuple(missing),
        origin=origin,
    )


def _plain(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for questions to nvcc: without the user's options (NVCC_APPEND_FLAGS etc.), in the C locale."""
    return {**{name: value for name, value in environ.items() if not name.startswith("NVCC_")}, "LC_ALL": "C"}


def _layout(home: Path) -> ToolkitLayout:
    if home.parent.name == "nvidia" and home.name.startswith("cu"):
        return ToolkitLayout.PYPI
    if is_dir(home / "conda-meta"):
        return ToolkitLayout.CONDA
    if is_file(home / "lib" / "nvidia-cuda-toolkit" / "bin" / "nvcc"):
        return ToolkitLayout.DEBIAN
    if home.parent.name == "cuda" and is_dir(home.parent.parent / "math_libs"):
        return ToolkitLayout.HPC_SDK
    return ToolkitLayout.HOME


def _folders(home: Path, layout: ToolkitLayout) -> tuple[list[Path], list[Path]]:
    """The existing include and library folders, in search order."""
    machine = platform.machine()
    target = TARGETS.get(machine, f"{machine}-linux")
    tops = [home / "targets" / target, home] if layout is ToolkitLayout.CONDA else [home, home / "targets" / target]
    if layout is ToolkitLayout.HPC_SDK:
        maths = home.parent.parent / "math_libs" / home.name
        tops += [maths, maths / "targets" / target]
    includes = [top / "include" for top in tops]
    libraries = [top / name for top in tops for name in ("lib64", "lib")]
    if layout is ToolkitLayout.DEBIAN:
        libraries = [home / "lib" / f"{machine}-linux-gnu"]
    return _existing(includes), _existing(libraries)


def _existing(folders: Iterable[Path]) -> list[Path]:
    """The folders that exist, each once: a toolkit's include is often a link into targets/."""
    seen: dict[str, Path] = {}
    for folder in folders:
        if is_dir(folder):
            seen.setdefault(os.path.realpath(folder), folder)
    return list(seen.values())


def _parts(includes: Sequence[Path], libraries: Sequence[Path]) -> tuple[str, ...]:
    """The parts that an extension needs and that these folders contain."""
    headers = [
        name
        for name, places in PARTS.items()
        if any(is_file(folder / place) for folder in includes for place in places)
    ]
    files = {RUNTIME: f"{RUNTIME}.so*", STATIC_RUNTIME: f"{STATIC_RUNTIME}.a"}
    runtimes = [name for name, file in files.items() if any(matching(folder, file) for folder in libraries)]
    return (*headers, *runtimes)


def parts_beside(site: Path) -> tuple[str, ...]:
    """The parts in NVIDIA's wheels, which a toolkit may lack: CUDA builds of torch require most of these wheels."""
    return _parts(matching(site, "nvidia/*/include"), matching(site, "nvidia/*/lib"))
