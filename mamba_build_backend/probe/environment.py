"""Variables that would make compilers and linkers search folders of the host or of conda before ours."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from ..core.facts import Polluted
from ..core.paths import is_dir

_PATHS = ("CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH", "LD_RUN_PATH")
_FLAGS = ("LDFLAGS", "CFLAGS", "CXXFLAGS", "CPPFLAGS")
_LINKERS = ("LDSHARED", "LDCXXSHARED")
"""setuptools links with the command in these variables instead of the build's own compiler."""
_OF_NVCC = ("INCLUDES", "LIBRARIES", "NVCC_CCBIN")
"""nvcc searches these before its own folders (nvcc.profile), or reads its host compiler from them: seen with 13.0's
--dryrun."""
_NVCC = ("NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS")


def probe_environment(environ: Mapping[str, str]) -> tuple[Polluted, ...]:
    """The variables that the build drops or shortens.

    LD_LIBRARY_PATH generally stays: a cluster's Python and compilers need their modules' folders to start. conda's
    programs find their libraries without it, so conda's folders are removed: otherwise the linker would search them,
    and the system's programs would load conda's libraries.
    """
    found = [Polluted(name, environ[name]) for name in (*_PATHS, *_FLAGS, *_LINKERS, *_OF_NVCC) if environ.get(name)]
    for name in _NVCC:
        # Activating conda's cuda-nvcc sets its own host compiler there, and nvcc accepts only one -ccbin.
        words = environ.get(name, "").split()
        left = [
            word
            for before, word in zip(["", *words], words)
            if not re.match(r"(-ccbin|--compiler-bindir)(=|$)", word) and before not in ("-ccbin", "--compiler-bindir")
        ]
        if left != words:
            found.append(Polluted(name, environ[name], " ".join(left) or None))
    value = environ.get("LD_LIBRARY_PATH", "")
    kept = [entry for entry in value.split(os.pathsep) if not _of_conda(entry)]
    if value and kept != value.split(os.pathsep):
        found.append(Polluted("LD_LIBRARY_PATH", value, os.pathsep.join(kept) or None))
    return tuple(found)


def _of_conda(entry: str) -> bool:
    """Whether a folder is the lib folder of a conda environment, which contains conda-meta."""
    return bool(entry) and is_dir(Path(entry).parent / "conda-meta")
