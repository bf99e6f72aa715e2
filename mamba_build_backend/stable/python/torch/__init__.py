"""A stand-in for torch while setup.py runs for a build with ``abi=stable``: only names that setup.py uses, nothing that computes.

``compile/_setup_py_child.py`` puts this folder on the path and calls :func:`describe`. A missing name raises AttributeError or
ImportError, and the child then names the setting that installs the real torch.
"""

from __future__ import annotations

from types import SimpleNamespace

from . import cuda, utils, version

__all__ = ["cuda", "describe", "utils", "version"]

__version__ = "0"
_C = SimpleNamespace(_GLIBCXX_USE_CXX11_ABI=True)
"""setup.py uses it only for the names of wheels to download, which the build refuses."""


def describe(release: str, cuda_release: str) -> None:
    """Set the versions of torch and CUDA that setup.py sees: ``2.15.0``, ``13.0``."""
    global __version__
    __version__, version.__version__, version.cuda = release, release, cuda_release
