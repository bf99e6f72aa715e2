"""Compare the convolution, forward and backward, with plain torch in float64, at the lengths where vectors and chunks end.

Every wheel of causal-conv1d contains this file; ``results`` runs on a GPU and yields pairs of tensors to compare.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

TITLE = "causal conv1d"
WIDTH, CHANNELS = 4, 64
SHORT, VECTOR = (1, 2, 3, 5, 8, 64, 65), 9
"""Lengths below a chunk, and how many steps the other lengths differ from a chunk's end."""
MORE = (*range(1, 73), *range(120, 137), *range(500, 525), *range(1012, 1040), *range(2040, 2064), 3079, 4097)
"""Lengths for ``--full``: around the vectors and chunks of both layouts."""


def lengths(chunk: int) -> list[int]:
    """Return lengths around one and two chunks: a kernel handles 512 steps of float32 or 1,024 of half precision at once.

    Source: csrc/causal_conv1d_bwd.cu.
    """
    return sorted({*SHORT, *range(chunk - VECTOR, chunk + VECTOR + 1), *range(2 * chunk - 1, 2 * chunk + VECTOR + 1)})


COVERS = f"forward and backward, fp32 fp16 bf16, right at {len(set(lengths(512)) | set(lengths(1024)))} lengths"


COVERS_MORE = f"{COVERS} and at {len(MORE)} more, widths 2 3 4, with silu and without"


def results() -> Iterator[tuple[str, Any, Any, float]]:
    """Yield name, result, reference, and the tolerance relative to the largest value."""
    return _compared(lengths, (WIDTH,), ("silu",))


def more_results() -> Iterator[tuple[str, Any, Any, float]]:
    """Yield the same for more lengths, all widths, with and without silu: for ``--full``."""
    return _compared(lambda _: MORE, (2, 3, 4), ("silu", None))


def _compared(
    of_chunk: Callable[[int], Iterable[int]], widths: tuple[int, ...], activations: tuple[str | None, ...]
) -> Iterator[tuple[str, Any, Any, float]]:
    import torch
    from causal_conv1d import causal_conv1d_fn

    names, layouts = ("out", "dx", "dweight", "dbias"), ("channels first", "channels last")
    # Tolerances of upstream's tests/test_causal_conv1d.py, relative part. Gradients sum over the sequence: upstream
    # allows them several times the forward tolerance.
    for dtype, tolerance in ((torch.float32, 3e-4), (torch.float16, 3e-3), (torch.bfloat16, 1e-2)):
        for length in of_chunk(512 if dtype == torch.float32 else 1024):
            for layout, width, activation in itertools.product(layouts, widths, activations):
                given = _given(length, dtype, layout, width)
                both = (_run(function, activation, *given) for function in (causal_conv1d_fn, _reference))
                for name, ours, reference in zip(names, *both):
                    allowed = tolerance * (1 if name == "out" else 5)
                    yield f"{name} of {length} steps in {dtype}, {layout}, width {width},", ours, reference, allowed


def _given(length: int, dtype: Any, layout: str, width: int) -> list[Any]:
    """Return x, weight, bias and the gradient of the output."""
    import torch

    generator = torch.Generator("cuda").manual_seed(0)
    shapes = ((2, CHANNELS, length), (CHANNELS, width), (CHANNELS,), (2, CHANNELS, length))
    given = [torch.randn(shape, device="cuda", generator=generator).to(dtype) for shape in shapes]
    if layout == "channels last":
        given[0] = given[0].transpose(1, 2).contiguous().transpose(1, 2)
    return given


def _run(convolve: Any, activation: str | None, *given: Any) -> list[Any]:
    x, weight, bias, gradient = (item.detach().clone(memory_format=_kept()) for item in given)
    leaves = [item.requires_grad_() for item in (x, weight, bias)]
    out = convolve(*leaves, activation=activation)
    out.backward(gradient.to(out.dtype))
    return [out.detach(), *(item.grad for item in leaves)]


def _kept() -> Any:
    import torch

    return torch.preserve_format


def _reference(x: Any, weight: Any, bias: Any, activation: str | None) -> Any:
    """Compute the convolution in float64 as a sum over earlier steps, without any library's convolution."""
    import torch

    width = weight.shape[1]
    padded = torch.nn.functional.pad(x.double(), (width - 1, 0))
    terms = (weight.double()[:, tap, None] * padded[..., tap : tap + x.shape[-1]] for tap in range(width))
    out = sum(terms) + bias.double()[:, None]
    return torch.nn.functional.silu(out) if activation else out
