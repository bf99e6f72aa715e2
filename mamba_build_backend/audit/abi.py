"""Read from its symbols what an extension for Python's stable ABI uses of Python and torch."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ..core._compat import version
from ..core.errors import Problem
from ..symbols.elf import Needs, read_exports
from .types import AbiUse, Extension

_PYTHON = ("Py", "_Py")
_SHIMS = ("aoti_torch_", "torch_")
"""C functions that torch keeps for at least two years (its notes on the LibTorch stable ABI); C++ names begin with _Z."""


def read_abi(path: Path, needs: Needs) -> AbiUse | None:
    """Return the symbols of an ``.abi3.so``; None for any other file."""
    if not path.name.endswith(".abi3.so"):
        return None
    python = [name for name in needs.unversioned if name.startswith(_PYTHON)]
    others = [name for name in needs.unversioned if not name.startswith(_PYTHON)]
    shims = [name for name in others if name.startswith(_SHIMS)]
    added, outside = _looked_up(python)
    return AbiUse(
        python=added,
        python_outside=outside,
        torch_shims=tuple(shims),
        torch_outside=tuple(name for name in others if not name.startswith(_SHIMS)),
        exports=tuple(sorted(item.name for item in read_exports(path))),
    )


def _looked_up(symbols: list[str]) -> tuple[str, tuple[str, ...]]:
    """Return the newest Python that a symbol needs, and symbols outside every stable ABI; empty without abi3info's table."""
    if find_spec("abi3info") is None:
        return "", ()
    from abi3info import DATAS, FUNCTIONS
    from abi3info.models import Symbol

    added, outside = version.Version("3.2"), []
    for name in symbols:
        item = FUNCTIONS.get(Symbol(name)) or DATAS.get(Symbol(name))
        if item is None:
            outside.append(name)
        else:
            added = max(added, version.Version(str(item.added)))
    return str(added), tuple(outside)


def check_abi(extension: Extension, python_min: str, *, stable: bool) -> list[Problem]:
    """Return violations of the ``abi3`` tag for Python ``python_min``, or of ``abi=stable``."""
    use = extension.abi
    if use is None:
        found, needed = f"{extension.path} is for only one Python", "the wheel was built for the stable ABI"
        return [Problem("abi", found, needed, ("-C verbose=true   (shows how the build named it)",))] if stable else []
    problems = []
    if use.python_outside:
        found = f"{extension.path} needs {_few(use.python_outside)}, which Python may change"
        problems.append(Problem("abi-python", found, "the file name promises Python's stable ABI", ()))
    if use.python and python_min and version.Version(use.python) > version.Version(python_min):
        found = f"{extension.path} needs Python {use.python}"
        problems.append(Problem("abi-python", found, f"the tag promises Python {python_min}", ()))
    if stable and use.torch_outside:
        found = f"{extension.path} needs {_few(use.torch_outside)}, which torch may change"
        fix = ("-C abi=torch   (a wheel for one torch minor version)",)
        problems.append(Problem("abi-torch", found, "abi=stable promises every later torch", fix))
    runtimes = [name for name in extension.needed if name.startswith("libcudart")]
    if stable and runtimes:
        found = f"{extension.path} needs {_few(runtimes)}"
        problems.append(Problem("abi-cuda", found, "abi=stable promises a torch for any CUDA", ()))
    strangers = [name for name in use.exports if not name.startswith("PyInit_")]
    if stable and strangers:
        found = f"{extension.path} exports {_few(strangers)}"
        problems.append(Problem("abi-exports", found, "exported names could clash with those of another library", ()))
    return problems


def _few(names: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
