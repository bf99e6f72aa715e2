"""The checks behind ``python -m mamba_ssm_portable``, each a row: what was checked, how it went, what was found."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import _built_for, build_info


@dataclass(frozen=True)
class Row:
    """``state`` is ``ok``, ``failed`` or ``unchecked``."""

    check: str
    state: str
    found: str


def all_rows() -> list[Row]:
    """Run every check; one that fails does not stop the ones that can still say something."""
    rows = [_wheel(), _glibc()]
    torch_row = _torch()
    rows.append(torch_row)
    if torch_row.state == "failed":
        return rows
    rows += [_extension(name) for name in _built_for.EXTENSIONS]
    rows.append(_package())
    if any(row.state == "failed" for row in rows):
        return rows
    return [*rows, *_gpu()]


def _wheel() -> Row:
    try:
        record = build_info()
    except LookupError as error:
        return Row("wheel", "failed", str(error))
    codes = " ".join(code for item in record["plan"]["front_ends"]["value"] for code in item["codes"])
    return Row("wheel", "ok", f"{_built_for.DISTRIBUTION} {_built_for.VERSION}, GPU code for {codes}")


def _glibc() -> Row:
    needed = _measured().get("glibc", "")
    here = ""
    try:
        here = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")[2]
    except (AttributeError, ValueError, OSError):
        here = platform.libc_ver()[1]
    if not needed or not here:
        return Row("glibc", "ok", f"{here or 'unknown'} here")
    fits = _numbers(here) >= _numbers(needed)
    return Row("glibc", "ok" if fits else "failed", f"{here} here, the wheel needs {needed}")


def _measured() -> dict[str, str]:
    try:
        floor: dict[str, str] = build_info()["floor"]["measured"]
    except LookupError:
        return {}
    return floor


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _torch() -> Row:
    try:
        from . import _guard
    except ImportError as error:
        return Row("torch", "failed", str(error))
    assert _guard.misfit() is None
    import torch

    return Row("torch", "ok", f"{torch.__version__}, built for {_built_for.TORCH} with CUDA {_built_for.CUDA}")


def _extension(name: str) -> Row:
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        return Row(name, "failed", str(error))
    return Row(name, "ok", os.path.basename(str(module.__file__)))


def _package() -> Row:
    name = _built_for.UPSTREAM.replace("-", "_")
    try:
        module = importlib.import_module(name)
    except Exception as error:  # what a package does on import is its own; the user needs to see it
        return Row(name, "failed", f"{type(error).__name__}: {error}")
    return Row(name, "ok", f"{getattr(module, '__version__', '')} imports")


def _gpu() -> Iterator[Row]:
    import torch

    if not torch.cuda.is_available():
        yield Row("GPU", "unchecked", "no GPU that torch can use")
        yield Row("kernels", "unchecked", "they run on a GPU only")
        return
    major, minor = torch.cuda.get_device_capability()
    yield Row("GPU", "ok", f"{torch.cuda.get_device_name()}, compute capability {major}.{minor}")
    yield _kernels(torch)


def _kernels(torch: Any) -> Row:
    """Run the selective scan, forward and backward, against upstream's own reference in plain torch."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn, selective_scan_ref

    worst = []
    try:
        # Tolerances of upstream's tests/ops/test_selective_scan.py, relative part.
        for dtype, tolerance in ((torch.float32, 6e-4), (torch.float16, 3e-3), (torch.bfloat16, 3e-2)):
            ours, reference = (_scan(torch, scan, dtype) for scan in (selective_scan_fn, selective_scan_ref))
            for name, a, b in zip(("out", "du", "ddelta", "dA", "dB", "dC", "dD"), ours, reference):
                scale = b.float().abs().max().item() or 1.0
                error = (a.float() - b.float()).abs().max().item() / scale
                # Gradients sum over the sequence: upstream allows them several times the forward tolerance.
                allowed = tolerance * (1 if name == "out" else 5)
                worst.append(error / allowed)
                if not error <= allowed:
                    return Row(
                        "kernels",
                        "failed",
                        f"{name} in {dtype} is off by {error:.1e} of its largest value; {allowed:.0e} is allowed",
                    )
    except RuntimeError as error:
        return Row("kernels", "failed", str(error).splitlines()[0])
    return Row(
        "kernels",
        "ok",
        f"selective scan, forward and backward, fp32 fp16 bf16: as the reference ({max(worst):.0%} of what is allowed)",
    )


def _scan(torch: Any, scan: Any, dtype: Any) -> list[Any]:
    torch.manual_seed(0)
    batch, dim, state, length = 2, 64, 16, 512
    made = {"device": "cuda", "dtype": dtype}
    u = torch.randn(batch, dim, length, **made).requires_grad_()
    delta = (0.5 * torch.rand(batch, dim, length, **made)).requires_grad_()
    A = (-0.5 * torch.rand(dim, state, device="cuda")).requires_grad_()
    B = torch.randn(batch, state, length, **made).requires_grad_()
    C = torch.randn(batch, state, length, **made).requires_grad_()
    D = torch.randn(dim, device="cuda").requires_grad_()
    out = scan(u, delta, A, B, C, D, z=None, delta_bias=None, delta_softplus=True)
    out.backward(torch.randn_like(out))
    return [out.detach(), *(x.grad for x in (u, delta, A, B, C, D))]
