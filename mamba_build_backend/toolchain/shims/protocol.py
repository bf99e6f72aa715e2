"""What a build step hands to the programs that run outside the backend's process: one JSON file, typed on both sides.

:func:`write` is called once for each run of upstream's setup.py (compile/build_step.py). Three programs read the file:

- ``compile/_setup_py_child.py``, which runs setup.py, takes :attr:`BuildStep.setup_py`; the file's path is its argument;
- ``compiler.py``, in place of nvcc and g++, takes :attr:`BuildStep.shims`; the file's path is in the variable ``STEP_FILE``;
- ``nvcc_steps.py``, in place of cicc and fatbinary, takes :attr:`ShimConfig.derived_ptx`; only with ``gpu-code=compact``.

A key that is unknown, missing or of another type is a :class:`ProtocolError` that names it, before anything is compiled with it.

Standard library only, for Python 3.9: the build environment's packages belong to upstream. The stand-ins are started with
``python -I -S FILE``, so that neither ``PYTHONPATH`` nor a site-packages with a ``json.py`` of its own changes a compile. Python then
leaves the script's own folder out of ``sys.path``, too. The programs append this folder themselves, behind the standard library, and
import ``protocol`` and ``nvcc_options`` as top-level modules; inside the backend the same files are part of the package.
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
"""Variables with the paths of the step's file, of the Python that starts the stand-ins, and of the stand-ins."""
IN_SHIM = "_MAMBA_BACKEND_IN_SHIM"
"""Variable that the g++ script sets for its stand-in, which calls the script again."""


class ProtocolError(ValueError):
    """A step's file that does not have the form of :class:`BuildStep`."""


@dataclass(frozen=True)
class SourceFile:
    """A source file that the backend generates."""

    name: str
    text: str


@dataclass(frozen=True)
class Regrouping:
    """Files of upstream's that instantiate one template, and the files that are compiled in their place.

    ``compile/regroup_kernels.py`` generates the texts; the child writes and uses them where ``setup.py`` lists all of ``files``,
    in one folder. Otherwise the child leaves the list of sources as it is.
    """

    files: tuple[str, ...]
    """Names without a folder."""
    header: str
    """Defines the template; in the folder of ``files``."""
    expected: tuple[str, ...]
    """Texts that the header contains if it is the one for which ``regrouped`` was written."""
    regrouped: tuple[SourceFile, ...]
    joined: tuple[SourceFile, ...]
    """What is compiled if the header is another one: all of ``files`` as one file."""


@dataclass(frozen=True)
class StableExtension:
    """What ``abi=stable`` adds to upstream's ``CUDAExtension``."""

    include_dir: str
    libraries: tuple[str, ...]
    link_flags: tuple[str, ...]


@dataclass(frozen=True)
class TorchStandIn:
    """What ``stable/python/torch`` tells setup.py of torch; ``folder`` holds that package."""

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
    """Take the place of upstream's options (``nvcc_options.REPLACED``); empty where nothing is compiled."""
    cxx_flags: tuple[str, ...]
    stable: Optional[StableExtension]
    stand_in: Optional[TorchStandIn]
    """Takes torch's place; None where setup.py imports torch itself."""
    regroupings: tuple[Regrouping, ...]
    as_if_gpu: str = ""
    """For the setup.py of a fork: the capability (``9.0``) of the GPU that it is told of, whatever is here, and its missing texts are
    empty; nothing for others."""


@dataclass(frozen=True)
class SharedPasses:
    """Files (patterns of their names) that are compiled with other architecture options than the rest."""

    files: tuple[str, ...]
    flags: tuple[str, ...]


@dataclass(frozen=True)
class DerivedPtx:
    """Files (patterns of their names) for which cicc runs once and its PTX is rewritten for other architectures."""

    files: tuple[str, ...]
    source: str
    """The architecture for which cicc runs: ``compute_80``."""
    targets: tuple[str, ...]
    threads: int
    """Of cicc's optimiser, while the other architectures wait for it."""


@dataclass(frozen=True)
class ShimConfig:
    """What the stand-ins of the compilers need to know."""

    build_folders: tuple[str, ...]
    """Names of the build folder; a temporary link and the real path are two."""
    source_path_option: bool
    """Whether cudafe++ takes ``--orig_src_path_name``."""
    seed_option: bool
    """Whether nvcc takes ``-frandom-seed``."""
    shared_passes: Optional[SharedPasses]
    derived_ptx: Optional[DerivedPtx]
    one_architecture: bool
    """Whether nvcc works on one architecture at a time, as memory was short."""
    cache_command: tuple[str, ...]
    """A compiler cache; empty without one."""
    fixed_folder: str
    """A folder of the same name in every build that links to this one's, for sccache; empty without."""
    nvcc_prepend: tuple[str, ...]
    nvcc_append: tuple[str, ...]
    """Words of ``NVCC_PREPEND_FLAGS`` and ``NVCC_APPEND_FLAGS``."""


@dataclass(frozen=True)
class BuildStep:
    """One run of upstream's setup.py, and of the compilers that it starts."""

    setup_py: SetupPy
    shims: Optional[ShimConfig]
    """None where nothing is compiled, such as for ``egg_info``."""


def write(step: BuildStep, path: str) -> None:
    """Write a step's file; its readers never see half of it."""
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
    """Read the stand-ins' part of the file that ``STEP_FILE`` names. Raises ProtocolError."""
    path = environ.get(STEP_FILE)
    if not path:
        raise ProtocolError(f"{STEP_FILE} is not set: the stand-ins of compilers run inside a build only")
    config = read(path).shims
    if config is None:
        raise ProtocolError(f"{path}: step.shims is null, and a compiler was started")
    return config


def _read_value(kind: Any, value: Any, name: str) -> Any:
    """``value`` as the type ``kind``: a dataclass, ``tuple[X, ...]``, ``Optional[X]``, str, int or bool. Raises ProtocolError."""
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
