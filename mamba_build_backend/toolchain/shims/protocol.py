"""The input of the programs that run outside the backend's process: one JSON file per build step, typed on both sides.

:func:`write` is called once for each run of upstream's setup.py (compile/build_step.py). Three programs read the file:

- ``compile/_setup_py_child.py``, which runs setup.py, reads :attr:`BuildStep.setup_py`; its argument is the file's path;
- ``compiler.py``, the shim of nvcc and g++, reads :attr:`BuildStep.shims`; the variable ``STEP_FILE`` has the file's path;
- ``nvcc_steps.py``, the shim of cicc and fatbinary, reads :attr:`ShimConfig.derived_ptx`; only with ``gpu-code=compact``.

A key that is unknown, missing or of the wrong type raises :class:`ProtocolError` with its name, before anything is
compiled.

Standard library only, for Python 3.9: upstream controls the build environment's packages. The shims are started with
``python -I -S FILE``, so that neither ``PYTHONPATH`` nor a ``json.py`` in site-packages changes a compile. Python then
also omits the script's own folder from ``sys.path``. The programs append this folder themselves, after the standard
library, and import ``protocol`` and ``nvcc_options`` as top-level modules; inside the backend the same files are part
of the package.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, Optional, Union, get_args, get_origin, get_type_hints

STEP_FILE = "_MAMBA_BACKEND_STEP_FILE"
PYTHON = "_MAMBA_BACKEND_PYTHON"
COMPILER_SHIM = "_MAMBA_BACKEND_COMPILER_SHIM"
NVCC_STEPS_SHIM = "_MAMBA_BACKEND_NVCC_STEPS_SHIM"
"""Variables with the paths of the step's file, of the Python that starts the shims, and of the shims."""
IN_SHIM = "_MAMBA_BACKEND_IN_SHIM"
"""Variable that the g++ script sets for its shim, which calls the script again."""


class ProtocolError(ValueError):
    """A step's file does not have the form of :class:`BuildStep`."""


@dataclass(frozen=True)
class SourceFile:
    """A source file that the backend generates."""

    name: str
    text: str


@dataclass(frozen=True)
class Regrouping:
    """Upstream's files that instantiate one template, and the files to compile in their place.

    ``compile/regroup_kernels.py`` generates the texts. The child writes and uses them if ``setup.py`` lists all of
    ``files`` in one folder. Otherwise the child does not change the list of sources.
    """

    files: tuple[str, ...]
    """Names without a folder."""
    header: str
    """Defines the template; in the folder of ``files``."""
    expected: tuple[str, ...]
    """Texts in the header for which ``regrouped`` was written."""
    regrouped: tuple[SourceFile, ...]
    joined: tuple[SourceFile, ...]
    """Files to compile if the header differs: all of ``files`` as one file."""


@dataclass(frozen=True)
class StableExtension:
    """Additions of ``abi=stable`` to upstream's ``CUDAExtension``."""

    include_dir: str
    libraries: tuple[str, ...]
    link_flags: tuple[str, ...]


@dataclass(frozen=True)
class TorchStandIn:
    """Values for the stand-in ``stable/python/torch``; ``folder`` contains that package."""

    folder: str
    version: str
    cuda: str


@dataclass(frozen=True)
class SetupPy:
    """A run of upstream's setup.py."""

    script: str
    arguments: tuple[str, ...]
    path_first: tuple[str, ...]
    path_last: tuple[str, ...]
    """Entries for the front and the end of ``sys.path``."""
    nvcc_flags: tuple[str, ...]
    """Replace upstream's options (``nvcc_options.REPLACED``); empty if nothing is compiled."""
    cxx_flags: tuple[str, ...]
    stable: Optional[StableExtension]
    stand_in: Optional[TorchStandIn]
    """Replaces torch; None if setup.py imports the real torch."""
    regroupings: tuple[Regrouping, ...]
    as_if_gpu: str = ""
    """Only for a fork's setup.py: the capability (``9.0``) of the GPU that torch reports to it; missing text files are then read as
    empty."""


@dataclass(frozen=True)
class SharedPasses:
    """Files (name patterns) that are compiled with their own architecture options."""

    files: tuple[str, ...]
    flags: tuple[str, ...]


@dataclass(frozen=True)
class DerivedPtx:
    """Files (name patterns) for which cicc runs once, and whose PTX is rewritten for other architectures."""

    files: tuple[str, ...]
    source: str
    """The architecture for which cicc runs: ``compute_80``."""
    targets: tuple[str, ...]
    threads: int
    """Threads of cicc's optimiser, while the other architectures wait for cicc."""


@dataclass(frozen=True)
class ShimConfig:
    """Input of the compilers' shims."""

    build_folders: tuple[str, ...]
    """Paths of the build folder: a temporary link and the real path may differ."""
    source_path_option: bool
    """Whether cudafe++ accepts ``--orig_src_path_name``."""
    seed_option: bool
    """Whether nvcc accepts ``-frandom-seed``."""
    shared_passes: Optional[SharedPasses]
    derived_ptx: Optional[DerivedPtx]
    one_architecture: bool
    """Whether nvcc compiles one architecture at a time, after a lack of memory."""
    cache_command: tuple[str, ...]
    """A compiler cache; empty without one."""
    fixed_folder: str
    """For sccache: a folder with the same name in every build, which links to the build folder; empty if unused."""
    nvcc_prepend: tuple[str, ...]
    nvcc_append: tuple[str, ...]
    """Words of ``NVCC_PREPEND_FLAGS`` and ``NVCC_APPEND_FLAGS``."""


@dataclass(frozen=True)
class BuildStep:
    """One run of upstream's setup.py, and of the compilers that it starts."""

    setup_py: SetupPy
    shims: Optional[ShimConfig]
    """None if nothing is compiled, such as for ``egg_info``."""


def write(step: BuildStep, path: str) -> None:
    """Write a step's file; readers never see a partial file."""
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(asdict(step), file, indent=1)
    os.replace(f"{path}.new", path)


def read(path: str) -> BuildStep:
    """Read a step's file. Raises ProtocolError."""
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
    except (OSError, ValueError) as error:
        raise ProtocolError(f"{path}: {error}") from None
    try:
        step: BuildStep = _read_value(BuildStep, data, "step")
    except ProtocolError as error:
        raise ProtocolError(f"{path}: {error}") from None
    return step


def read_shim_config(environ: Mapping[str, str]) -> ShimConfig:
    """Read the shims' part of the file that ``STEP_FILE`` names. Raises ProtocolError."""
    path = environ.get(STEP_FILE)
    if not path:
        raise ProtocolError(f"{STEP_FILE} is not set: the compilers' shims run only inside a build")
    config = read(path).shims
    if config is None:
        raise ProtocolError(f"{path}: step.shims is null, and a compiler was started")
    return config


def _read_value(kind: Any, value: Any, name: str) -> Any:
    """Convert ``value`` to ``kind``: a dataclass, ``tuple[X, ...]``, ``Optional[X]``, str, int or bool.

    Raises ProtocolError.
    """
    if get_origin(kind) is Union:
        return None if value is None else _read_value(get_args(kind)[0], value, name)
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise ProtocolError(f"{name}: a list is needed, not {value!r}")
        return tuple(_read_value(get_args(kind)[0], item, f"{name}[{index}]") for index, item in enumerate(value))
    if not is_dataclass(kind):
        if type(value) is not kind:
            raise ProtocolError(f"{name}: {kind.__name__} is needed, not {value!r}")
        return value
    if not isinstance(value, dict):
        raise ProtocolError(f"{name}: an object is needed, not {value!r}")
    kinds = get_type_hints(kind)
    for wrong, keys in (("unknown", value.keys() - kinds.keys()), ("missing", kinds.keys() - value.keys())):
        if keys:
            raise ProtocolError(f"{name}: {wrong} key {', '.join(sorted(keys))}")
    make: Any = kind
    return make(**{key: _read_value(kinds[key], value[key], f"{name}.{key}") for key in kinds})
