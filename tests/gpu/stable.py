"""Proves wheels with abi=stable on a GPU, call by call, against wheels of the same source with upstream's own binding.

    python tests/gpu/stable.py --ours mamba.whl conv.whl --theirs mamba.whl conv.whl

Any two builds of the same source can be compared like that, of both projects or of one.

Every output must have the same bits, and every wrong call the same error; on two GPUs also from the other device.
Outputs that upstream's kernels add up with atomics differ from run to run: they may differ as much as upstream's own
repetitions. ``pair.py`` runs upstream's own tests.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from call_overhead import load_modules  # the two loaders must not differ

Modules = tuple[ModuleType, ModuleType]
SCAN, CONV = "selective_scan_cuda", "causal_conv1d_cuda"
COUNTED: dict[str, int] = {}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", nargs="+", type=Path, required=True, metavar="WHEEL")
    parser.add_argument("--theirs", nargs="+", type=Path, required=True, metavar="WHEEL")
    options = parser.parse_args()
    print(f"{torch.cuda.get_device_name()} x {torch.cuda.device_count()}, torch {torch.__version__}")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        ours = load_modules(options.ours, Path(folder) / "ours")
        theirs = load_modules(options.theirs, Path(folder) / "theirs")
        pairs = {name: (ours[name], theirs[name]) for name in ours.keys() & theirs.keys()}
        for check in CHECKS:
            COUNTED.clear()
            try:
                said = check(pairs)
            except KeyError as missing:
                if missing.args[0] not in (SCAN, CONV):
                    raise
                print(f"left out, without {missing.args[0]}: {check.__doc__}")
                continue
            except Exception:
                failed += 1
                print(f"FAILED  {check.__doc__}")
                traceback.print_exc()
                continue
            print(f"ok      {check.__doc__} {said or ' '.join(f'{key}: {value}' for key, value in COUNTED.items())}")
    return 1 if failed else 0


def random(*shape: int, dtype: torch.dtype = torch.float32, device: str = "cuda") -> torch.Tensor:
    return torch.randn(*shape, device=device, dtype=dtype if dtype.is_complex else torch.float32).to(dtype)


def scan_cases() -> Iterator[dict[str, Any]]:
    types = itertools.product(
        (torch.float32, torch.float16, torch.bfloat16), (torch.float32, torch.complex64), (False, True), (False, True)
    )
    for (dtype, weight, vary_b, vary_c), (batch, channels, length, most), full in itertools.product(
        types, ((1, 4, 16, 4), (2, 24, 300, 2), (1, 8, 4097, 8)), (False, True)
    ):
        state = 8
        wide = length * (2 if weight.is_complex else 1)
        # Upstream's backward pass (selective_scan_bwd_kernel.cuh, 2.3.0) doubles the offset of a group in complex dB
        # and dC. With several groups it adds to memory of other tensors.
        alone = weight.is_complex and (vary_b or vary_c)
        dim, groups = (channels // most, 1) if alone else (channels, most)

        varying, fixed = (
            partial(random, batch, groups if vary_b else 1, state, wide, dtype=dtype),
            partial(random, dim, state, dtype=weight),
        )
        a = -torch.rand(dim, state, device="cuda")
        yield {
            "u": random(batch, dim, length, dtype=dtype),
            "delta": torch.rand(batch, dim, length, device="cuda").to(dtype),
            "A": torch.complex(a, random(dim, state)) if weight.is_complex else a,
            "B": (varying if vary_b else fixed)(),
            "C": (varying if vary_c else fixed)(),
            "D": random(dim) if full else None,
            "z": random(batch, dim, length, dtype=dtype) if full else None,
            # Never below nothing, or the state grows without end.
            "delta_bias": torch.rand(dim, device="cuda") if full else None,
        }


NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")


def same(
    pair: Sequence[Sequence[Any]], repeat: Callable[[], Sequence[Any]] | None = None, sums: range = range(0)
) -> None:
    """Raise unless both, ours and theirs, are alike: type, strides and bits.

    Atomics add up the outputs numbered in ``sums``, in any order: they may differ as much as repetitions of theirs, by
    ``repeat``, differ among themselves. For any other difference, the message says whether its repetitions differ.
    """
    ours, theirs = pair
    assert len(ours) == len(theirs), (len(ours), len(theirs))
    runs: list[Sequence[Any]] = []
    for index, (one, other) in enumerate(zip(ours, theirs)):
        if other is None:
            assert one is None, index
            continue
        facts = [(t.dtype, t.shape, t.stride(), t.device, t.requires_grad, type(t)) for t in (one, other)]
        assert facts[0] == facts[1], facts
        equal = torch.equal(bits(one), bits(other))
        if not equal:
            places = (bits(one) != bits(other)).sum().item()
            said = f"output {index}: {places} of {one.numel()} differ, by at most {distance(one, other)}"
            assert repeat is not None, said
            runs = runs or [repeat() for _ in range(8)]
            spread = max(distance(run[index], other) for run in runs)
            # Eight repetitions may miss an order: the last bits of a sum depend on its largest part.
            rounding = (
                4 * torch.finfo(one.dtype).eps * float(other.abs().max())
                if one.is_floating_point() or one.is_complex()
                else 0
            )
            near = (one - other).abs() <= max(4 * spread, rounding)
            if one.element_size() == 2:
                # A sum between two such numbers may be rounded to either.
                near |= (bits(one).int() - bits(other).int()).abs() <= 1
            within = index in sums and bool(near.all())
            assert within, f"{said}, and upstream's own repetitions by {spread}"
        key = "equal" if equal else "sums in another order"
        COUNTED[key] = COUNTED.get(key, 0) + 1


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return (one - other).abs().max().item()


def bits(tensor: torch.Tensor) -> torch.Tensor:
    real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return real.contiguous().view(torch.int32 if real.element_size() == 4 else torch.int16)


def scan_is_equal(pairs: dict[str, Modules]) -> str:
    """selective_scan_cuda, forward and backward: the same bits;"""
    cases = 0
    for given in scan_cases():
        try:
            cases += scan_case_is_equal(pairs[SCAN], given)
        except AssertionError as error:
            told = {name: (tuple(value.shape), value.dtype) for name, value in given.items() if value is not None}
            raise AssertionError(f"{error}: {told}") from error
    return f"{cases} backward cases, {COUNTED}"


def scan_case_is_equal(modules: Modules, given: dict[str, Any]) -> int:
    ours, theirs = modules
    cases = 0
    forward = [given[name] for name in NAMES]
    for softplus in (False, True):
        results = [module.fwd(*forward, softplus) for module in (ours, theirs)]
        same(results)
        out, x = results[1][0], results[1][1]
        for recompute in (False, True) if given["z"] is not None else (False,):
            dout = torch.ones_like(out) * 0.5
            rest = [dout, x, out, None, softplus, recompute]
            results = [module.bwd(*forward, *rest) for module in (ours, theirs)]
            # dA, dB, dC, dD and ddelta_bias are added up over blocks.
            same(results, partial(theirs.bwd, *forward, *rest), range(0) if single(given) else range(2, 7))
            cases += 1
        if given["z"] is not None:
            dz = [torch.empty_like(given["z"]) for _ in range(2)]
            made = [m.bwd(*forward, dout, x, out, d, softplus, False) for m, d in zip((ours, theirs), dz)]
            assert made[0][7] is dz[0] and made[1][7] is dz[1]
            same([[dz[0]], [dz[1]]])
    return cases


def single(given: dict[str, Any]) -> bool:
    """Whether every sum has one part, so that nothing depends on order."""
    batch, dim = given["u"].shape[:2]
    return batch == 1 and all(given[name].dim() < 3 or given[name].shape[1] == dim for name in "BC")


def conv_cases() -> Iterator[dict[str, Any]]:
    for dtype, weight, last, (batch, dim, length), width, states, sequence in itertools.product(
        (torch.float32, torch.float16, torch.bfloat16),
        (torch.float32, torch.bfloat16),
        (False, True),
        ((1, 8, 16), (2, 64, 515)),
        (2, 4),
        (False, True),
        (False, True),
    ):
        if (states or sequence) and not last:
            continue
        if states and sequence:
            continue

        def laid(*shape: int, dtype: torch.dtype = dtype, last: bool = last) -> torch.Tensor:
            return (
                random(shape[0], shape[2], shape[1], dtype=dtype).transpose(1, 2)
                if last
                else random(*shape, dtype=dtype)
            )

        index = torch.arange(length, device="cuda", dtype=torch.int32) // 7
        yield {
            "x": laid(batch, dim, length),
            "weight": random(dim, width, dtype=weight),
            "bias": random(dim, dtype=weight),
            "seq_idx": index.expand(batch, length).contiguous() if sequence else None,
            "states": laid(batch, dim, width - 1) if states else None,
        }


def conv_is_equal(pairs: dict[str, Modules]) -> str:
    """causal_conv1d_cuda, forward, backward and update: the same bits;"""
    ours, theirs = pairs[CONV]
    cases = 0
    for given in conv_cases():
        x, weight, bias = given["x"], given["weight"], given["bias"]
        for silu, deterministic in itertools.product((False, True), (False, True)):
            torch.use_deterministic_algorithms(deterministic)
            try:
                same([forward_conv(module, given, silu) for module in (ours, theirs)])
                backward = [backward_conv(module, given, silu) for module in (ours, theirs)]
                same(backward, partial(backward_conv, theirs, given, silu), range(0) if deterministic else range(1, 3))
            finally:
                torch.use_deterministic_algorithms(False)
            cases += 1
        steps = []
        for module in (ours, theirs):
            state = torch.ones(x.shape[0], x.shape[1], weight.shape[1], device="cuda", dtype=x.dtype)
            out = torch.empty_like(x[..., :1])
            lengths = torch.zeros(x.shape[0], device="cuda", dtype=torch.int32)
            assert module.causal_conv1d_update(x[..., :1], state, weight, bias, out, True, lengths, None) is None
            steps.append([out, state])
        same(steps)
    return f"{cases} backward cases, {COUNTED}"


def forward_conv(module: ModuleType, given: dict[str, Any], silu: bool) -> list[torch.Tensor]:
    out = torch.empty_like(given["x"])
    final = torch.empty_like(given["states"]) if given["states"] is not None else None
    rest = [given["seq_idx"], given["states"], out, final, silu]
    assert module.causal_conv1d_fwd(given["x"], given["weight"], given["bias"], *rest) is None
    return [out, *([final] if final is not None else [])]


def backward_conv(module: ModuleType, given: dict[str, Any], silu: bool) -> list[torch.Tensor]:
    x, weight, bias, states = given["x"], given["weight"], given["bias"], given["states"]
    dx, dweight, dbias = torch.empty_like(x), torch.zeros_like(weight).float(), torch.zeros_like(bias).float()
    dstates = torch.empty_like(states) if states is not None else None
    dfinal = torch.ones_like(states) if states is not None else None
    rest = [torch.ones_like(x), given["seq_idx"], states, dfinal, dx, dweight, dbias, dstates, silu]
    assert module.causal_conv1d_bwd(x, weight, bias, *rest) is None
    return [dx, dweight, dbias, *([dstates] if dstates is not None else [])]


def determinism_is_asked_each_time(pairs: dict[str, Modules]) -> str:
    """CAUSAL_CONV1D_DETERMINISTIC and torch.use_deterministic_algorithms, changed between calls."""
    given = {"x": random(16, 64, 2048), "weight": random(64, 4), "bias": random(64), "seq_idx": None, "states": None}
    kept = os.environ.get("CAUSAL_CONV1D_DETERMINISTIC")
    said = []
    try:
        for value in (None, "1", "0", None, "1"):
            os.environ.pop("CAUSAL_CONV1D_DETERMINISTIC", None)
            if value is not None:
                os.environ["CAUSAL_CONV1D_DETERMINISTIC"] = value
            for asked in (False, True):
                torch.use_deterministic_algorithms(asked)
                runs = [[backward_conv(module, given, True)[1] for _ in range(4)] for module in pairs[CONV]]
                steady = [all(torch.equal(run[0], other) for other in run) for run in runs]
                if value == "1" or (value is None and asked):
                    assert steady == [True, True], (value, asked, steady)
                    same([[runs[0][0]], [runs[1][0]]])
                said.append(f"{value}/{asked}:{''.join('ny'[one] for one in steady)}")
    finally:
        torch.use_deterministic_algorithms(False)
        os.environ.pop("CAUSAL_CONV1D_DETERMINISTIC", None)
        if kept is not None:
            os.environ["CAUSAL_CONV1D_DETERMINISTIC"] = kept
    return f"(repeats itself, ours and theirs: {' '.join(said)})"


def raised(function: Callable[..., object], *arguments: Any) -> tuple[str, str, Any]:
    try:
        function(*arguments)
    except Exception as error:
        return type(error).__name__, str(error), getattr(error, "error_code", None)
    return "", "", None


def errors_are_equal(pairs: dict[str, Modules]) -> str:
    """wrong calls: the same type and text;"""
    count = 0
    given = next(itertools.islice(scan_cases(), 42, None))
    ours, theirs = pairs[SCAN]
    changes: dict[str, Callable[[torch.Tensor], Any]] = {
        "none": lambda t: None,
        "number": lambda t: 1.5,
        "cpu": lambda t: t.cpu(),
        "half": lambda t: t.half() if not t.is_complex() else t.real,
        "double": lambda t: t.double() if not t.is_complex() else t,
        "turned": lambda t: t.transpose(0, -1),
        "spread": lambda t: t.unsqueeze(-1).expand(*t.shape, 2)[..., 0],
        "flat": lambda t: t.reshape(-1),
        "scalar": lambda t: t.reshape(-1)[0],
        "empty": lambda t: t[:0],
        "meta": lambda t: t.to("meta"),
        "sparse": lambda t: t.to_sparse(),
        "more": lambda t: torch.cat([t, t]),
    }
    for name, (what, change) in itertools.product(NAMES, changes.items()):
        if given[name] is None:
            continue
        wrong = [change(given[key]) if key == name else given[key] for key in NAMES]
        said = [raised(module.fwd, *wrong, True) for module in (ours, theirs)]
        assert said[0][:2] == said[1][:2] or addresses_off(said[0]) == addresses_off(said[1]), (name, what, said)
        count += bool(said[0][0])
    conv = next(conv_cases())
    out = torch.empty_like(conv["x"])
    for what, change in changes.items():
        wrong = [change(conv["x"]), conv["weight"], conv["bias"], None, None, out, None, True]
        said = [raised(module.causal_conv1d_fwd, *wrong) for module in pairs[CONV]]
        assert addresses_off(said[0]) == addresses_off(said[1]), (what, said)
        count += bool(said[0][0])
    index = torch.zeros(1, device="cuda", dtype=torch.int32)
    for bad in ({"cache_seqlens": index.cpu()}, {"cache_seqlens": index.long()}, {"cache_seqlens": index.repeat(3)}):
        state = torch.zeros(1, 8, 4, device="cuda")
        x = torch.zeros(1, 8, 1, device="cuda")
        call = [x, state, random(8, 4), random(8), torch.empty_like(x), True, bad["cache_seqlens"], index]
        said = [raised(module.causal_conv1d_update, *call) for module in pairs[CONV]]
        assert said[0] == said[1] and said[0][0], (bad, said)
        count += 1
    return f"{count} errors"


def addresses_off(said: tuple[str, str, Any]) -> tuple[str, str, Any]:
    return said[0], said[1].splitlines()[0] if said[1] else "", said[2]


def cuda_errors_are_equal(pairs: dict[str, Modules]) -> str:
    """a launch that CUDA refuses, and too little memory: the same type, text and error_code"""
    # More channels than a grid has rows: cudaErrorInvalidConfiguration.
    wide = [random(1, 70000, 4), random(1, 70000, 4), -torch.rand(70000, 2, device="cuda")]
    wide += [random(70000, 2), random(70000, 2), None, None, None, False]
    said = [raised(module.fwd, *wide) for module in pairs[SCAN]]
    torch.cuda.synchronize()
    # Each has the code of the CUDA runtime that it was compiled with, and CUDA 13 has another for this than CUDA 12.
    codes = {item[2] for item in said}
    assert {item[0] for item in said} == {"AcceleratorError"} and codes <= {1, 9}, said
    assert said[0] == said[1] or len(codes) == 2, said
    assert torch.zeros(1, device="cuda").item() == 0, "the error was told once"
    free = torch.cuda.mem_get_info()[0]
    huge = random(1, 8, 16).expand(free // 256, 8, 16)
    call = [huge, huge, -torch.rand(8, 2, device="cuda"), random(8, 2), random(8, 2), None, None, None, False]
    memory = [raised(module.fwd, *call) for module in pairs[SCAN]]
    assert {item[0] for item in memory} == {"OutOfMemoryError"}, memory
    return f"({said[0][0]} {said[0][2]}: {said[0][1].splitlines()[0]}; {memory[0][0]})"


def streams_are_kept(pairs: dict[str, Modules]) -> str:
    """the current stream is used, and a CUDA graph records the call"""
    given = next(itertools.islice(scan_cases(), 42, None))
    call = [given[name] for name in NAMES]
    expected = pairs[SCAN][1].fwd(*call, True)[0].clone()
    for module in pairs[SCAN]:
        source = given["u"].clone()
        late = torch.zeros_like(source)
        stream = torch.cuda.Stream()
        torch.cuda.synchronize()
        with torch.cuda.stream(stream):
            torch.cuda._sleep(50_000_000)
            late.copy_(source)
            out = module.fwd(late, *call[1:], True)[0]
        stream.synchronize()
        same([[out], [expected]])
        graph = torch.cuda.CUDAGraph()
        static = source.clone()
        with torch.cuda.graph(graph):
            recorded = module.fwd(static, *call[1:], True)[0]
        graph.replay()
        torch.cuda.synchronize()
        same([[recorded], [expected]])
    return ""


def other_devices_are_guarded(pairs: dict[str, Modules]) -> str:
    """tensors on another device than the current one"""
    if torch.cuda.device_count() < 2:
        return "(unchecked: one GPU)"
    given = next(itertools.islice(scan_cases(), 42, None))
    there = [item.to("cuda:1") if item is not None else None for item in (given[name] for name in NAMES)]
    results = []
    for module in pairs[SCAN]:
        torch.cuda.set_device(0)
        out, x, *_ = module.fwd(*there, True)
        back = module.bwd(*there, torch.ones_like(out), x, out, None, True, False)
        assert torch.cuda.current_device() == 0 and out.device.index == 1 and back[0].device.index == 1
        torch.cuda.synchronize(1)
        results.append([out, *back[:2]])
    same(results)
    conv = next(conv_cases())
    moved = {key: value.to("cuda:1") if value is not None else None for key, value in conv.items()}
    same([forward_conv(module, moved, True) for module in pairs[CONV]])
    assert torch.cuda.current_device() == 0
    return "(2 GPUs)"


def python_sees_the_same(pairs: dict[str, Modules]) -> str:
    """parameters, subclasses, autocast, gradients outside autograd, torch.compile"""

    class Marked(torch.Tensor):
        pass

    given = next(itertools.islice(scan_cases(), 42, None))
    call = [given[name] for name in NAMES]
    for change in (
        torch.nn.Parameter,
        lambda t: t.as_subclass(Marked),
        lambda t: t.clone().requires_grad_(),
    ):
        wrapped = [change(item) if item is not None else None for item in call]
        same([module.fwd(*wrapped, True) for module in pairs[SCAN]])
    with torch.autocast("cuda", dtype=torch.bfloat16):
        same([module.fwd(*call, True) for module in pairs[SCAN]])
    with torch.inference_mode():
        same([module.fwd(*call, True) for module in pairs[SCAN]])
    breaks = []
    for module in pairs[SCAN]:

        def block(u: torch.Tensor, module: ModuleType = module) -> torch.Tensor:
            return module.fwd(u * 2, *call[1:], True)[0] + 1

        torch._dynamo.reset()
        explained = torch._dynamo.explain(block)(call[0])
        breaks.append((explained.graph_count, explained.graph_break_count))
        torch._dynamo.reset()
        compiled = torch.compile(block, backend="eager")(call[0])
        same([[compiled], [block(call[0])]])
    assert breaks[0] == breaks[1], breaks
    return f"(graphs, breaks: {breaks[0]})"


def nothing_is_kept(pairs: dict[str, Modules]) -> str:
    """many calls leave no memory behind, right or wrong"""
    given = next(itertools.islice(scan_cases(), 42, None))
    call = [given[name] for name in NAMES]
    module = pairs[SCAN][0]
    for _ in range(10):
        module.fwd(*call, True)
    counts = [sys.getrefcount(item) for item in call]
    before = torch.cuda.memory_allocated()
    for _ in range(3000):
        module.fwd(*call, True)
        raised(module.fwd, call[0].cpu(), *call[1:], True)
        raised(module.fwd, *call[:3])
    assert torch.cuda.memory_allocated() == before
    assert [sys.getrefcount(item) for item in call] == counts
    return ""


CHECKS = (
    scan_is_equal,
    conv_is_equal,
    determinism_is_asked_each_time,
    errors_are_equal,
    cuda_errors_are_equal,
    streams_are_kept,
    other_devices_are_guarded,
    python_sees_the_same,
    nothing_is_kept,
)

if __name__ == "__main__":
    sys.exit(main())
