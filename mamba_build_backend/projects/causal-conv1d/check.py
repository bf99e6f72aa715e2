"""The convolution, forward and backward, against upstream's own reference in plain torch.

Every wheel of causal-conv1d carries this file and runs it on a GPU: ``results`` gives pairs of tensors to compare.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TITLE = "causal conv1d"
COVERS = "forward and backward, fp32 fp16 bf16"


def results() -> Iterator[tuple[str, Any, Any, float]]:
    """Names, results, references, and by which part of the largest value the two may differ."""
    import torch
    from causal_conv1d import causal_conv1d_fn
    from causal_conv1d.causal_conv1d_interface import causal_conv1d_ref

    # Tolerances of upstream's tests/test_causal_conv1d.py, relative part. Gradients sum over the sequence: upstream allows
    # them several times the forward tolerance.
    for dtype, tolerance in ((torch.float32, 3e-4), (torch.float16, 3e-3), (torch.bfloat16, 1e-2)):
        for name, ours, reference in zip(
            ("out", "dx", "dweight", "dbias"), _conv(causal_conv1d_fn, dtype), _conv(causal_conv1d_ref, dtype)
        ):
            yield f"{name} in {dtype}", ours, reference, tolerance * (1 if name == "out" else 5)


def _conv(convolve: Any, dtype: Any) -> list[Any]:
    import torch

    torch.manual_seed(0)
    x = torch.randn(2, 64, 512, device="cuda", dtype=dtype).requires_grad_()
    weight = torch.randn(64, 4, device="cuda", dtype=dtype).requires_grad_()
    bias = torch.randn(64, device="cuda", dtype=dtype).requires_grad_()
    out = convolve(x, weight, bias, activation="silu")
    out.backward(torch.randn_like(out))
    return [out.detach(), x.grad, weight.grad, bias.grad]
