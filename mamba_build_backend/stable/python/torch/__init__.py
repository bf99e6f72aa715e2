"""Stands in for torch while setup.py runs for a build with ``abi=stable``: what setup.py asks of torch, and nothing that computes.

``compile/_setup_py_child.py`` puts this folder on the path and calls :func:`describe`. A name that is missing here is an AttributeError
or an ImportError, which the child answers with what to set to have torch itself.
"""

from __future__ import annotations

from types import SimpleNamespace

from . import cuda, utils, version

__all__ = ["cuda", "describe", "utils", "version"]

__version__ = "0"
_C = SimpleNamespace(_GLIBCXX_USE_CXX11_ABI=True)
"""setup.py names wheels on the web by it, which are not taken."""


def describe(release: str, cuda_release: str) -> None:
    """Say which torch, and which CUDA, setup.py is told of: ``2.15.0``, ``13.0``."""
    global __version__
    __version__, version.__version__, version.cuda = release, release, cuda_release
