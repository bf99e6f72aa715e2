"""The cost of a call, and the speed of the kernels: wheels with abi=stable compared with upstream's own binding.

    python benchmarks/call_overhead.py --ours mamba.whl conv.whl --theirs mamba.whl conv.whl [--json]

THEIRS are wheels with abi=torch, or upstream's wheels: the same source, with a binding by pybind11. One process loads
both and alternates between them, so that other work of the machine affects both. Microseconds of the host are those of
a call that returns before its kernel ends; those of the GPU are between two CUDA events around many large calls. Needs
a GPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch

ROUNDS, CALLS = 60, 100
SHAPES = ((8, 2048, 2048), (32, 1024, 512), (8, 2048, 4096), (16, 2048, 1000), (64, 2048, 128))
"""Batch, channels and length of a scan. Upstream has separate kernels up to 128, 256, 512, 1024 steps, for more, and
for lengths that fill no block."""
Case = Callable[[ModuleType], Callable[[], object]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", nargs="+", type=Path, required=True, metavar="WHEEL")
    parser.add_argument("--theirs", nargs="+", type=Path, required=True, metavar="WHEEL")
    parser.add_argument("--only", choices=("host", "GPU"), default="", help="calls of the one kind")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("torch finds no GPU here")
    with tempfile.TemporaryDirectory() as folder:
        ours = load_modules(options.ours, Path(folder) / "ours")
        theirs = load_modules(options.theirs, Path(folder) / "theirs")
        rows = []
        for name, (module, make) in {**small_cases(), **large_cases()}.items():
            if module not in ours.keys() & theirs.keys() or not name.startswith(options.only):
                continue
            measure = on_gpu if name in large_cases() else on_host
            pair = measure(make(ours[module]), make(theirs[module]))
            rows.append({"case": name, "ours": pair[0], "theirs": pair[1], "ratio": pair[0] / pair[1]})
    if options.json:
        print(json.dumps({"torch": torch.__version__, "gpu": torch.cuda.get_device_name(), "rows": rows}, indent=1))
    else:
        print(
            f"{torch.cuda.get_device_name()}, torch {torch.__version__}; microseconds a call; "
            f"medians of {ROUNDS} rounds, of {ROUNDS // 4} on the GPU"
        )
        print(f"{'':52} {'ours':>9} {'theirs':>9} {'ratio':>7}")
        for row in rows:
            print(f"{row['case']:52} {row['ours']:9.2f} {row['theirs']:9.2f} {row['ratio']:7.3f}")
    return 0


def load_modules(wheels: list[Path], folder: Path) -> dict[str, ModuleType]:
    """The extension modules of the wheels, by name, each loaded from a folder of its own."""
    found = {}
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                module = Path(name).name.partition(".")[0]
                if module in ("selective_scan_cuda", "causal_conv1d_cuda") and name.endswith(".so"):
                    # Python takes PyInit_… from what follows the last dot, and keeps modules of two names apart.
                    spec = importlib.util.spec_from_file_location(
                        f"{folder.name}.{module}", archive.extract(name, folder)
                    )
                    assert spec is not None and spec.loader is not None
                    found[module] = importlib.util.module_from_spec(spec)
                    spec.loader.exec_module(found[module])
    return found


def scan_arguments(
    batch: int, dim: int, length: int, *, dtype: torch.dtype, weight: torch.dtype = torch.float32
) -> dict[str, torch.Tensor]:
    """Arguments of the scan, with B and C that vary along the sequence, as a Mamba block makes them."""
    generator = torch.Generator("cuda").manual_seed(0)

    def random(*shape: int, kind: torch.dtype = dtype) -> torch.Tensor:
        return torch.rand(*shape, device="cuda", dtype=torch.float32, generator=generator).to(kind)

    state = 16
    wide = length * (2 if weight.is_complex else 1)
    return {
        "u": random(batch, dim, length),
        "delta": random(batch, dim, length),
        "A": -random(dim, state, kind=torch.float32).to(weight),
        "B": random(batch, 1, state, wide),
        "C": random(batch, 1, state, wide),
        "D": random(dim, kind=torch.float32),
        "z": random(batch, dim, length),
        "delta_bias": random(dim, kind=torch.float32),
    }


def scan_forward(*shape: int, dtype: torch.dtype, full: bool, weight: torch.dtype = torch.float32) -> Case:
    def make(module: ModuleType) -> Callable[[], object]:
        given = scan_arguments(*shape, dtype=dtype, weight=weight)
        rest = [given[name] if full else None for name in ("D", "z", "delta_bias")]
        arguments = [*(given[name] for name in ("u", "delta", "A", "B", "C")), *rest, True]
        return lambda: module.fwd(*arguments)

    return make


def scan_backward(*shape: int, dtype: torch.dtype, weight: torch.dtype = torch.float32) -> Case:
    def make(module: ModuleType) -> Callable[[], object]:
        given = scan_arguments(*shape, dtype=dtype, weight=weight)
        names = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")
        out, x, *_ = module.fwd(*(given[name] for name in names), True)
        rest = [torch.ones_like(out), x, out, None, True, False]
        arguments = [*(given[name] for name in names), *rest]
        return lambda: module.bwd(*arguments)

    return make


def convolution(batch: int, dim: int, length: int, *, update: bool = False) -> Case:
    def make(module: ModuleType) -> Callable[[], object]:
        torch.manual_seed(0)
        x = torch.randn(batch, dim, length, device="cuda", dtype=torch.bfloat16)
        weight = torch.randn(dim, 4, device="cuda", dtype=torch.bfloat16)
        bias = torch.randn(dim, device="cuda", dtype=torch.bfloat16)
        out = torch.empty_like(x)
        if update:
            state = torch.zeros(batch, dim, 4, device="cuda", dtype=torch.bfloat16)
            return lambda: module.causal_conv1d_update(x, state, weight, bias, out, True, None, None)
        return lambda: module.causal_conv1d_fwd(x, weight, bias, None, None, out, None, True)

    return make


def convolution_backward(batch: int, dim: int, length: int, *, dtype: torch.dtype) -> Case:
    def make(module: ModuleType) -> Callable[[], object]:
        torch.manual_seed(0)
        x, dout = (torch.randn(batch, dim, length, device="cuda", dtype=dtype) for _ in range(2))
        weight, bias = torch.randn(dim, 4, device="cuda", dtype=dtype), torch.randn(dim, device="cuda", dtype=dtype)
        into = (
            torch.empty_like(x),
            torch.zeros_like(weight, dtype=torch.float32),
            torch.zeros_like(bias, dtype=torch.float32),
        )
        return lambda: module.causal_conv1d_bwd(x, weight, bias, dout, None, None, None, *into, None, True)

    return make


def small_cases() -> dict[str, tuple[str, Case]]:
    """Calls whose kernels end at once, so that they measure the host's work."""
    tiny, scan, conv = (1, 64, 16), "selective_scan_cuda", "causal_conv1d_cuda"
    return {
        "host: scan forward, 5 tensors": (scan, scan_forward(*tiny, dtype=torch.float32, full=False)),
        "host: scan forward, D, z, delta_bias": (scan, scan_forward(*tiny, dtype=torch.float32, full=True)),
        "host: scan backward, D, z, delta_bias": (scan, scan_backward(*tiny, dtype=torch.float32)),
        "host: convolution forward": (conv, convolution(1, 64, 16)),
        "host: convolution update": (conv, convolution(1, 64, 1, update=True)),
    }


def large_cases() -> dict[str, tuple[str, Case]]:
    """Calls whose kernels take much longer than the host."""
    scan, conv = "selective_scan_cuda", "causal_conv1d_cuda"
    cases: dict[str, tuple[str, Case]] = {}
    for weight, dtype in itertools.product(
        (torch.float32, torch.complex64), (torch.float32, torch.float16, torch.bfloat16)
    ):
        for shape in SHAPES if not weight.is_complex else SHAPES[:2]:
            about = f"{str(dtype)[6:]}, {'complex, ' if weight.is_complex else ''}{' x '.join(map(str, shape))}"
            cases[f"GPU: scan forward, {about}"] = (scan, scan_forward(*shape, dtype=dtype, full=True, weight=weight))
            cases[f"GPU: scan backward, {about}"] = (scan, scan_backward(*shape, dtype=dtype, weight=weight))
    cases["GPU: convolution forward, bfloat16, 8 x 2048 x 2048"] = (conv, convolution(8, 2048, 2048))
    # Lengths that fill no vector take the other kernel.
    for length in (4096, 4095, 4097):
        for kind in (torch.bfloat16, torch.float32):
            name = f"GPU: convolution backward, {str(kind)[6:]}, 8 x 4096 x {length}"
            cases[name] = (conv, convolution_backward(8, 4096, length, dtype=kind))
    return cases


def on_host(one: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    times: tuple[list[float], list[float]] = ([], [])
    for index in range(2 * (ROUNDS + 5)):
        call = (one, other)[index % 2]
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(CALLS):
            call()
        times[index % 2].append((time.perf_counter() - start) / CALLS * 1e6)
    torch.cuda.synchronize()
    return statistics.median(times[0][5:]), statistics.median(times[1][5:])


def on_gpu(one: Callable[[], object], other: Callable[[], object], calls: int = 10) -> tuple[float, float]:
    times: tuple[list[float], list[float]] = ([], [])
    for index in range(2 * (ROUNDS // 4 + 2)):
        call = (one, other)[index % 2]
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        call()
        start.record()
        for _ in range(calls):
            call()
        end.record()
        end.synchronize()
        times[index % 2].append(start.elapsed_time(end) / calls * 1e3)
    return statistics.median(times[0][2:]), statistics.median(times[1][2:])


if __name__ == "__main__":
    sys.exit(main())
