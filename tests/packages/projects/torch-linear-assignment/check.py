"""The assignment of workers to tasks on a GPU, against SciPy's on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TITLE = "linear assignment"
COVERS = "more workers than tasks and fewer, fp32 fp64"


def results() -> Iterator[tuple[str, Any, Any, float]]:
    """Names, costs of what the GPU assigns, costs of what SciPy assigns, and the part by which they may differ."""
    import torch
    from torch_linear_assignment import assignment_to_indices, batch_linear_assignment

    torch.manual_seed(0)
    for dtype, allowed in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        for shape in ((4, 20, 30), (4, 30, 20)):
            costs = torch.rand(shape, dtype=dtype)
            ours, reference = (
                costs[torch.arange(4)[:, None], rows, columns].sum(1)
                for rows, columns in (
                    assignment_to_indices(batch_linear_assignment(item).cpu()) for item in (costs.cuda(), costs)
                )
            )
            yield f"the cost of {shape[1]} workers on {shape[2]} tasks in {dtype}", ours, reference, allowed
