"""Says which torch is needed before a binary is loaded that another torch could only answer with ``undefined symbol``."""

from __future__ import annotations

import re
from importlib import metadata
from typing import Any

from . import _built_for

_STABLE = _built_for.ABI == "stable"
_REBUILD = f"python -m pip install --force-reinstall --no-deps --no-cache-dir --no-binary {_built_for.DISTRIBUTION} {_built_for.DISTRIBUTION}"


def misfit() -> str | None:
    """Why the torch that is installed does not fit this wheel, and what to type; None if it fits."""
    least = f"'torch>={_built_for.TORCH}'" if _STABLE else f"'torch=={_built_for.TORCH}.*'"
    cuda = _built_for.CUDA.partition(".")[0]
    ties = f"{_built_for.TORCH} and newer, for any CUDA" if _STABLE else f"{_built_for.TORCH} with CUDA {cuda}"
    built = f"{_built_for.UPSTREAM} ({_built_for.DISTRIBUTION}) was built for torch {ties}"
    install = f"python -m pip install {least}"
    try:
        import torch
    except Exception as error:  # what a broken torch raises is not always an ImportError
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        return f"{built}, and torch cannot be imported ({said}).\n  fix:  {install}"
    try:
        return _misfit_of(torch, built, least)
    except Exception:  # an attribute that every torch has is gone, or of another kind
        whole = "python -m pip install --force-reinstall torch"
        return f"{built}, and what is called torch here is something else, or the rest of one.\n  fix:  {whole}"


def _misfit_of(torch: Any, built: str, least: str) -> str | None:
    """The same of a torch that was imported; whatever it raises, it is none, or the rest of one."""
    install, cuda = f"python -m pip install {least}", _built_for.CUDA.partition(".")[0]
    again = f"\n  or:   {_REBUILD}   (build it again for your torch)"
    if why := _other_release(torch):
        return (
            f"{built}, and {why}.\n  fix:  {install}   ({'a' if _STABLE else 'the'} torch that it was built for){again}"
        )
    if getattr(torch.version, "hip", None):
        # Whoever has such a torch wants it: no command replaces it.
        upstream = _built_for.UPSTREAM.partition(" ")[0]
        own = f"python -m pip install --no-build-isolation --no-binary {upstream} {upstream}"
        return f"{built}, and torch {torch.__version__} is a build for ROCm.\n  fix:  {own}   (upstream's own build for ROCm)"
    if why := _other_cuda(torch, cuda):
        # Of a torch that is new enough, pip would say that it is installed.
        backend = "auto" if _STABLE else f"cu{_built_for.CUDA.replace('.', '')}"
        kind = "CUDA, as your driver has it" if _STABLE else f"CUDA {cuda}"
        way = f"uv pip install --reinstall {least} --torch-backend={backend}"
        return f"{built}, and {why}.\n  fix:  {way}   (one for {kind}){again}"
    return _other_transformers(torch)


def _other_release(torch: Any) -> str:
    """What is installed, if its version or its C++ ABI is another; else empty."""
    found, release = torch.__version__, _release(str(torch.__version__))
    if release < _release(_built_for.TORCH) if _STABLE else release != _release(_built_for.TORCH):
        return f"torch {found} is installed"
    if _STABLE or torch.version.cuda is None or _built_for.CXX11_ABI is None:
        return ""
    abi = bool(torch._C._GLIBCXX_USE_CXX11_ABI)
    if abi != _built_for.CXX11_ABI:
        return f"torch {found} has the C++ ABI {int(abi)}, where the wheel has {int(_built_for.CXX11_ABI)}"
    return ""


def _other_cuda(torch: Any, cuda: str) -> str:
    """What is installed, if it is for no CUDA, or for another than a wheel without a runtime of its own; else empty."""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is a build without CUDA"
    if not _STABLE and torch.version.cuda.partition(".")[0] != cuda:
        return f"torch {torch.__version__} is a build for CUDA {torch.version.cuda}"
    return ""


def _other_transformers(torch: Any) -> str | None:
    """What to type where the transformers that are installed are too new for this torch: they hide what upstream imports of them."""
    minor = ".".join(map(str, _release(str(torch.__version__))))
    fitting = dict(_built_for.TRANSFORMERS).get(minor, "")
    least_too_new = next((part[1:] for part in fitting.split(",") if part.startswith("<")), "")
    if not least_too_new:
        return None
    try:
        found = metadata.version("transformers")
    except Exception:  # it is not there, or its own metadata are damaged
        return None
    if _release(found) < _release(least_too_new):
        return None
    why = f"transformers {found} is installed, which is too new for torch {torch.__version__}"
    return f"{_built_for.UPSTREAM} ({_built_for.DISTRIBUTION}): {why}.\n  fix:  python -m pip install 'transformers{fitting}'"


def _release(version: str) -> tuple[int, ...]:
    """``(2, 11)`` of ``2.11.0+cu130``, and of ``2.11rc1``."""
    first = re.match(r"([0-9]+)\.([0-9]+)", version)
    if first is None:
        raise ValueError(version)
    return int(first[1]), int(first[2])


_why = misfit()
if _why is not None:
    raise ImportError(_why)
