"""The few third-party modules that planning needs, from wherever this interpreter has them.

An isolated build installs them as build requirements. `python -m mamba_build_backend doctor` must also run in a virtual
environment with only torch and pip, before anything is installed: pip's own copies are used there.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .errors import ToolError

if TYPE_CHECKING:
    import platformdirs
    from packaging import requirements, specifiers, utils, version

    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
else:

    def _find(name: str) -> Any:
        for candidate in (name, f"pip._vendor.{name}"):
            try:
                return import_module(candidate)
            except ImportError:
                continue
        return None

    platformdirs = _find("platformdirs")
    requirements = _find("packaging.requirements")
    specifiers = _find("packaging.specifiers")
    utils = _find("packaging.utils")
    version = _find("packaging.version")
    tomllib = _find("tomllib") if sys.version_info >= (3, 11) else _find("tomli")

    _missing = [
        name
        for name, module in (("packaging", requirements), ("platformdirs", platformdirs), ("tomli", tomllib))
        if module is None
    ]
    if _missing:
        # An environment made by uv has no pip; a pip before 21.2, or a distribution's stripped pip, lacks these copies.
        by_uv = f"uv pip install --python {sys.executable} {' '.join(_missing)}"
        by_pip = f"{sys.executable} -m pip install {' '.join(_missing)}"
        own = find_spec("pip") is not None
        raise ToolError(
            f"this Python has neither {', '.join(_missing)} nor a pip that contains it ({sys.executable})",
            "the backend needs it to read versions and settings",
            (by_pip, by_uv) if own else (by_uv, f"{sys.executable} -m ensurepip   (installs pip, which contains it)"),
        )

__all__ = ["platformdirs", "requirements", "specifiers", "tomllib", "utils", "version"]
