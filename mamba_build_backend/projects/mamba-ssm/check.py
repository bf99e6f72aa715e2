"""The selective scan, forward and backward, against upstream's own reference in plain torch.

Every wheel of mamba-ssm carries this file and runs it on a GPU: ``results`` gives pairs of tensors to compare.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TITLE = "selective scan"
LENGTHS = (1, 7, 129, 512, 513, 2049)
"""Around the ends of a kernel's blocks: it takes 128 to 2,048 steps at once (csrc/selective_scan)."""
MORE = (2, 3, 64, 65, 127, 128, 130, 255, 256, 257, 511, 515, 1023, 1024, 1025, 2047, 2048, 2050, 4097)
"""For ``--full``: around the same ends, on both sides."""
COVERS = f"forward and backward, fp32 fp16 bf16, right at {len(LENGTHS)} lengths"
COVERS_MORE = f"{COVERS} and at {len(MORE)} more"


def results() -> Iterator[tuple[str, Any, Any, float]]:
    """Names, results, references, and by which part of the largest value the two may differ."""
    return _compared(LENGTHS)


def more_results() -> Iterator[tuple[str, Any, Any, float]]:
    """The same at more lengths: for ``--full``."""
    return _compared(MORE)


def _compared(lengths: tuple[int, ...]) -> Iterator[tuple[str, Any, Any, float]]:
    import torch
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn, selective_scan_ref

    # Tolerances of upstream's tests/ops/test_selective_scan.py, relative part. Gradients sum over the sequence: upstream allows
    # them several times the forward tolerance.
    for dtype, tolerance in ((torch.float32, 6e-4), (torch.float16, 3e-3), (torch.bfloat16, 3e-2)):
        for length in lengths:
            for name, ours, reference in zip(
                ("out", "du", "ddelta", "dA", "dB", "dC", "dD"),
                _scan(selective_scan_fn, dtype, length),
                _scan(selective_scan_ref, dtype, length),
            ):
                allowed = tolerance * (1 if name == "out" else 5)
                yield f"{name} of {length} steps in {dtype}", ours, reference, allowed


def _scan(scan: Any, dtype: Any, length: int) -> list[Any]:
    import torch

    torch.manual_seed(0)
    batch, dim, state = 2, 64, 16
    options = {"device": "cuda", "dtype": dtype}
    u = torch.randn(batch, dim, length, **options).requires_grad_()
    delta = (0.5 * torch.rand(batch, dim, length, **options)).requires_grad_()
    A = (-0.5 * torch.rand(dim, state, device="cuda")).requires_grad_()
    B = torch.randn(batch, state, length, **options).requires_grad_()
    C = torch.randn(batch, state, length, **options).requires_grad_()
    D = torch.randn(dim, device="cuda").requires_grad_()
    out = scan(u, delta, A, B, C, D, z=None, delta_bias=None, delta_softplus=True)
    out.backward(torch.randn_like(out))
    return [out.detach(), *(x.grad for x in (u, delta, A, B, C, D))]
