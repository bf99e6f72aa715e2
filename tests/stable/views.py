"""Compare real tensors, as a binding compiled with our headers reads them, with what Python says of them.

    python tests/stable/views.py FOLDER [GPU]    FOLDER has view_binding.abi3.so, compiled from view_binding.cpp

``MAMBA_STABLE_READING`` selects how it reads: ``table`` (torch 2.10 and newer), ``aoti`` (2.3 and newer), ``methods``.
A tensor without its own memory must raise a Python error, and nothing may be written to stderr. With ``GPU``, tensors
of each GPU are compared, too.
"""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

import torch

KINDS = {torch.float32: "Float", torch.float16: "Half", torch.bfloat16: "BFloat16", torch.complex64: "ComplexFloat",
         torch.int32: "Int"}  # fmt: skip
OTHERS = (torch.float64, torch.complex128, torch.int64, torch.int16, torch.int8, torch.uint8, torch.bool)


def tensors(device: str) -> Iterator[torch.Tensor]:
    for kind, shape in itertools.product((*KINDS, *OTHERS), ((), (0,), (3,), (1, 64, 16), (2, 0, 5), (1, 1, 1, 7))):
        yield torch.zeros(shape, dtype=kind, device=device)
    whole = torch.zeros(4, 6, 8, 10, device=device)
    yield whole.transpose(1, 3)
    yield whole[1:3, ::2, 3:, 1]
    yield whole[:1].expand(5, 6, 8, 10)
    yield whole[:, :1, :1].to(memory_format=torch.channels_last)
    yield whole.as_strided((1, 4), (77, 0), 13)
    yield whole.clone().requires_grad_() * 2
    yield torch.nn.Parameter(whole[0].clone())
    yield torch.zeros(2, 3, dtype=torch.complex64, device=device).conj()
    yield torch.zeros((1, 2, 1, 2, 1, 2), device=device)
    yield torch.zeros((1, 2, 1, 2, 1, 2, 3), device=device)
    yield torch.zeros([1] * 12, device=device)


def expected(given: torch.Tensor) -> str:
    kind = KINDS.get(given.dtype, "Undefined")
    shape = "".join(f" {size}:{stride}" for size, stride in zip(given.shape, given.stride()))
    return f"{given.device.type} {kind} {given.get_device()} at {given.data_ptr()}{shape}"


def strange() -> Iterator[tuple[str, torch.Tensor]]:
    """What has no memory of its own, or no strides."""
    yield "sparse", torch.eye(3).to_sparse()
    yield "CSR", torch.eye(3).to_sparse_csr()
    if torch.backends.mkldnn.is_available():
        yield "mkldnn", torch.eye(3).to_mkldnn()


def in_functorch(seen: object) -> Iterator[tuple[str, str]]:
    said: dict[str, str] = {}

    def keep(name: str, given: torch.Tensor) -> torch.Tensor:
        said[name] = answer(seen, given)
        return given.sum()

    torch.func.grad(lambda x: keep("grad", x))(torch.ones(3))
    torch.func.vmap(lambda x: keep("vmap", x))(torch.ones(3, 2))
    yield from said.items()


def answer(seen: object, given: torch.Tensor) -> str:
    try:
        seen(given)  # type: ignore[operator]
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}" if str(error) else type(error).__name__
    return "nothing was raised"


def main() -> int:
    warnings.simplefilter("ignore")  # sparse tensors are in beta
    sys.path.insert(0, sys.argv[1])
    import view_binding

    count, wrong = 0, []
    devices = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()) if "GPU" in sys.argv[2:])]
    with tempfile.TemporaryFile() as stderr:
        kept = os.dup(2)
        os.dup2(stderr.fileno(), 2)
        for device in devices:
            for given in tensors(device):
                count += 1
                found, wanted = answer(view_binding.seen, given), f"RuntimeError: {expected(given)}"
                wrong += [f"{found}\n    Python: {wanted}"] if found != wanted else []
        for name, found in (
            *((name, answer(view_binding.seen, given)) for name, given in strange()),
            *in_functorch(view_binding.seen),
        ):
            count += 1
            wrong += (
                [f"{name}: {found}"] if not found.startswith(("RuntimeError: Cannot access data", "NotImpl")) else []
            )
        os.dup2(kept, 2)
        stderr.seek(0)
        written = stderr.read().decode(errors="replace")
    wrong += [f"on stderr: {written.strip().splitlines()[0]}"] if written.strip() else []
    print("\n".join(wrong[:20]))
    print(
        f"torch {torch.__version__}, by {os.environ.get('MAMBA_STABLE_READING', 'table')}: {count} tensors, {len(wrong)} wrong"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
