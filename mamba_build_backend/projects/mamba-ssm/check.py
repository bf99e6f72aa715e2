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
    tolerances = {torch.float32: 6e-4, torch.float16: 3e-3, torch.bfloat16: 3e-2}
    cases = [(dtype, length) for dtype in tolerances for length in lengths]
    # The reference takes one step after the other, so that all cases are groups of one call: its output is not asked for
    # beyond a case's length, and the gradients of such steps are zeros.
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
    """u, delta, A, B, C, D and the gradient of the output, which is zero from ``length`` on."""
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
