"""The few third-party modules that planning needs, wherever this interpreter has them.

In an isolated build they are build requirements. `python -m mamba_build_backend doctor`, however, must run in a virtual
environment that holds nothing but torch and pip, before anything was installed: there pip's own copies serve.
"""

from __future__ import annotations

import sys
from importlib import import_module
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
        package = name.partition(".")[0]
        raise ToolError(
            f"this Python has neither {package} nor a pip that carries it ({sys.executable})",
            "the backend needs it to read versions and settings",
            (f"{sys.executable} -m pip install {package}", f"uv pip install --python {sys.executable} {package}"),
        )

    platformdirs = _find("platformdirs")
    requirements = _find("packaging.requirements")
    specifiers = _find("packaging.specifiers")
    utils = _find("packaging.utils")
    version = _find("packaging.version")
    tomllib = _find("tomllib") if sys.version_info >= (3, 11) else _find("tomli")

__all__ = ["platformdirs", "requirements", "specifiers", "tomllib", "utils", "version"]
