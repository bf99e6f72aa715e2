"""The convolution, forward and backward, against plain torch in float64, at the lengths where a kernel's vectors and chunks end.

Every wheel of causal-conv1d carries this file and runs it on a GPU: ``results`` gives pairs of tensors to compare.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TITLE = "causal conv1d"
WIDTH, CHANNELS = 4, 64
SHORT, VECTOR = (1, 2, 3, 5, 8, 64, 65), 9
"""Lengths of less than a chunk, and by how many steps those around a chunk's end lie apart from it."""


def lengths(chunk: int) -> list[int]:
    """Around one chunk and two: a kernel takes 512 steps of float32 at once, or 1,024 of half precision (csrc/causal_conv1d_bwd.cu)."""
    return sorted({*SHORT, *range(chunk - VECTOR, chunk + VECTOR + 1), *range(2 * chunk - 1, 2 * chunk + VECTOR + 1)})


COVERS = f"forward and backward, fp32 fp16 bf16, right at {len(set(lengths(512)) | set(lengths(1024)))} lengths"


def results() -> Iterator[tuple[str, Any, Any, float]]:
    """Names, results, references, and by which part of the largest value the two may differ."""
    import torch
    from causal_conv1d import causal_conv1d_fn

    # Tolerances of upstream's tests/test_causal_conv1d.py, relative part. Gradients sum over the sequence: upstream allows
    # them several times the forward tolerance.
    for dtype, tolerance in ((torch.float32, 3e-4), (torch.float16, 3e-3), (torch.bfloat16, 1e-2)):
        for length in lengths(512 if dtype == torch.float32 else 1024):
            for layout in ("channels first", "channels last"):
                given = _given(length, dtype, layout)
                for name, ours, reference in zip(
                    ("out", "dx", "dweight", "dbias"), _run(causal_conv1d_fn, *given), _run(_reference, *given)
                ):
                    allowed = tolerance * (1 if name == "out" else 5)
                    yield f"{name} of {length} steps in {dtype}, {layout},", ours, reference, allowed


def _given(length: int, dtype: Any, layout: str) -> list[Any]:
    """x, weight, bias and the gradient of the output."""
    import torch

    generator = torch.Generator("cuda").manual_seed(0)
    shapes = ((2, CHANNELS, length), (CHANNELS, WIDTH), (CHANNELS,), (2, CHANNELS, length))
    given = [torch.randn(shape, device="cuda", generator=generator).to(dtype) for shape in shapes]
    if layout == "channels last":
        given[0] = given[0].transpose(1, 2).contiguous().transpose(1, 2)
    return given


def _run(convolve: Any, *given: Any) -> list[Any]:
    x, weight, bias, gradient = (item.detach().clone(memory_format=_kept()) for item in given)
    leaves = [item.requires_grad_() for item in (x, weight, bias)]
    out = convolve(*leaves, activation="silu")
    out.backward(gradient.to(out.dtype))
    return [out.detach(), *(item.grad for item in leaves)]


def _kept() -> Any:
    import torch

    return torch.preserve_format


def _reference(x: Any, weight: Any, bias: Any, activation: str) -> Any:
    """The same in float64: each step is a sum over the steps before it, so that no library's convolution has a say."""
    import torch

    assert activation == "silu"
    padded = torch.nn.functional.pad(x.double(), (WIDTH - 1, 0))
    terms = (weight.double()[:, tap, None] * padded[..., tap : tap + x.shape[-1]] for tap in range(WIDTH))
    return torch.nn.functional.silu(sum(terms) + bias.double()[:, None])
