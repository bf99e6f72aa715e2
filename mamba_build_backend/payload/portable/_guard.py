"""Check the installed torch before the extension is loaded, which would fail with ``undefined symbol`` for another torch."""

from __future__ import annotations

import re
from importlib import metadata
from typing import Any

from . import _built_for

_STABLE = _built_for.ABI == "stable"
_REBUILD = f"python -m pip install --force-reinstall --no-deps --no-cache-dir --no-binary {_built_for.DISTRIBUTION} {_built_for.DISTRIBUTION}"


def misfit() -> str | None:
    """Return why the installed torch does not fit this wheel, with the command that fixes it; None if it fits."""
    least = f"'torch>={_built_for.TORCH}'" if _STABLE else f"'torch=={_built_for.TORCH}.*'"
    cuda = _built_for.CUDA.partition(".")[0]
    ties = f"{_built_for.TORCH} and newer, for any CUDA" if _STABLE else f"{_built_for.TORCH} with CUDA {cuda}"
    built = f"{_built_for.UPSTREAM} ({_built_for.DISTRIBUTION}) was built for torch {ties}"
    install = f"python -m pip install {least}"
    try:
        import torch
    except Exception as error:  # a broken torch may raise other errors than ImportError
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        return f"{built}, and torch cannot be imported ({said}).\n  fix:  {install}"
    try:
        return _misfit_of(torch, built, least)
    except Exception:  # an attribute that every torch has is missing, or has another type
        whole = "python -m pip install --force-reinstall torch"
        return f"{built}, and the module torch here is not torch, or only a remnant of torch.\n  fix:  {whole}"


def _misfit_of(torch: Any, built: str, least: str) -> str | None:
    """Return the same for an imported torch; if this raises, the module is not a complete torch."""
    install, cuda = f"python -m pip install {least}", _built_for.CUDA.partition(".")[0]
    again = f"\n  or:   {_REBUILD}   (rebuilds for your torch)"
    if why := _other_release(torch):
        fits = "a torch that this wheel supports" if _STABLE else "the torch that this wheel was built for"
        return f"{built}, and {why}.\n  fix:  {install}   ({fits}){again}"
    if getattr(torch.version, "hip", None):
        # The user needs this torch for an AMD GPU: suggest no command that replaces it.
        upstream = _built_for.UPSTREAM.partition(" ")[0]
        own = f"python -m pip install --no-build-isolation --no-binary {upstream} {upstream}"
        return f"{built}, and torch {torch.__version__} is a build for ROCm.\n  fix:  {own}   (upstream's own build for ROCm)"
    if why := _other_cuda(torch, cuda):
        # pip would not replace an installed torch of the right version.
        backend = "auto" if _STABLE else f"cu{_built_for.CUDA.replace('.', '')}"
        kind = "a CUDA that your driver supports" if _STABLE else f"CUDA {cuda}"
        way = f"uv pip install --reinstall {least} --torch-backend={backend}"
        return f"{built}, and {why}.\n  fix:  {way}   (a torch for {kind}){again}"
    return _other_transformers(torch)


def _other_release(torch: Any) -> str:
    """Describe the installed torch if its version or its C++ ABI differs; else empty."""
    found, release = torch.__version__, _release(str(torch.__version__))
    if release < _release(_built_for.TORCH) if _STABLE else release != _release(_built_for.TORCH):
        return f"torch {found} is installed"
    if _STABLE or torch.version.cuda is None or _built_for.CXX11_ABI is None:
        return ""
    abi = bool(torch._C._GLIBCXX_USE_CXX11_ABI)
    if abi != _built_for.CXX11_ABI:
        return f"torch {found} has the C++ ABI {int(abi)}, the wheel has {int(_built_for.CXX11_ABI)}"
    return ""


def _other_cuda(torch: Any, cuda: str) -> str:
    """Describe the installed torch if it has no CUDA, or another CUDA than a wheel without its own runtime; else empty."""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is a build without CUDA"
    if not _STABLE and torch.version.cuda.partition(".")[0] != cuda:
        return f"torch {torch.__version__} is a build for CUDA {torch.version.cuda}"
    return ""


def _other_transformers(torch: Any) -> str | None:
    """Return the fix if the installed transformers are too new for this torch: they then hide names that upstream imports."""
    minor = ".".join(map(str, _release(str(torch.__version__))))
    fitting = dict(_built_for.TRANSFORMERS).get(minor, "")
    least_too_new = next((part[1:] for part in fitting.split(",") if part.startswith("<")), "")
    if not least_too_new:
        return None
    try:
        found = metadata.version("transformers")
    except Exception:  # not installed, or with damaged metadata
        return None
    if _release(found) < _release(least_too_new):
        return None
    why = f"transformers {found} is installed, which is too new for torch {torch.__version__}"
    return f"{_built_for.UPSTREAM} ({_built_for.DISTRIBUTION}): {why}.\n  fix:  python -m pip install 'transformers{fitting}'"


def _release(version: str) -> tuple[int, ...]:
    """Return ``(2, 11)`` for ``2.11.0+cu130`` and for ``2.11rc1``."""
    first = re.match(r"([0-9]+)\.([0-9]+)", version)
    if first is None:
        raise ValueError(version)
    return int(first[1]), int(first[2])


_why = misfit()
if _why is not None:
    raise ImportError(_why)
