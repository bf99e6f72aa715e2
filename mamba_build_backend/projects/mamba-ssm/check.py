"""Compare the selective scan, forward and backward, with upstream's own reference in plain torch.

Every wheel of mamba-ssm contains this file; ``results`` runs on a GPU and yields pairs of tensors to compare.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TITLE = "selective scan"
LENGTHS = (1, 7, 129, 512, 513, 2049)
"""Lengths around the ends of a kernel's blocks: a kernel handles 128 to 2,048 steps at once (csrc/selective_scan)."""
MORE = (2, 3, 64, 65, 127, 128, 130, 255, 256, 257, 511, 515, 1023, 1024, 1025, 2047, 2048, 2050, 4097)
"""Lengths for ``--full``: around the same ends, on both sides."""
COVERS = f"forward and backward, fp32 fp16 bf16, right at {len(LENGTHS)} lengths"
COVERS_MORE = f"{COVERS} and at {len(MORE)} more"


def results() -> Iterator[tuple[str, Any, Any, float]]:
    """Yield name, result, reference, and the tolerance relative to the largest value."""
    return _compared(LENGTHS)


def more_results() -> Iterator[tuple[str, Any, Any, float]]:
    """Yield the same for more lengths: for ``--full``."""
    return _compared(MORE)


def _compared(lengths: tuple[int, ...]) -> Iterator[tuple[str, Any, Any, float]]:
    import torch
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn, selective_scan_ref

    # Tolerances of upstream's tests/ops/test_selective_scan.py, relative part. Gradients sum over the sequence:
    # upstream allows them several times the forward tolerance.
    tolerances = {torch.float32: 6e-4, torch.float16: 3e-3, torch.bfloat16: 3e-2}
    cases = [(dtype, length) for dtype in tolerances for length in lengths]
    # The reference is slow, one step after the other, so all cases are groups of one call. Steps beyond a case's length
    # are ignored, and their gradients are zeros.
    given = [_given(dtype, length, max(lengths)) for dtype, length in cases]
    whole = [torch.cat([case[i].float() for case in given], dim) for i, dim in enumerate((1, 1, 0, 1, 1, 0, 1))]
    references = [
        item.chunk(len(cases), dim) for item, dim in zip(_scan(selective_scan_ref, *whole), (1, 1, 1, 0, 1, 1, 0))
    ]
    for i, (dtype, length) in enumerate(cases):
        cut = [item[..., :length] if item.dim() > 2 else item for item in given[i]]
        for name, ours, reference in zip(
            ("out", "du", "ddelta", "dA", "dB", "dC", "dD"),
            _scan(selective_scan_fn, *cut),
            [item[i] for item in references],
        ):
            allowed = tolerances[dtype] * (1 if name == "out" else 5)
            expected = reference[..., :length] if reference.dim() > 2 else reference
            yield f"{name} of {length} steps in {dtype}", ours, expected, allowed


def _given(dtype: Any, length: int, longest: int) -> list[Any]:
    """Return u, delta, A, B, C, D and the gradient of the output, which is zero from ``length`` on."""
    import torch

    torch.manual_seed(length)
    batch, dim, state = 2, 8, 16
    options = {"device": "cuda", "dtype": dtype}
    gradient = torch.randn(batch, dim, longest, **options)
    gradient[..., length:] = 0
    return [
        torch.randn(batch, dim, longest, **options),
        0.5 * torch.rand(batch, dim, longest, **options),
        -0.5 * torch.rand(dim, state, device="cuda"),
        torch.randn(batch, 1, state, longest, **options),
        torch.randn(batch, 1, state, longest, **options),
        torch.randn(dim, device="cuda"),
        gradient,
    ]


def _scan(scan: Any, *given: Any) -> list[Any]:
    inputs = [item.detach().requires_grad_() for item in given[:-1]]
    out = scan(*inputs, z=None, delta_bias=None, delta_softplus=True)
    out.backward(given[-1])
    return [out.detach(), *(item.grad for item in inputs)]
