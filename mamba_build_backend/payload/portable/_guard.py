"""Says which torch is needed before a binary is loaded that another torch could only answer with ``undefined symbol``."""

from __future__ import annotations

from . import _built_for


def misfit() -> str | None:
    """Why the torch that is installed does not fit this wheel, and what to type; None if it fits."""
    name = f"{_built_for.UPSTREAM} ({_built_for.DISTRIBUTION})"
    cuda = _built_for.CUDA.partition(".")[0]
    stable = _built_for.ABI == "stable"
    least = f"'torch>={_built_for.TORCH}'" if stable else f"'torch=={_built_for.TORCH}.*'"
    built = f"{name} was built for torch {_built_for.TORCH}{' and newer' if stable else ''} with CUDA {cuda}"
    install = f"python -m pip install {least}"
    # Of a torch that is new enough, pip would say that it is installed.
    other = f"uv pip install --reinstall {least} --torch-backend=cu{_built_for.CUDA.replace('.', '')}"
    rebuild = f"python -m pip install --force-reinstall --no-deps --no-cache-dir --no-binary {_built_for.DISTRIBUTION} {_built_for.DISTRIBUTION}"
    again = f"\n  or:   {rebuild}   (build it again for your torch)"
    advice = f"\n  type: {install}   ({'a' if stable else 'the'} torch that it was built for){again}"
    advice_cuda = f"\n  type: {other}   (one for CUDA {cuda}){again}"
    try:
        import torch
    except ImportError as error:
        return f"{built}, and torch cannot be imported ({error}).\n  type: {install}"
    found = torch.__version__
    release = _release(found)
    if release < _release(_built_for.TORCH) if stable else release != _release(_built_for.TORCH):
        return f"{built}, and torch {found} is installed.{advice}"
    if torch.version.cuda is None:
        return f"{built}, and torch {found} is a build without CUDA.{advice_cuda}"
    if torch.version.cuda.partition(".")[0] != cuda:
        return f"{built}, and torch {found} is a build for CUDA {torch.version.cuda}.{advice_cuda}"
    if stable:
        return None
    abi = bool(torch._C._GLIBCXX_USE_CXX11_ABI)
    if _built_for.CXX11_ABI is not None and abi != _built_for.CXX11_ABI:
        return f"{built} and the C++ ABI {int(_built_for.CXX11_ABI)}, and torch {found} has the C++ ABI {int(abi)}.{advice}"
    return None


def _release(version: str) -> tuple[int, ...]:
    """``(2, 11)`` of ``2.11.0+cu130``."""
    return tuple(int("".join(filter(str.isdigit, part)) or 0) for part in version.partition("+")[0].split(".")[:2])


_why = misfit()
if _why is not None:
    raise ImportError(_why)
