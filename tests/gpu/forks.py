"""Forks on a GPU: the kernels of each wheel compared with a reference in plain torch and float64, forward and backward.

    python tests/gpu/forks.py vim_mamba.whl,vim_conv.whl segmamba.whl vmamba.whl [--only scan inner ...] [--every N]
    python tests/gpu/forks.py --stand-ins vim_mamba.whl,vim_conv.whl
    python tests/gpu/forks.py --self-test

A comma joins wheels that work together; each such set is imported in its own processes, since forks have modules of one
name. The script tests the parts of a set: the scan of a copy of mamba-ssm through its own interface, its fused
functions (mamba_inner_fn, mamba_inner_fn_no_out_proj, bimamba_inner_fn), its Triton kernels, a copy of causal-conv1d.
It tests VMamba's selective_scan_cuda_core, _oflex, _ndstate and _nrow, and Spatial-Mamba's _oflex_rh. Each case is a
line, and a wrong answer ends the run with status 1.

References, bounds and the comparison are those of edges.py. A missing library that a package imports (einops,
transformers, huggingface_hub) gets a stand-in, and a line names it.

The first command needs a GPU. The second replaces the compiled modules by plain torch on the CPU: it tests the fork's
own Python, the references and the bounds. The third needs no wheel: it injects faults, which must be found.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.machinery
import importlib.util
import inspect
import itertools
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import types
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent))
import edges
from edges import ULP, Case, Config, Draw, Given, Kernel, Outputs, largest, peaks, scan_reference, with_gradients

# The last is Spatial-Mamba's, a copy of the second.
VMAMBA = ("core", "oflex", "ndstate", "nrow", "oflex_rh")
SECTIONS = ("conv", "update", "scan", "inner", "state", "norm", *VMAMBA)


# The scan of a copy of mamba-ssm, by the copy's own interface.


def interface_reference(given: Given) -> Outputs:
    found = scan_reference(given)
    return {name: value for name, value in found.items() if name != "out" or "z" not in given}


def call_interface(interface: types.ModuleType, given: Given) -> Outputs:
    def forward(given: Given) -> Outputs:
        tensors = [given.get(name) for name in ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")]
        if given["three"]:
            tensors[3:5] = [weight[:, 0] if weight.dim() == 4 else weight for weight in tensors[3:5]]
        out, last_state = interface.selective_scan_fn(*tensors, given["softplus"], True)
        return {"out_z" if "z" in given else "out": out, "last_state": last_state}

    return with_gradients(forward, given)


def interface_given(config: Config, length: int, draw: Draw) -> Given:
    return {**edges.scan_given(config, length, draw), "three": config.says("three dimensions")}


# VMamba's scan: without z; with rows of a thread, another type of the output, and steps that channels share.


def core_given(config: Config, length: int, draw: Draw) -> Given:
    given = edges.scan_given(config, length, draw)
    given |= {"rows": config.number("rows", 1), "float_out": config.says("float32 out")}
    given |= {name: given[name][:, : config.number("steps of", given["u"].shape[1])] for name in ("delta",)}
    if "delta_bias" in given:
        given["delta_bias"] = given["delta_bias"][: given["delta"].shape[1]]
    if given["float_out"]:
        given["grads"] = {"out": given["grads"]["out"].float()}
    return given


def of_each_channel(given: Given) -> Given:
    """Steps for each channel, where several share them."""
    shared = given["u"].shape[1] // given["delta"].shape[1]
    wide = {name: given[name].repeat_interleave(shared, given[name].dim() - (2 if name == "delta" else 1))
            for name in ("delta", "delta_bias") if name in given}  # fmt: skip
    return {**given, **wide}


def core_reference(given: Given) -> Outputs:
    return scan_reference(of_each_channel(given))


def core_slack(given: Given, reference: Outputs) -> dict[str, Any]:
    """Same as for the scan. Gradients of shared steps are rounded to the type, then added up."""
    wide = edges.cast(of_each_channel(given), torch.float64)
    own = with_gradients(scan_reference, wide) if wide["delta"].shape != given["delta"].shape else reference
    slack = edges.scan_slack(wide, own)
    shared = given["u"].shape[1] // given["delta"].shape[1]
    eps = torch.finfo(given["u"].dtype).eps if shared > 1 else 0
    return slack | {"ddelta": shared * (slack["ddelta"] + eps * largest(own["ddelta"]))} | (
        {"ddelta_bias": shared * slack["ddelta_bias"]} if "ddelta_bias" in slack else {}
    )  # fmt: skip


def call_core(name: str, module: types.ModuleType, given: Given) -> Outputs:
    bare = name == "ndstate"  # one number of state, and no dimension for it
    inputs = [given.get(item) for item in ("u", "delta", "A", "B", "C", "D", "delta_bias")]
    if bare:
        inputs[2:5] = [inputs[2][:, 0], inputs[3][:, :, 0], inputs[4][:, :, 0]]
    rest = [given["float_out"]] if name == "oflex" else []
    out, x = module.fwd(*inputs, given["softplus"], given["rows"], *rest)
    dout = given["grads"]["out"]
    if out.dtype is not dout.dtype:
        raise TypeError(f"the output is {out.dtype}")
    found = module.bwd(*inputs, dout, x, given["softplus"], given["rows"])
    names = ("du", "ddelta", "dA", "dB", "dC", "dD", "ddelta_bias")
    gradients = {name: value for name, value in zip(names, found) if value is not None}
    if bare:
        gradients |= {
            "dA": gradients["dA"][:, None],
            **{f"d{item}": gradients[f"d{item}"][:, :, None] for item in "BC"},
        }
    return {"out": out, "last_state": x[:, :, -1, 1::2], **gradients}


# Spatial-Mamba's scan, whose output is the state: a scan with ones for C. The fork calls it with one number of state,
# and without D: the forward kernel ignores D, the backward kernel reads one number of state of the output's gradient.


def states_given(config: Config, length: int, draw: Draw) -> Given:
    return {name: value for name, value in core_given(config, length, draw).items() if name != "C"}


def with_ones(given: Given) -> Given:
    return {**given, "C": torch.ones_like(given["B"])}


def states_reference(given: Given) -> Outputs:
    return scan_reference(with_ones(given))


def states_slack(given: Given, reference: Outputs) -> dict[str, Any]:
    slack = edges.scan_slack(with_ones(given), {**reference, "dC": reference["dB"]})
    return {name: slack[name] for name in reference}


def call_states(module: types.ModuleType, given: Given) -> Outputs:
    inputs = [given.get(item) for item in ("u", "delta", "A", "B", "D", "delta_bias")]
    out, x = module.fwd(*inputs, given["softplus"], 1, given["float_out"])
    dout = given["grads"]["out"]
    if out.dtype is not dout.dtype:
        raise TypeError(f"the output is {out.dtype}")
    found = module.bwd(*inputs, dout[:, :, None], x, given["softplus"], 1)
    names = ("du", "ddelta", "dA", "dB", "dD", "ddelta_bias")
    gradients = {name: value for name, value in zip(names, found) if value is not None}
    return {"out": out.squeeze(2), "last_state": x[:, :, -1, 1::2], **gradients}


# The fused functions: convolution, projections, scan one way or both, gate and projection.


def inner_given(config: Config, length: int, draw: Draw) -> Given:
    batch, dim, state, rank = 2, config.number("dim", 16), config.number("state", 8), 3
    kind, complex_ = config.type(), config.type("weights").is_complex
    rest = torch.float32 if config.says("autocast") else kind
    columns = rank + 2 * state * (2 if complex_ else 1)
    a = -draw.between(0.1, 1.5, dim, state)
    # A model's projection leaves the channels outermost in memory.
    given = {"xz": draw.normal(2 * dim, batch, length, dtype=kind).transpose(0, 1)}
    given |= {"conv_weight": draw.normal(dim, 1, 4, dtype=rest) / 2, "conv_bias": draw.normal(dim, dtype=rest) / 2}
    given |= {"x_proj": draw.normal(columns, dim, dtype=rest) / dim**0.5}
    given |= {"dt_proj": draw.normal(dim, rank, dtype=rest) / rank**0.5}
    given |= {"A": torch.complex(a, draw.normal(dim, state)) if complex_ else a, "D": draw.normal(dim)}
    given |= {"delta_bias": draw.between(0, 0.5, dim), "autocast": config.says("autocast")}
    if config.says("biases"):
        given |= {name: draw.normal((columns - rank) // 2, dtype=rest) for name in ("B_bias", "C_bias")}
    given |= {"A_b": -draw.between(0.1, 1.5, dim, state)} if config.says("both ways") else {}
    given |= {} if config.says("no projection") else {"out_proj": draw.normal(dim // 2, dim, dtype=rest) / dim**0.5}
    shape = (batch, dim, length) if config.says("no projection") else (batch, length, dim // 2)
    return given | {"grads": {"out": draw.normal(*shape, dtype=kind)}}


def inner_reference(given: Given) -> Outputs:
    x, z = given["xz"].chunk(2, 1)
    rank, (_, state) = given["dt_proj"].shape[1], given["A"].shape
    wide = state * (2 if given["A"].is_complex() else 1)
    conv = {"x": x, "weight": given["conv_weight"][:, 0], "bias": given["conv_bias"], "silu": True}
    x = edges.conv_reference({**conv, "return_final_states": False})["out"]
    steps, b, c = (x.transpose(1, 2) @ given["x_proj"].T).split((rank, wide, wide), -1)
    b, c = b + given.get("B_bias", 0), c + given.get("C_bias", 0)
    # Both parts of a complex number are adjacent, in the row of a step and along the sequence.
    b, c = (weight.unflatten(-1, (state, -1)).permute(0, 2, 1, 3).flatten(-2)[:, None] for weight in (b, c))
    scan = {"u": x, "delta": (steps @ given["dt_proj"].T).transpose(1, 2), "B": b, "C": c, "z": z}
    scan |= {"A": given["A"], "D": given["D"], "delta_bias": given["delta_bias"], "softplus": True}
    out = scan_reference(scan)["out_z"]
    if "A_b" in given:
        turned = {name: scan[name].flip(-1) for name in ("u", "delta", "B", "C", "z")}
        out = out + scan_reference({**scan, **turned, "A": given["A_b"]})["out_z"].flip(-1)
    return {"out": out.transpose(1, 2) @ given["out_proj"].T if "out_proj" in given else out}


def inner_slack(given: Given, reference: Outputs) -> dict[str, Any]:
    """256 roundings of the sums, and 8 forward and 24 backward where one part passes values of the type to the next."""
    kind = given["xz"].dtype
    batch, _, length = given["xz"].shape
    summed = {name: batch * length for name in reference if name not in ("out", "dxz")}
    sums = peaks(reference, 256 * ULP, summed | {"out": given["A"].shape[1]})
    few = torch.finfo(kind).eps if kind is not torch.float32 else ULP
    # As of the scan: of the first step's own part of dA, which is nothing, a rounding is left.
    first = 256 * ULP * largest(reference["ddelta_bias"])
    sums |= {name: sums[name] + first for name in ("dA", "dA_b") if name in sums}
    return {name: sums[name] + (24 if name[0] == "d" else 8) * few * largest(reference[name]) for name in reference}


def call_inner(interface: types.ModuleType, given: Given) -> Outputs:
    def forward(given: Given) -> Outputs:
        first = [given[name] for name in ("xz", "conv_weight", "conv_bias", "x_proj", "dt_proj")]
        last = [None, None, given["D"], given["delta_bias"], given.get("B_bias"), given.get("C_bias"), True]
        if "out_proj" not in given:
            return {"out": interface.mamba_inner_fn_no_out_proj(*first, given["A"], *last)}
        first += [given["out_proj"], None, given["A"]]
        if "A_b" in given:
            return {"out": interface.bimamba_inner_fn(*first, given["A_b"], *last)}
        return {"out": interface.mamba_inner_fn(*first, *last)}

    kind, on_gpu = given["xz"].dtype, given["xz"].is_cuda
    with torch.autocast("cuda", kind) if given["autocast"] and on_gpu else contextlib.nullcontext():
        return with_gradients(forward, given)


# What there is, and the cases.

LENGTHS = [
    1,
    2,
    3,
    5,
    8,
    17,
    31,
    64,
    65,
    127,
    128,
    129,
    255,
    257,
    511,
    512,
    513,
    1023,
    1024,
    1025,
    1031,
    2047,
    2048,
    2049,
    4097,
]
FEW = [1, 2, 7, 64, 129, 515, 1024, 2049]
TYPES, WEIGHTS, FULL, PLAIN = edges.TYPES, edges.WEIGHTS, edges.FULL, "D, delta_bias, softplus"
STATES = "delta_bias, softplus, state 1"
OF_VMAMBA = {
    f"{TYPES}, {PLAIN}": LENGTHS,
    f"{TYPES}, {PLAIN}, groups 2/groups 4": FEW,
    f"{TYPES}, /D/delta_bias/softplus": FEW,
    f"float32/bfloat16, {PLAIN}, every second channel/dim 1+batch 1/dim 12+batch 3": FEW,
}
OF_STATES = {f"float32/bfloat16, {PLAIN}, state 1/state 16/state 64": FEW}
CASES: dict[str, dict[str, list[int]]] = {
    "conv": {
        f"{TYPES}, {edges.BOTH}, {edges.SILU}": edges.SHORT,
        f"{TYPES}, {edges.BOTH}, silu, width 2/width 3/no bias": FEW,
        f"float16/bfloat16, {edges.BOTH}, silu, float32 weights": FEW,
        f"{TYPES}, channels last, silu, seq_idx/initial_states+final_states": FEW,
    },
    "update": {f"{TYPES}, {edges.SILU}, one step, state longer by 1, width 2/width 3/width 4/no bias": [1]},
    "scan": {
        f"{TYPES}, {WEIGHTS}, {FULL}": LENGTHS,
        f"{TYPES}, {WEIGHTS}, {FULL}, groups 2/groups 4": FEW,
        f"float32/bfloat16, {WEIGHTS}, {FULL}, constant B/constant C/constant B and C": FEW,
        f"float32/bfloat16, {WEIGHTS}, /D/z/delta_bias/softplus": FEW,
        f"float32, {WEIGHTS}, {FULL}, state 1/state 16/state 64/three dimensions/every second channel": FEW,
    },
    "inner": {
        f"{TYPES}, /both ways/no projection, /biases": FEW,
        "float32, complex64 weights, /no projection, /biases": FEW,
        "float16/bfloat16, /both ways/no projection, autocast": FEW,
    },
    "state": {f"{TYPES}/bfloat16+float32 state, {edges.STEP}": edges.STATES},
    "norm": {
        f"{TYPES}, layer+bias/rms": edges.WIDTHS,
        "float32/bfloat16, layer+bias/rms, residual, float32 sum, prenorm": edges.WIDTHS,
    },
    "core": {**OF_VMAMBA, **OF_STATES},
    "oflex": {
        **OF_VMAMBA, **OF_STATES,
        f"{TYPES}, {PLAIN}, float32 out": LENGTHS,
        f"{TYPES}, {PLAIN}, steps of 1/steps of 4, /float32 out": FEW,
    },
    "ndstate": {row.replace(PLAIN, f"{PLAIN}, state 1").replace(", /D", ", state 1, /D"): some for row, some in OF_VMAMBA.items()},
    "nrow": {**OF_VMAMBA, f"{TYPES}, {PLAIN}, dim 12, rows 2/rows 3/rows 4": FEW},
    "oflex_rh": {
        f"{TYPES}, {STATES}, /float32 out": LENGTHS,
        f"{TYPES}, {STATES}, groups 2/groups 4, /float32 out": FEW,
        f"{TYPES}, state 1, /delta_bias/softplus": FEW,
        f"float32/bfloat16, {STATES}, every second channel/dim 1+batch 1/dim 12+batch 3": FEW,
    },
}  # fmt: skip
"""The words to combine and the lengths, for each section."""

OWN = {
    "scan": Kernel("", "", interface_given, call_interface, interface_reference, edges.scan_slack, -1),
    "inner": Kernel("", "", inner_given, call_inner, inner_reference, inner_slack, -1),
    **{name: Kernel("", "", core_given, partial(call_core, name), core_reference, core_slack, -1) for name in VMAMBA},
    "oflex_rh": Kernel("", "", states_given, call_states, states_reference, states_slack, -1),
}
edges.KERNELS.update(OWN)
NEEDS = ("seq_idx", "initial_states", "final_states", "both ways", "no projection", "steps of")
"""What not every fork knows."""


def all_cases(kernels: dict[str, Kernel], sections: Iterable[str], every: int) -> Iterator[Case]:
    for section in (name for name in sections if name in kernels):
        for row, (words, lengths) in enumerate(CASES[section].items()):
            for number, config in enumerate(edges.crossed(words)):
                if all(need in kernels[section].takes for need in NEEDS if need in config):
                    for length in lengths[number % min(every, len(lengths)) :: every]:
                        yield Case(section, row, section, config, length)


def loaded(folder: Path, on_cpu: bool) -> tuple[dict[str, Kernel], list[str]]:
    """The contents of the wheels in a folder, and the notes about them."""
    said = [*_stand_ins_of_libraries()] if [*folder.glob("*/ops/selective_scan_interface.py")] else []
    kernels: dict[str, Kernel] = {}
    compiled = {item.name.partition(".")[0]: item for item in folder.glob("*.so")}
    if on_cpu:
        sys.modules.update({name: _compiled_stand_in(name, folder) for name in compiled})
    sys.path.insert(0, str(folder))
    for item in () if on_cpu else compiled.values():
        if f".{item.name.partition('.')[2]}" not in importlib.machinery.EXTENSION_SUFFIXES:
            raise ImportError(f"{item.name} is for another Python than {sys.version.split()[0]}")
    for name in compiled:
        section = next((item for item in VMAMBA if name.endswith(f"_{item}")), None)
        if section:
            module = importlib.import_module(name)
            takes = frozenset({"steps of"} if section == "oflex" else ())
            kernels[section] = edges.replace(OWN[section], function=module, takes=takes)
    for path in folder.glob("*/causal_conv1d_interface.py"):
        module = importlib.import_module(f"{path.parent.name}.causal_conv1d_interface")
        for section, name in (("conv", "causal_conv1d_fn"), ("update", "causal_conv1d_update")):
            function = getattr(module, name)
            takes = set(inspect.signature(function).parameters)
            takes |= {"final_states"} if "return_final_states" in takes else set()
            kernels[section] = edges.replace(edges.KERNELS[section], function=function, takes=frozenset(takes))
    for path in folder.glob("*/ops/selective_scan_interface.py"):
        said += _package(path.parents[1].name)
        found, lacking = _of_package(path.parents[1], on_cpu)
        kernels |= found
        said += lacking
    return kernels, [*said, f"compiled: {', '.join(sorted(compiled))}"]


def _package(name: str) -> Iterator[str]:
    """Import a package as its users do. If a library is too new for it, import its parts without ``__init__.py``."""
    try:
        importlib.import_module(name)
        yield f"import {name}: ok"
    except Exception as error:
        yield f"import {name}: {type(error).__name__}: {error}".splitlines()[0]
        for loaded_ in [item for item in sys.modules if item == name or item.startswith(f"{name}.")]:
            del sys.modules[loaded_]
        edges.placed(sys.path[0]) if name == "mamba_ssm" else None


def _of_package(package: Path, on_cpu: bool) -> tuple[dict[str, Kernel], list[str]]:
    """What a copy of mamba-ssm has, and which of its modules its authors left without one that they import."""
    interface = importlib.import_module(f"{package.name}.ops.selective_scan_interface")
    takes = {"both ways"} if hasattr(interface, "bimamba_inner_fn") else set()
    takes |= {"no projection"} if hasattr(interface, "mamba_inner_fn_no_out_proj") else set()
    kernels = {name: edges.replace(OWN[name], function=interface, takes=frozenset(takes)) for name in ("scan", "inner")}
    said: list[str] = []
    for section, file, name in (
        ("state", "selective_state_update", "selective_state_update"),
        ("norm", "layer_norm", ""), ("norm", "layernorm", ""),
    ):  # fmt: skip
        if not on_cpu and (package / "ops" / "triton" / f"{file}.py").exists():
            try:
                module = importlib.import_module(f"{package.name}.ops.triton.{file}")
            except ModuleNotFoundError as error:
                if not str(error.name).startswith(f"{package.name}."):
                    raise
                said.append(f"left out, {section}: ops/triton/{file}.py imports {error.name}, which the fork has not")
                continue
            kernels[section] = edges.replace(edges.KERNELS[section], function=getattr(module, name) if name else module)
    return kernels, said


# Stand-ins: of libraries that are not installed, and of the compiled modules where there is no GPU.


def rearrange(tensor: torch.Tensor, pattern: str, **sizes: int) -> torch.Tensor:
    """What the forks use of einops' function: names, groups of them in parentheses, and 1."""
    left, right = (
        [group.strip("()").split() for group in re.findall(r"\([^)]*\)|\S+", side)] for side in pattern.split("->")
    )
    assert len(left) == tensor.dim(), pattern
    known = dict(sizes)
    for group, size in zip(left, tensor.shape):
        open_ = [name for name in group if name not in known and name != "1"]
        rest = size // math.prod(known[name] for name in group if name in known)
        known.update(dict.fromkeys(open_, rest))
    names = [name for group in left for name in group if name != "1"]
    wanted = [name for group in right for name in group if name != "1"]
    apart = tensor.reshape([known[name] for name in names]).permute([names.index(name) for name in wanted])
    return apart.reshape([math.prod(known.get(name, 1) for name in group) for group in right])


class Anything(types.ModuleType):
    """A module that has whatever is imported from it, and does nothing."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__ = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def _stand_ins_of_libraries() -> Iterator[str]:
    for name, inner in (
        ("einops", ()),
        ("transformers", ("utils", "utils.hub", "generation")),
        ("huggingface_hub", ()),
    ):
        if importlib.util.find_spec(name) is None:
            for full in (name, *(f"{name}.{item}" for item in inner)):
                sys.modules[full] = Anything(full)
            yield f"{name} is not installed: a stand-in takes its place"
    if isinstance(sys.modules.get("einops"), Anything):
        sys.modules["einops"].rearrange = rearrange  # type: ignore[attr-defined]


def _compiled_stand_in(name: str, folder: Path) -> types.ModuleType:
    """The calls of a compiled module in plain torch, in single precision and rounded to the types of its kernels."""
    module = types.ModuleType(name)
    if name.startswith("causal_conv1d"):
        text = "".join(path.read_text() for path in folder.glob("*/causal_conv1d_interface.py"))
        module.causal_conv1d_fwd = partial(_conv_forward, "seq_idx" in text)  # type: ignore[attr-defined]
        module.causal_conv1d_bwd = partial(_conv_backward, "seq_idx" in text)  # type: ignore[attr-defined]
        module.causal_conv1d_update = _conv_update  # type: ignore[attr-defined]
        return module
    section = next((item for item in VMAMBA if name.endswith(f"_{item}")), "")
    calls = (_states_forward, _states_backward) if section == "oflex_rh" else (_scan_forward, _scan_backward)
    module.fwd, module.bwd = (partial(call, section) for call in calls)  # type: ignore[attr-defined]
    return module


def _conv_given(x: Any, weight: Any, bias: Any, more: Sequence[Any], silu: bool) -> Given:
    sequences, initial = (*more, None, None)[:2]
    given = {"x": x, "weight": weight, "bias": bias, "seq_idx": sequences, "initial_states": initial}
    given |= {"silu": silu, "return_final_states": False}
    return edges.cast({name: value for name, value in given.items() if value is not None}, torch.float32)


def _conv_forward(is_new: bool, x: Any, weight: Any, bias: Any, *rest: Any) -> torch.Tensor:
    *more, silu = rest
    given = _conv_given(x, weight, bias, more, silu)
    if len(more) == 3 and more[2] is not None:
        more[2].copy_(edges.conv_reference({**given, "return_final_states": True})["final_states"])
    return edges.conv_reference(given)["out"].to(x.dtype)


@torch.enable_grad()
def _conv_backward(is_new: bool, x: Any, weight: Any, bias: Any, dout: Any, *rest: Any) -> tuple[Any, ...]:
    given = _conv_given(x, weight, bias, rest[:2] if is_new else (), rest[-1])
    given |= {"grads": {"out": dout.float()}}
    into = rest[3] if is_new else rest[0]
    if is_new and rest[2] is not None:
        given |= {"return_final_states": True, "grads": {"out": dout.float(), "final_states": rest[2].float()}}
    found = with_gradients(edges.conv_reference, given)
    dx = (torch.empty_like(x) if into is None else into).copy_(found["dx"])
    kinds = {"dweight": weight.dtype, "dbias": weight.dtype, "dinitial_states": x.dtype}
    gradients = [found[name].to(kind) if name in found else None for name, kind in kinds.items()]
    return (dx, *(gradients if is_new else gradients[:2]))


def _conv_update(x: Any, state: Any, weight: Any, bias: Any, silu: bool, *_: Any) -> torch.Tensor:
    given = _conv_given(x, weight, bias, (), silu) | {"conv_state": state.float()}
    found = edges.update_reference(given)
    state.copy_(found["conv_state"])
    return found["out"].to(x.dtype)


def _scan_of(section: str, args: Sequence[Any]) -> Given:
    names = ("u", "delta", "A", "B", "C", "D", *(() if section else ("z",)), "delta_bias")
    given = {name: value for name, value in zip(names, args) if value is not None}
    if section == "ndstate":
        given |= {"A": given["A"][:, None], "B": given["B"][:, :, None], "C": given["C"][:, :, None]}
    return edges.cast({**given, "softplus": args[-1]}, torch.float32)


def _scan_forward(section: str, *args: Any) -> list[Any]:
    count = 8 if section else 9
    given, kind = _scan_of(section, args[:count]), args[0].dtype
    found = core_reference(given)
    # If B does not vary, the kernels multiply by B at the end and store values without it.
    bare = {"B": torch.ones_like(given["B"])} if given["B"].dim() == 2 else {}
    state = core_reference({**given, **bare})["last_state"]
    x = torch.stack((torch.zeros_like(state), state), -1).flatten(-2)[:, :, None]
    out = found["out"].to(torch.float32 if section == "oflex" and args[count + 1] else kind)
    return [out, x, *([found["out_z"].to(kind)] if "out_z" in found else [])]


@torch.enable_grad()
def _scan_backward(section: str, *args: Any) -> list[Any]:
    given = _scan_of(section, (*args[:7], args[9]) if section else (*args[:8], args[12]))
    dout, kind = args[7 if section else 8], args[0].dtype
    given |= {"grads": {"out_z" if "z" in given else "out": dout.float()}}
    found = with_gradients(core_reference, given)
    kinds = {"du": kind, "ddelta": kind, "dA": args[2].dtype, "dB": args[3].dtype, "dC": args[4].dtype}
    out = [found[name].to(as_) for name, as_ in kinds.items()]
    if section == "ndstate":
        out[2:] = [out[2][:, 0], out[3][:, :, 0], out[4][:, :, 0]]
    out += [found.get("dD"), found.get("ddelta_bias")]
    if "z" in given and not section:
        into = torch.empty_like(args[6]) if args[11] is None else args[11]
        out += [into.copy_(found["dz"]), *([found["out_z"].to(kind)] if args[13] else [])]
    return out


def _with_ones(u: Any, delta: Any, a: Any, b: Any, d: Any, delta_bias: Any, *rest: Any) -> tuple[Any, ...]:
    return (u, delta, a, b, torch.ones_like(b), d, delta_bias, *rest)


def _states_forward(_section: str, *args: Any) -> list[Any]:
    out, x = _scan_forward("oflex", *_with_ones(*args))
    return [out[:, :, None], x]


def _states_backward(_section: str, *args: Any) -> list[Any]:
    *first, dout, x, softplus, rows = _with_ones(*args)
    du, ddelta, da, db, _, dd, ddelta_bias = _scan_backward("oflex", *first, dout[:, :, 0], x, softplus, rows)
    return [du, ddelta, da, db, dd, ddelta_bias]


# Running them.


def child(options: argparse.Namespace) -> int:
    """One process: a line of JSON when a case begins, and one with what became of it."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    folder, skipped = Path(options.child[0]), int(options.child[1])
    device = "cpu" if options.stand_ins else "cuda"
    kernels, said = loaded(folder, options.stand_ins)
    print(json.dumps({"said": said, "sections": [name for name in SECTIONS if name in kernels]}), flush=True)
    cases = list(all_cases(kernels, options.only, options.every))
    if options.stand_ins:
        torch.set_num_threads(1)
        cases = [case for case in cases if case.length <= 300 and "autocast" not in case.config]
    for number, case in enumerate(cases[skipped:], skipped):
        print(json.dumps({"begun": told(case)}), flush=True)
        edges.tiled(number)
        share, failures = edges.run_case(case, kernels[case.kernel], device, options.seed)
        print(json.dumps({"share": min(share, 1e99), "said": judged(case, failures)}), flush=True)
        if failures and not edges.alive(device):
            os._exit(1)  # what holds memory of the lost context cannot be taken apart
    return 0


def told(case: Case) -> str:
    return f"{case.section}: {case.config}, length {case.length}"


def judged(case: Case, failures: Sequence[edges.Failure]) -> str:
    """``ok``, ``refused`` with the binding's words, or ``WRONG`` with what is."""
    wrong = [failure for failure in failures if failure.output != "refused"]
    if "steps of" in case.config and any("delta must have shape" in failure.message for failure in wrong):
        return "refused: steps for each channel are wanted"
    if wrong:
        return f"WRONG {' | '.join(edges.regions(wrong))}"
    return f"refused: {failures[0].message}" if failures else "ok"


def tried(options: argparse.Namespace, wheels: Sequence[Path]) -> tuple[list[str], int, int]:
    """The lines of a set of wheels, and how many cases there were and how many are wrong."""
    lines = [f"== {', '.join(wheel.name for wheel in wheels)}"]
    cases, wrong, known = 0, 0, False
    with tempfile.TemporaryDirectory() as folder:
        for wheel in wheels:
            zipfile.ZipFile(wheel).extractall(folder)
        while True:
            rest = ["--every", options.every, "--seed", options.seed, "--only", *options.only, "--child", folder, cases]
            flags = ["--stand-ins"] if options.stand_ins else []
            command = [*map(str, [sys.executable, __file__, *flags, *rest])]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            found = [json.loads(line) for line in run.stdout.splitlines() if line.startswith('{"')]
            if cases == 0:
                lines += [f"   {line}" for item in found if "sections" in item for line in item["said"]]
            known = known or any(item.get("sections") for item in found)
            begun = [item["begun"] for item in found if "begun" in item]
            ended = [item for item in found if "share" in item]
            lines += [
                f"{item['said']}  {name}"
                + (f"  ({item['share']:.2g} of what is allowed)" if item["said"] == "ok" else "")
                for name, item in zip(begun, ended)
            ]
            wrong += sum(item["said"].startswith("WRONG") for item in ended)
            cases += len(begun)
            if len(begun) > len(ended) or (run.returncode and not begun):
                last = (run.stderr.strip().splitlines() or ["-"])[-1]
                lines.append(
                    f"WRONG  {begun[-1] if begun else 'import'}: its process ended with {run.returncode}: {last}"
                )
                wrong += 1
            if run.returncode == 0 or not begun:
                break
    if not known and not wrong:
        lines.append("WRONG  nothing of these wheels is known here")
        wrong = 1
    return [*lines, f"   {cases} cases, {wrong} wrong"], cases, wrong


def parent(options: argparse.Namespace) -> int:
    sets = [[Path(name) for name in item.split(",")] for item in options.wheels]
    if not options.stand_ins:
        print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, Python {sys.version.split()[0]}")
    wrong = cases = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for lines, some, bad in pool.map(partial(tried, options), sets):
            print("\n".join(lines), flush=True)
            cases, wrong = cases + some, wrong + bad
    print(f"{cases} cases of {len(sets)} forks, {wrong} wrong")
    return 1 if wrong else 0


# The self-test.


def naive_inner(given: Given) -> Outputs:
    """The fused functions step by step, in loops."""
    x, z = given["xz"].chunk(2, 1)
    dim, state, rank = len(given["A"]), given["A"].shape[1], given["dt_proj"].shape[1]
    x = functional.silu(
        functional.conv1d(functional.pad(x, (3, 0)), given["conv_weight"], given["conv_bias"], groups=dim)
    )
    projected = torch.einsum("bdl,kd->bkl", x, given["x_proj"])
    delta = functional.softplus(
        torch.einsum("brl,dr->bdl", projected[:, :rank], given["dt_proj"]) + given["delta_bias"][:, None]
    )
    b, c = projected[:, rank:].chunk(2, 1)
    if "B_bias" in given:
        b, c = b + given["B_bias"][:, None], c + given["C_bias"][:, None]
    if given["A"].is_complex():
        b, c = (torch.complex(part[:, ::2], part[:, 1::2]) for part in (b, c))
    outs = []
    for a, order in ((given["A"], 1), *([(given["A_b"], -1)] if "A_b" in given else [])):
        held, rows = torch.zeros(len(x), dim, state, dtype=a.dtype), {}
        for t in range(x.shape[2])[::order]:
            step = delta[:, :, t, None]
            held = torch.exp(step * a) * held + step * x[:, :, t, None] * b[:, None, :, t]
            y = (held * c[:, None, :, t]).sum(-1)
            y = 2 * y.real if a.is_complex() else y
            rows[t] = (y + given["D"] * x[:, :, t]) * functional.silu(z[:, :, t])
        outs.append(torch.stack([rows[t] for t in range(x.shape[2])], -1))
    out = sum(outs)
    return {"out": torch.einsum("bdl,ed->ble", out, given["out_proj"]) if "out_proj" in given else out}


def naive_core(given: Given) -> Outputs:
    """VMamba's scan with a loop over channels and steps."""
    u, shared = given["u"], given["u"].shape[1] // given["delta"].shape[1]
    outs, states = [], []
    for channel in range(u.shape[1]):
        delta, a = given["delta"][:, channel // shared], given["A"][channel]
        delta = delta + given["delta_bias"][channel // shared] if "delta_bias" in given else delta
        delta = functional.softplus(delta) if given["softplus"] else delta
        b, c = (given[name][:, channel * given[name].shape[1] // u.shape[1]] for name in "BC")
        held, row = torch.zeros(len(u), len(a), dtype=u.dtype), []
        for t in range(u.shape[2]):
            held = torch.exp(delta[:, t, None] * a) * held + (delta[:, t] * u[:, channel, t])[:, None] * b[..., t]
            row.append((held * c[..., t]).sum(-1) + (given["D"][channel] * u[:, channel, t] if "D" in given else 0))
        outs.append(torch.stack(row, -1))
        states.append(held)
    return {"out": torch.stack(outs, 1), "last_state": torch.stack(states, 1)}


def checks() -> Iterator[tuple[str, bool]]:
    for section, naive, row in (
        ("inner", naive_inner, "float32, /both ways/no projection/complex64 weights, /biases"),
        ("oflex", naive_core, f"float32, {PLAIN}, groups 2/steps of 4"),
        ("ndstate", naive_core, "float32, state 1, D/softplus"),
    ):
        for config in edges.crossed(row):
            given = edges.cast(OWN[section].given(config, 9, Draw("cpu", section)), torch.float64)
            one, other = with_gradients(naive, given), with_gradients(OWN[section].reference, given)
            far = max(largest(value - one[name]).item() for name, value in other.items())
            yield f"reference of {section}, {config}: {far:.1g} from loops", far < 1e-10
    tensor = torch.arange(48.0).reshape(2, 4, 6)
    for pattern, sizes, known in (
        ("b d l -> (b l) d", {}, tensor.permute(0, 2, 1).reshape(12, 4)),
        ("d (b c) l -> b 1 d (l c)", {"c": 2}, tensor.reshape(2, 2, 2, 6).permute(1, 0, 3, 2).reshape(2, 1, 2, 12)),
    ):
        yield f"rearrange {pattern}", torch.equal(rearrange(tensor, pattern, **sizes), known)
    for section in VMAMBA:
        unused = {"dC", "dD"} if section == "oflex_rh" else set()
        for fault in ("", "out", "last_state", "du", "ddelta", "dA", "dB", "dC", "dD", "ddelta_bias"):
            if fault not in unused:
                yield from _with_a_fault(section, fault)


def _with_a_fault(section: str, fault: str) -> Iterator[tuple[str, bool]]:
    """A stand-in with one number wrong by a hundredth of the largest must be found, and one with none must not."""

    def call(function: Any, given: Given) -> Outputs:
        found = OWN[section].call(function, given)
        if fault:
            value = found[fault]
            value.view(-1)[value.numel() // 2] += 0.01 * largest(value) + 1e-3
        return found

    module = _compiled_stand_in(f"selective_scan_cuda_{section}", Path())
    words = {"oflex_rh": STATES, "ndstate": f"{PLAIN}, state 1"}.get(section, PLAIN)
    config = Config(f"float32, {words}")
    kernel = edges.replace(OWN[section], call=call, function=module)
    case = Case(section, 0, section, config, 21)
    said = judged(case, edges.run_case(case, kernel, "cpu", 0)[1])
    found = said.startswith(f"WRONG {fault}:") if fault else said == "ok"
    yield f"{section}, {f'a wrong number in {fault}' if fault else 'nothing wrong'}: {said}", found


def self_test() -> int:
    torch.set_num_threads(1)
    wrong = 0
    for said, is_right in itertools.chain(checks()):
        print(f"{'ok   ' if is_right else 'WRONG'} {said}")
        wrong += not is_right
    print(f"{wrong} wrong")
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheels", nargs="*", metavar="WHEEL[,WHEEL]")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every so many of the lengths")
    parser.add_argument(
        "--jobs", type=int, default=min(4, os.cpu_count() or 1), metavar="N", help="sets of wheels at once"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--stand-ins", action="store_true", help="plain torch in place of the compiled modules, without a GPU"
    )
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.self_test:
        return self_test()
    if options.child:
        return child(options)
    if not options.wheels:
        parser.error("name the wheels, before the options")
    bad = [name for item in options.wheels for name in item.split(",") if not zipfile.is_zipfile(name)]
    if bad:
        parser.error(f"no wheel: {', '.join(bad)}")
    if not (options.stand_ins or torch.cuda.is_available()):
        parser.error("torch finds no GPU here; --stand-ins needs none")
    return parent(options)


if __name__ == "__main__":
    sys.exit(main())
