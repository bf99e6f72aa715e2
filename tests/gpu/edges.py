"""Right results: every kernel of the wheels at every edge, compared with a reference in plain torch and float64.

    python tests/gpu/edges.py mamba.whl conv.whl [--only conv|update|scan|ssd|state|norm|fused|races|long ...] \\
        [--every N] [--json FILE]
    PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --target-processes all --error-exitcode 9 \\
        python tests/gpu/edges.py mamba.whl conv.whl --only conv update scan --every 40
    python tests/gpu/edges.py --self-test

The first two need a GPU. The last needs neither a GPU nor a wheel: it tests the references, the bounds and injected
faults.

Edges are lengths around every chunk and vector, layouts, types, and optional arguments. The bounds follow from the
types:

    |ours - reference| <= 2 * eps(output type) * |reference| + roundings * eps(arithmetic type) * amplitude

The functions named ..._slack give the second part: the roundings on the longest path, and the amplitude. The amplitude
is the sum of the absolute terms where that is cheap (conv, update), and elsewhere the largest number of the reference
times the root of the number of terms. Copied values must have the same bits. A kernel must not be finite where the
reference is not.

A failing kernel may destroy the CUDA context: each group runs in its own process, so that the next group still runs.
Triton compiles its kernels for one of their three smallest tilings, another one in each group, and does not search.
"""

from __future__ import annotations

import argparse
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
import time
import types
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

Given = dict[str, Any]
Outputs = dict[str, torch.Tensor]
Call = Callable[[Given], Outputs]
SECTIONS = ("conv", "update", "scan", "ssd", "state", "norm", "fused", "races", "long")
ULP = torch.finfo(torch.float32).eps


class Config(str):
    """A configuration in the words that are printed; what goes unsaid is as a model has it."""

    __slots__ = ()

    def says(self, word: str) -> bool:
        return word in self.split(", ")

    def number(self, word: str, otherwise: int) -> int:
        found = re.search(rf"\b{word} (\d+)", self)
        return int(found[1]) if found else otherwise

    def type(self, word: str = "", otherwise: torch.dtype = torch.float32) -> torch.dtype:
        found = re.search(rf"\b(b?float\d\d|complex64){word and ' ' + word}\b", self)
        return getattr(torch, found[1]) if found else otherwise

    def parts(self, **makers: Callable[[], torch.Tensor]) -> Given:
        """What the configuration names, and nothing else, is made."""
        return {name: make() for name, make in makers.items() if self.says(name)}


class Draw:
    """The random tensors of a case. The same words always give the same tensors."""

    def __init__(self, device: str, *words: object) -> None:
        self.device = device
        self.generator = torch.Generator(device).manual_seed(zlib.crc32(repr(words).encode()))

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device=self.device).normal_(generator=self.generator)

    def between(self, low: float, high: float, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device=self.device).uniform_(low, high, generator=self.generator)

    def sequences(self, batch: int, length: int, padded: bool = False) -> torch.Tensor:
        """Numbers of sequences that begin anywhere, the first with 0; -1 stands for padding."""
        numbers = (self.between(0, 1, batch, length) < 0.1).cumsum(1)
        numbers -= numbers[:, :1].clone()
        return (torch.where(self.between(0, 1, batch, length) < 0.1, -1, numbers) if padded else numbers).int()


def laid(fill: Callable[..., torch.Tensor], config: Config, batch: int, dim: int, length: int) -> torch.Tensor:
    """A tensor of batch, channels and length, in memory as the configuration says."""
    if config.says("every second channel"):
        return fill(batch, 2 * dim, length)[:, ::2]
    if config.says("every second of the batch"):
        return fill(2 * batch, dim, length)[::2]
    if config.says("odd offset"):
        return fill(batch, dim, length + 1)[..., 1:]
    if config.says("odd channels"):
        return fill(batch, length, dim + 1)[..., 1:].transpose(1, 2)
    if config.says("channels last of odd start"):
        return fill(batch, length, dim + 8)[..., 1 : dim + 1].transpose(1, 2)
    if config.says("channels last of more"):
        return fill(batch, length, dim + 16)[..., 8:-8].transpose(1, 2)
    return fill(batch, length, dim).transpose(1, 2) if config.says("channels last") else fill(batch, dim, length)


def mapped(change: Callable[[torch.Tensor], torch.Tensor], value: Any) -> Any:
    if isinstance(value, dict):
        return {name: mapped(change, item) for name, item in value.items()}
    return change(value) if isinstance(value, torch.Tensor) else value


def cast(value: Any, real: torch.dtype) -> Any:
    """Numbers that are not whole in another precision; complex ones stay complex."""
    other = {True: torch.promote_types(real, torch.complex64), False: real}
    return mapped(lambda t: t.to(other[t.is_complex()]) if t.is_complex() or t.is_floating_point() else t, value)


def with_gradients(forward: Call, given: Given) -> Outputs:
    """The outputs of a function and, by autograd, the input gradients for the output gradients given["grads"]."""
    if "grads" not in given:
        return forward(given)
    tensors = {name: value for name, value in given.items() if isinstance(value, torch.Tensor)}
    leaves = {n: t.detach().requires_grad_() for n, t in tensors.items() if t.is_floating_point() or t.is_complex()}
    made, asked = forward({**given, **leaves}), given["grads"]
    wanted = [made[name] for name in asked]
    found = torch.autograd.grad(wanted, list(leaves.values()), list(asked.values()), materialize_grads=True)
    return {**{n: t.detach() for n, t in made.items()}, **{f"d{n}": t for n, t in zip(leaves, found)}}


def named(given: Given, *names: str) -> Given:
    """The gradients of the given names. A false value means that the case does not ask for the gradient."""
    return {name: given[name] for name in names if given.get(name, False) is not False}


def outputs(found: Any, second: str) -> Outputs:
    return dict(zip(("out", second), found if isinstance(found, tuple) else (found,)))


def largest(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.abs().nan_to_num(0, 0, 0).max()


def peaks(reference: Outputs, unit: float, terms: dict[str, int]) -> dict[str, Any]:
    """The slack of outputs whose amplitude is their largest number times the root of how many terms are added."""
    return {name: unit * largest(value) * math.sqrt(terms.get(name, 1)) for name, value in reference.items()}


# The convolution.


def conv_given(config: Config, length: int, draw: Draw) -> Given:
    last, width, batch = "channels last" in config, config.number("width", 4), config.number("batch", 2)
    dim = config.number("dim", 72 if last else 3)  # 72: a block of the channel-last kernels has 32 or 64
    fill, weights = partial(draw.normal, dtype=config.type()), config.type("weights", config.type())
    held = Config("channels last" if last else "")
    words = next((word for word in config.split(", ") if word.startswith("dout ")), f"dout {held}")
    dout = laid(fill, Config(words.removeprefix("dout ")), batch, dim, length)
    given = {"x": laid(fill, config, batch, dim, length), "weight": draw.normal(dim, width, dtype=weights)}
    given |= {"grads": {"out": dout}, "silu": config.says("silu"), "return_final_states": config.says("final_states")}
    given |= {} if config.says("no bias") else {"bias": draw.normal(dim, dtype=weights)}
    given |= config.parts(
        seq_idx=lambda: draw.sequences(batch, length, config.says("padding")),
        initial_states=lambda: laid(fill, held, batch, dim, width - 1),
    )
    final = Config("") if config.says("dfinal channels first") else held
    given["grads"] |= config.parts(final_states=lambda: laid(fill, final, batch, dim, width - 1))
    if config.says("nan") or config.says("inf"):
        given["x"][0, 0, length // 2] = math.nan if config.says("nan") else math.inf
    return given


def conv_reference(given: Given) -> Outputs:
    x, weight, bias, sequences = given["x"], given["weight"], given.get("bias"), given.get("seq_idx")
    width, length, before = weight.shape[1], x.shape[2], given.get("initial_states")
    padded = torch.cat((x.new_zeros(*x.shape[:2], width - 1) if before is None else before, x), 2)
    out = torch.zeros_like(x) if bias is None else bias[:, None].expand_as(x)
    for tap in range(width):
        term = weight[:, tap, None] * padded[..., tap : tap + length]
        if sequences is not None:
            there = functional.pad(sequences, (width - 1 - tap, 0), value=-2)[:, :length]
            term = torch.where((there == sequences)[:, None], term, 0)
        out = out + term
    out = functional.silu(out) if given["silu"] else out
    out = out if sequences is None else torch.where(sequences[:, None] >= 0, out, 0)
    return {"out": out, **({"final_states": padded[..., length:]} if given["return_final_states"] else {})}


def unsigned(given: Given) -> Given:
    numbers = cast(given, torch.float64)
    return {**mapped(lambda t: t.abs() if t.is_floating_point() else t, numbers), "silu": False}


def conv_slack(given: Given, reference: Outputs) -> dict[str, Any]:
    """Roundings: 1 a tap, 32 for a fast exponential; for sums over the sequence also those of threads and blocks."""
    bare, (batch, _, length) = unsigned(given), given["x"].shape
    if given["silu"]:  # its derivative changes by no more than its argument, and is made from terms of up to that
        bare["grads"]["out"] = bare["grads"]["out"] * (1 + conv_reference(bare)["out"])
    few = given["weight"].shape[1] + 32
    roundings = dict.fromkeys(("dweight", "dbias"), few + length / 128 + 8 + batch)
    sums = with_gradients(conv_reference, bare)
    slack: dict[str, Any] = {name: value * roundings.get(name, few) * ULP for name, value in sums.items()}
    return slack | ({"final_states": None} if "final_states" in reference else {})


def call_conv(function: Callable[..., Any], given: Given) -> Outputs:
    def forward(given: Given) -> Outputs:
        rest = named(given, "bias", "seq_idx", "initial_states", "return_final_states")
        rest["activation"] = "silu" if given["silu"] else None
        return outputs(function(given["x"], given["weight"], **rest), "final_states")

    return with_gradients(forward, given)


# The convolution's update; its length is the number of steps.


def update_given(config: Config, length: int, draw: Draw) -> Given:
    dim, width, rows = (
        70,
        config.number("width", 4),
        [7, 0, -1 if config.says("padding") else 3, 8, 2],
    )  # a block has 64
    fill, weights = partial(draw.normal, dtype=config.type()), config.type("weights", config.type())
    x = laid(fill, config, len(rows), dim, length)
    entries = 9 if config.says("conv_state_indices") else len(rows)
    state = laid(fill, config, entries, dim, width - 1 + config.number("state longer by", 0))
    given = {"x": x[..., 0] if config.says("one step") else x, "conv_state": state, "silu": config.says("silu")}
    given |= {"weight": draw.normal(dim, width, dtype=weights), "return_final_states": False}
    given |= {} if config.says("no bias") else {"bias": draw.normal(dim, dtype=weights)}
    return given | config.parts(
        cache_seqlens=lambda: draw.between(0, 40, len(rows)).int(),
        conv_state_indices=lambda: torch.tensor(rows, dtype=torch.int32, device=draw.device),
    )


def update_reference(given: Given) -> Outputs:
    steps = given["x"] if given["x"].dim() == 3 else given["x"][..., None]
    width, size = given["weight"].shape[1], given["conv_state"].shape[2]
    every = torch.arange(len(steps), device=steps.device)
    rows = given["conv_state_indices"].long() if "conv_state_indices" in given else every
    state, own = given["conv_state"].clone(), given["conv_state"][rows.clamp(0)]
    before, after = own[..., size - (width - 1) :], torch.cat((own, steps), 2)[..., -size:]
    if "cache_seqlens" in given:
        start, after = given["cache_seqlens"].long(), own.clone()
        places = (start[:, None] + torch.arange(1 - width, 0, device=steps.device)) % size
        before = own.gather(2, places[:, None].expand(-1, own.shape[1], -1))
        for step in range(steps.shape[2]):
            after[every, :, (start + step) % size] = steps[..., step]
    state[rows[rows >= 0]] = after[rows >= 0]
    out = conv_reference({**given, "x": steps, "initial_states": before})["out"]
    out = torch.where(rows[:, None, None] >= 0, out, 0)
    return {"out": out.reshape(given["x"].shape), "conv_state": state}


def update_slack(given: Given, reference: Outputs) -> dict[str, Any]:
    """Same as for the convolution."""
    roundings = given["weight"].shape[1] + 32
    return {"out": update_reference(unsigned(given))["out"] * roundings * ULP, "conv_state": None}


def call_update(function: Callable[..., Any], given: Given) -> Outputs:
    state = torch.empty_like(given["conv_state"]).copy_(given["conv_state"])
    rest = named(given, "bias", "cache_seqlens", "conv_state_indices")
    rest["activation"] = "silu" if given["silu"] else None
    return {"out": function(given["x"], state, given["weight"], **rest), "conv_state": state}


# The selective scan.


def scan_given(config: Config, length: int, draw: Draw) -> Given:
    batch, dim, state = config.number("batch", 2), config.number("dim", 8), config.number("state", 8)
    kind, weights, low = config.type(), config.type("weights"), -1 if config.says("softplus") else 0
    fill, shape = partial(draw.normal, dtype=kind), (batch, dim, length)
    u, delta = (laid(f, config, *shape) for f in (fill, partial(draw.between, low, 1, dtype=kind)))
    a = -draw.between(0.1, 1.5, dim, state)
    if config.says("large steps"):  # beyond 20 a softplus is what it is given, and beyond 88 an exponential is infinite
        delta[..., ::5], delta[..., 2::7], a = 25, 100, a / 100
    given = {"u": u, "delta": delta, "softplus": config.says("softplus")}
    given["A"] = torch.complex(a, draw.normal(dim, state)) if weights.is_complex else a
    wide = length * (2 if weights.is_complex else 1)
    for name in "BC":
        constant = config.says(f"constant {name}") or config.says("constant B and C")
        varying = (batch, config.number("groups", 1), state, wide)
        given[name] = draw.normal(dim, state, dtype=weights) if constant else fill(*varying)
    given |= config.parts(
        D=lambda: draw.normal(dim),
        z=lambda: laid(fill, config, *shape),
        delta_bias=lambda: draw.between(0, 0.5, dim),
    )
    if config.says("nan"):
        u[0, 0, length // 2] = math.nan
    return given | {"grads": {"out_z" if config.says("z") else "out": fill(*shape)}}


def recur(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """x[t] = a[t] * x[t - 1] + b[t] along the last dimension, in steps that double."""
    step = 1
    while step < b.shape[-1]:
        b = torch.cat((b[..., :step], a[..., step:] * b[..., :-step] + b[..., step:]), -1)
        a = torch.cat((a[..., :step], a[..., step:] * a[..., :-step]), -1)
        step *= 2
    return b


def stepped(given: Given, name: str, bias: str) -> torch.Tensor:
    """The sizes of the steps."""
    step = given[name] + given[bias] if bias in given else given[name]
    return functional.softplus(step) if given["softplus"] else step


def scan_reference(given: Given) -> Outputs:
    u, a = given["u"], given["A"]
    bias = {"delta_bias": given["delta_bias"][:, None]} if "delta_bias" in given else {}
    delta = stepped({**given, **bias}, "delta", "delta_bias")

    def spread(weight: torch.Tensor) -> torch.Tensor:
        if weight.dim() == 2:
            return weight[None, :, :, None]
        weight = torch.view_as_complex(weight.unflatten(-1, (-1, 2))) if a.is_complex() else weight
        # A number of groups that does not divide is refused; a kernel that takes it gives something, but not this.
        return weight[:, torch.arange(u.shape[1], device=u.device) * weight.shape[1] // u.shape[1]]

    states = recur(torch.exp(delta[:, :, None] * a[..., None]), (delta * u)[:, :, None] * spread(given["B"]))
    out = (states * spread(given["C"])).sum(2)
    out = 2 * out.real if a.is_complex() else out
    out = out + given["D"][:, None] * u if "D" in given else out
    gated = {"out_z": out * functional.silu(given["z"])} if "z" in given else {}
    return {"out": out, "last_state": states[..., -1], **gated}


def scan_slack(given: Given, reference: Outputs) -> dict[str, Any]:
    """256 roundings: 16 steps of a thread, its block, the chunks, the state; a fast sine counts as a few."""
    dim, steps = given["u"].shape[1], given["u"][:, 0].numel()
    terms = dict.fromkeys(reference, given["A"].shape[1]) | dict.fromkeys(("dA", "dD", "ddelta_bias"), steps)
    terms |= {f"d{name}": steps if given[name].dim() == 2 else dim for name in "BC"}
    slack = peaks(reference, 256 * ULP, terms)
    # The kernel takes a state's own step off it again: of the first step a rounding is left, where dA is nothing.
    step = largest(functional.softplus(given["delta"])) + (largest(given["delta_bias"]) if "delta_bias" in given else 0)
    own = largest(reference["du"]) * largest(given["u"]) * step
    return slack | {"dA": slack["dA"] + 256 * ULP * own * math.sqrt(steps)}


def call_scan(module: types.ModuleType, given: Given) -> Outputs:
    inputs = [given.get(name) for name in ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")]
    out, x, *gated = module.fwd(*inputs, given["softplus"])
    (dout,) = given["grads"].values()
    found = module.bwd(*inputs, dout, x, out, None, given["softplus"], False)
    names = ("du", "ddelta", "dA", "dB", "dC", "dD", "ddelta_bias", "dz")
    gradients = {name: value for name, value in zip(names, found) if value is not None}
    # The state is that of the interface. If B does not vary, the binding's state is without B.
    interface = importlib.import_module("mamba_ssm.ops.selective_scan_interface")
    _, last_state = interface.selective_scan_fn(*inputs, given["softplus"], True)
    return {"out": out, "last_state": last_state, **dict(zip(["out_z"], gated)), **gradients}


# Mamba-2's scan in chunks.


def ssd_given(config: Config, length: int, draw: Draw) -> Given:
    batch, heads, dim, state = 2, 4, config.number("dim", 64), config.number("state", 64)
    fill, shape = partial(draw.normal, dtype=config.type()), (batch, length, heads, dim)
    dt = draw.between(-1 if config.says("softplus") else 0, 1, *shape[:3], dtype=config.type())
    a = -draw.between(0.1, 1.5, heads) * (50 if config.says("strong decay") else 1)
    if config.says("large steps"):
        dt[:, ::5], dt[:, 2::7], a = 25, 100, a / 100
    given = {"x": fill(*shape), "dt": dt, "A": a, "chunk": config.number("chunk", 64)}
    given |= {name: fill(batch, length, config.number("groups", 1), state) for name in "BC"}
    given |= {"softplus": config.says("softplus"), "return_final_states": config.says("final_states")}
    given |= config.parts(
        D=lambda: draw.normal(heads, dim) if config.says("of channels") else draw.normal(heads),
        z=lambda: fill(*shape),
        dt_bias=lambda: draw.between(0, 0.5, heads),
        initial_states=lambda: fill(batch, heads, dim, state),
        seq_idx=lambda: draw.sequences(batch, length),
    )
    final = config.parts(final_states=lambda: draw.normal(batch, heads, dim, state))
    return given | {"grads": {"out": fill(*shape), **final}}


def ssd_reference(given: Given) -> Outputs:
    x, dt, (batch, length, heads, _) = given["x"], stepped(given, "dt", "dt_bias"), given["x"].shape
    b, c = (given[name].repeat_interleave(heads // given[name].shape[2], 2) for name in "BC")
    total, number = torch.cumsum(dt * given["A"], 1), given.get("seq_idx", x.new_zeros(batch, length))
    seen = (number[:, :, None] == number[:, None]) & torch.ones(length, length, device=x.device).tril().bool()
    decay = torch.exp(torch.where(seen[..., None], total[:, :, None] - total[:, None], -math.inf))
    out = torch.einsum("blhn,bshn,blsh,bsh,bshp->blhp", c, b, decay, dt, x)
    final = torch.einsum("bsh,bsh,bshn,bshp->bhpn", decay[:, -1], dt, b, x)
    if "initial_states" in given:
        reach = torch.where((number == 0)[..., None], torch.exp(total), 0)
        out = out + torch.einsum("blhn,bhpn,blh->blhp", c, given["initial_states"], reach)
        final = final + reach[:, -1, :, None, None] * given["initial_states"]
    out = out + x * given["D"].reshape(heads, -1) if "D" in given else out
    out = out * functional.silu(given["z"]) if "z" in given else out
    return {"out": out, **({"final_states": final} if given["return_final_states"] else {})}


def ssd_slack(given: Given, reference: Outputs) -> dict[str, Any]:
    """Roundings of the inputs of matrix products, two each: 4 forward, 8 backward. float32 enters as TF32, of 10 bits.

    They are independent of each other: in a sum their error grows as the sum does. The sums add 256; dD is not the
    result of a matrix product and has only those 256.
    """
    dot = 2.0**-10 if given["x"].dtype is torch.float32 else torch.finfo(given["x"].dtype).eps
    batch, length, _, dim = given["x"].shape
    terms = {"dA": batch * length, "ddt_bias": batch * length, "dD": batch * length * dim, "ddt": length}
    products = {name: (8 if name[0] == "d" else 4) * dot * largest(value) for name, value in reference.items()}
    sums = peaks(reference, 256 * ULP, terms)
    return {name: value + (0 if name == "dD" else products[name]) for name, value in sums.items()}


def call_ssd(function: Callable[..., Any], given: Given) -> Outputs:
    def forward(given: Given) -> Outputs:
        rest = named(given, "D", "z", "dt_bias", "initial_states", "seq_idx", "return_final_states")
        first = (given[name] for name in ("x", "dt", "A", "B", "C", "chunk"))
        return outputs(function(*first, dt_softplus=given["softplus"], **rest), "final_states")

    return with_gradients(forward, given)


# One step of either, in place; its length is the number of channels.


def state_given(config: Config, length: int, draw: Draw) -> Given:
    batch, state, heads = 3, config.number("state", 16), [config.number("heads", 0)] if "heads" in config else []
    fill, groups = partial(draw.normal, dtype=config.type()), [config.number("groups", 1)] if heads else []
    inner, across = (1, 1) if config.says("tied") else (length, state)
    dt = draw.between(-1 if config.says("softplus") else 0, 1, batch, *heads, inner, dtype=config.type())
    a = -draw.between(0.1, 1.5, *heads, inner, across)
    if config.says("large steps"):
        dt[0], dt[1], a = 25, 100, a / 100
    given = {"state": draw.normal(batch, *heads, length, state, dtype=config.type("state", config.type()))}
    given |= {"x": fill(batch, *heads, length), "dt": dt.expand(batch, *heads, length)}
    given |= {"A": a.expand(*heads, length, state), **{name: fill(batch, *groups, state) for name in "BC"}}
    given["softplus"] = config.says("softplus")
    return given | config.parts(
        D=lambda: draw.normal(*heads, length),
        z=lambda: fill(batch, *heads, length),
        dt_bias=lambda: draw.between(0, 0.5, *heads, inner).expand(*heads, length),
    )


def state_reference(given: Given) -> Outputs:
    full = dict(given)
    if given["state"].dim() == 3:
        full |= {name: given[name].unsqueeze(1) for name in given.keys() & {"state", "x", "dt", "B", "C", "z"}}
    dt, x = stepped(full, "dt", "dt_bias"), full["x"]
    b, c = (full[name].repeat_interleave(x.shape[1] // full[name].shape[1], 1)[:, :, None] for name in "BC")
    state = full["state"] * torch.exp(dt[..., None] * full["A"]) + (dt * x)[..., None] * b
    out = (state * c).sum(-1) + full.get("D", 0) * x
    out = out * functional.silu(full["z"]) if "z" in full else out
    return {"out": out.reshape(given["x"].shape), "state": state.reshape(given["state"].shape)}


def state_slack(given: Given, reference: Outputs) -> dict[str, Any]:
    """Roundings: one of each number of the state, and 32 of the exponentials."""
    state = given["state"].shape[-1]
    return peaks(reference, (32 + state) * ULP, {"out": state})


def call_state(function: Callable[..., Any], given: Given) -> Outputs:
    state = given["state"].clone()
    first = (given[name] for name in ("x", "dt", "A", "B", "C"))
    out = function(state, *first, dt_softplus=given["softplus"], **named(given, "D", "z", "dt_bias"))
    return {"out": out, "state": state}


# The norms; their length is the width of a row.


def norm_given(config: Config, length: int, draw: Draw) -> Given:
    rows = config.number("rows", 150)  # more than a GPU's processors: some take two, some none
    fill, kind, summed = partial(draw.normal, rows, length), config.type(), config.type("sum", config.type())
    given = {"x": fill(dtype=kind), "weight": draw.normal(length), "grads": {"out": fill(dtype=kind)}}
    given |= {"kind": next(word for word in ("layer", "rms", "gated") if config.says(word))}
    given |= {"prenorm": config.says("prenorm"), "after": config.says("norm after gate")}
    given |= {"group": length // config.number("groups", 1)}
    given["grads"] |= {"sum": fill(dtype=summed)} if config.says("prenorm") else {}
    return given | config.parts(
        bias=lambda: draw.normal(length), z=lambda: fill(dtype=kind), residual=lambda: fill(dtype=summed)
    )


def norm_rows(given: Given) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What is normalised, the same in groups without their mean, and the inverse of their spread."""
    x = given["x"] + given["residual"] if "residual" in given else given["x"]
    x = x * functional.silu(given["z"]) if given["after"] else x
    rows = x.unflatten(-1, (-1, given["group"]))
    rows = rows - rows.mean(-1, keepdim=True) if given["kind"] == "layer" else rows
    return x, rows, torch.rsqrt(rows.square().mean(-1, keepdim=True) + 1e-5)


def norm_reference(given: Given) -> Outputs:
    x, rows, inverse = norm_rows(given)
    out = (rows * inverse).flatten(-2) * given["weight"] + given.get("bias", 0)
    out = out * functional.silu(given["z"]) if "z" in given and not given["after"] else out
    return {"out": out, **({"sum": x} if given["prenorm"] else {})}


def norm_slack(given: Given, reference: Outputs) -> dict[str, Any]:
    """Roundings: a lane's share of a row, and 32. The backward pass reads half-precision sums as stored: rounded."""
    x, _, inverse = norm_rows(cast(given, torch.float64))
    few = (32 + given["x"].shape[-1] / 32) * ULP
    stored = torch.finfo(given["residual"].dtype).eps if "residual" in given else 0
    many = few + (largest(inverse) * largest(x) * stored if stored > ULP else 0)
    # Backward, terms as large as the inverse of the spread cancel.
    steep = largest(inverse) * largest(given["weight"]) * largest(given["grads"]["out"]).double()
    if "z" in given:
        steep = steep * (1 + largest(given["z"])) * (1 + largest(given["x"]) if given["after"] else 1)
    peak = peaks(reference, 1, dict.fromkeys(("dweight", "dbias"), len(x)))
    slack = {name: few * value if name in ("out", "sum") else many * value for name, value in peak.items()}
    return slack | {name: slack[name] + many * steep for name in ("dx", "dz", "dresidual") if name in slack}


def call_norm(module: types.ModuleType, given: Given) -> Outputs:
    def forward(given: Given) -> Outputs:
        first = given["x"], given["weight"], given.get("bias")
        if given["kind"] == "gated":
            gated = importlib.import_module("mamba_ssm.ops.triton.layernorm_gated")
            rest = {"z": given.get("z"), "group_size": given["group"], "norm_before_gate": not given["after"]}
            return {"out": gated.rmsnorm_fn(*first, eps=1e-5, **rest)}
        function = module.layer_norm_fn if given["kind"] == "layer" else module.rms_norm_fn
        return outputs(function(*first, residual=given.get("residual"), eps=1e-5, prenorm=given["prenorm"]), "sum")

    return with_gradients(forward, given)


# Mamba-2's whole block in one function: convolution, scan in chunks, gate and norm.

HEADS, HEAD = 8, 32


def fused_given(config: Config, length: int, draw: Draw) -> Given:
    batch, groups, state = 2, config.number("groups", 1), 16
    inner, mixed = HEADS * HEAD, HEADS * HEAD + 2 * groups * state
    given = {"zxbcdt": draw.normal(batch, length, inner + mixed + HEADS, dtype=config.type())}
    given |= {"weight": draw.normal(mixed, 4, dtype=config.type()), "bias": draw.normal(mixed, dtype=config.type())}
    given |= {"dt_bias": draw.between(0, 0.5, HEADS), "A": -draw.between(0.1, 1.5, HEADS), "D": draw.normal(HEADS)}
    given |= {"chunk": config.number("chunk", 64), "groups": groups, "after": config.says("norm after gate")}
    given |= {"grads": {"out": draw.normal(batch, length, inner, dtype=config.type())}}
    return given | config.parts(rms=lambda: draw.normal(inner))


def fused_reference(given: Given) -> Outputs:
    mixed, inner, groups = len(given["weight"]), HEADS * HEAD, given["groups"]
    z, mixture, dt = given["zxbcdt"].split((inner, mixed, HEADS), -1)
    conv = {"x": mixture.transpose(1, 2), "weight": given["weight"], "bias": given["bias"], "silu": True}
    out = conv_reference({**conv, "return_final_states": False})["out"].transpose(1, 2)
    x, b, c = out.split((inner, (mixed - inner) // 2, (mixed - inner) // 2), -1)
    ssd = {"x": x.unflatten(-1, (HEADS, HEAD)), "B": b.unflatten(-1, (groups, -1)), "C": c.unflatten(-1, (groups, -1))}
    ssd |= {"dt": dt, "softplus": True, "return_final_states": False, **named(given, "A", "D", "dt_bias")}
    out = ssd_reference(ssd)["out"].flatten(-2)
    if "rms" not in given:
        return {"out": out * functional.silu(z)}
    norm = {"x": out, "z": z, "weight": given["rms"], "kind": "gated", "prenorm": False, "after": given["after"]}
    return norm_reference({**norm, "group": inner // groups})


def fused_slack(given: Given, reference: Outputs) -> dict[str, Any]:
    """As of the scan in chunks, and as many roundings again of what goes from one kernel to the next."""
    kind = given["zxbcdt"].dtype
    dot = 2.0**-10 if kind is torch.float32 else torch.finfo(kind).eps
    batch, length, _ = given["zxbcdt"].shape
    summed = dict.fromkeys(("dweight", "dbias", "dA", "ddt_bias", "drms"), batch * length)
    sums = peaks(reference, 256 * ULP, summed | {"dD": batch * length * HEAD})
    return {name: sums[name] + (16 if name[0] == "d" else 8) * dot * largest(reference[name]) for name in reference}


def call_fused(function: Callable[..., Any], given: Given) -> Outputs:
    def forward(given: Given) -> Outputs:
        first = (given[name] for name in ("zxbcdt", "weight", "bias", "dt_bias", "A", "D", "chunk"))
        norm = {"rmsnorm_weight": given.get("rms"), "rmsnorm_eps": 1e-5, "norm_before_gate": not given["after"]}
        return {"out": function(*first, headdim=HEAD, ngroups=given["groups"], **norm)}

    return with_gradients(forward, given)


# The kernels, as the wheels have them.


@dataclass(frozen=True)
class Kernel:
    """A kernel of a wheel, its call, and the output dimension of the length."""

    module: str
    name: str
    given: Callable[[Config, int, Draw], Given]
    call: Callable[[Any, Given], Outputs]
    reference: Call
    slack: Callable[[Given, Outputs], dict[str, Any]]
    along: int
    function: Any = None
    takes: frozenset[str] = frozenset()


CONV, TRITON = "causal_conv1d.causal_conv1d_interface", "mamba_ssm.ops.triton."
STATE, SSD, FUSED = "selective_state_update", "ssd_combined", "mamba_split_conv1d_scan_combined"
KERNELS = {
    "conv": Kernel(CONV, "causal_conv1d_fn", conv_given, call_conv, conv_reference, conv_slack, 2),
    "update": Kernel(CONV, "causal_conv1d_update", update_given, call_update, update_reference, update_slack, 2),
    "scan": Kernel("selective_scan_cuda", "", scan_given, call_scan, scan_reference, scan_slack, -1),
    "ssd": Kernel(TRITON + SSD, "mamba_chunk_scan_combined", ssd_given, call_ssd, ssd_reference, ssd_slack, 1),
    "state": Kernel(TRITON + STATE, STATE, state_given, call_state, state_reference, state_slack, 2),
    "norm": Kernel(TRITON + "layer_norm", "", norm_given, call_norm, norm_reference, norm_slack, 1),
    "fused": Kernel(TRITON + SSD, FUSED, fused_given, call_fused, fused_reference, fused_slack, 1),
}
NEEDS = {"seq_idx", "padding", "initial_states", "final_states", "cache_seqlens", "several steps", "conv_state_indices"}
NEEDS |= {"gated", "heads 2", "heads 4"}
"""The words of a configuration that not every version knows."""


def placed(folder: str) -> None:
    """Imports come from the folder first. mamba_ssm goes without its __init__.py, which may lack transformers."""
    sys.path.insert(0, folder)
    package = types.ModuleType("mamba_ssm")
    package.__path__ = [str(Path(folder, "mamba_ssm"))]
    sys.modules["mamba_ssm"] = package


def versions(wheels: Iterable[Path]) -> dict[str, str]:
    """By upstream's name: this project's wheels have -portable behind it."""
    found = (wheel.name.split("-")[:2] for wheel in wheels)
    return {name.removesuffix("_portable"): version for name, version in found}


def loaded(wheels: Sequence[Path]) -> dict[str, Kernel]:
    """The kernels that the wheels have; one that cannot be imported fails when it is called."""
    releases = {name: re.findall(r"\d+", version.partition("+")[0]) for name, version in versions(wheels).items()}
    conv, mamba = (tuple(map(int, releases.get(name, ()))) for name in ("causal_conv1d", "mamba_ssm"))
    kernels = {}
    for key, kernel in KERNELS.items():
        name = f"{TRITON}layernorm" if key == "norm" and mamba < (2,) else kernel.module
        try:
            module = importlib.import_module(name)
        except Exception as error:
            missing = error.name if isinstance(error, ModuleNotFoundError) else None
            if missing is None or not f"{name}.".startswith(f"{missing}."):
                kernels[key] = replace(kernel, call=raising, function=error, takes=frozenset(NEEDS))
            continue
        function = getattr(module, kernel.name) if kernel.name else module
        takes = set(inspect.signature(function).parameters) if kernel.name else set()
        takes |= {"final_states"} if "return_final_states" in takes else set()
        takes |= {"several steps"} if "cache_seqlens" in takes else set()
        takes |= {"padding"} if conv >= (1, 5, 3, 1) else set()
        takes |= {"heads 2", "heads 4"} if mamba >= (1, 2, 2) else set()
        takes |= {"gated"} if mamba >= (2,) else set()
        kernels[key] = replace(kernel, function=function, takes=frozenset(takes))
    return kernels


def raising(error: Exception, given: Given) -> Outputs:
    raise error


def tiled(number: int) -> None:
    """Gives each of Triton's kernels one of its three smallest tilings, by the group's number."""

    def size(config: Any) -> tuple[int, int]:
        tiles = [int(value) for name, value in config.kwargs.items() if name.startswith("BLOCK")]
        return math.prod([config.num_stages or 1, *tiles]), -config.num_warps

    for module in [item for name, item in sys.modules.items() if name.startswith("mamba_ssm.ops")]:
        for kernel in vars(module).values():
            if hasattr(kernel, "configs") and hasattr(kernel, "cache"):
                every = kernel.__dict__.setdefault("tilings", sorted(kernel.configs, key=size)[:3])
                kernel.configs = [every[number % len(every)]]
                kernel.cache.clear()


# The cases.


def crossed(row: str) -> list[Config]:
    """Every combination of the words of a row. Words between strokes exclude each other; a plus joins words."""
    choices = itertools.product(*(place.split("/") for place in row.split(", ")))
    return [Config(", ".join(word for place in places for word in place.split("+") if word)) for places in choices]


def around(*centres: int, reach: int) -> list[int]:
    return [length for centre in centres for length in range(max(1, centre - reach), centre + reach + 1)]


def conv_lengths(*chunks: int) -> list[int]:
    ends = [3 * chunk + more for chunk in chunks for more in (0, 1, 3, 7)]
    return sorted({*range(1, 10), *around(*(n * chunk for chunk in chunks for n in (1, 2)), reach=9), *ends})


SHORT = [1, 2, 3, 5, 8, 17, 63, 64, 65, 127, 129, 511, 513, 515, 1023, 1025, 1031]
SOME = [1, 2, 5, 31, 127, 128, 129, 256, 257, 513, 1024, 1025, 2047, 2048, 2049, 4097]
SCANNED = sorted({*range(1, 10), *around(128, 256, 512, 1024, 2048, reach=8), *around(4097, reach=2)})
CHUNKED = [1, *around(64, 128, 256, 512, reach=3)]
WIDTHS, STATES, STEPS = [1, 8, 100, 1000, 1024, 4097], [1, 4, 31, 64, 65], [1, 2, 3, 4, 5, 8, 17]
TYPES, SILU, BOTH = "float32/float16/bfloat16", "silu/no silu", "channels first/channels last"
FULL, STEP, WEIGHTS = "D, z, delta_bias, softplus", "D, z, dt_bias, softplus", "float32 weights/complex64 weights"
LAYOUTS = "every second channel/every second of the batch/channels last of more/channels first+dim 1+batch 1"
FINAL = "final_states/initial_states+final_states/final_states+dfinal channels first"
CASES: dict[str, dict[str, list[int]]] = {
    "conv": {
        f"float32, channels first, {SILU}": conv_lengths(512),
        f"float16/bfloat16, channels first, {SILU}": conv_lengths(1024),
        f"{TYPES}, channels last, {SILU}": conv_lengths(64, 128),
        f"{TYPES}, {BOTH}, {SILU}, width 2/width 3/no bias": SHORT,
        f"float16/bfloat16, {BOTH}, silu, float32 weights": SHORT,
        f"{TYPES}, {LAYOUTS}, silu": SHORT,
        f"{TYPES}, channels last, silu, batch 1/dout channels first/dout odd channels": SHORT,
        f"{TYPES}, channels first, {SILU}, dout odd offset": SHORT,
        f"{TYPES}, channels last, {SILU}, initial_states/{FINAL}/seq_idx/seq_idx+padding": SHORT,
        f"{TYPES}, odd offset, silu": [length for length in SHORT if length % 4],
        # Whole vectors, from addresses where no vector starts: a kernel that does not look loses the CUDA context.
        "float32/bfloat16, odd offset, silu, whole vectors": [8, 64, 512, 1024],
        "float32/bfloat16, channels first, silu, dout odd offset, whole vectors": [8, 64, 512, 1024],
        "float32/bfloat16, channels last of odd start, silu": [8, 65],
    },
    "update": {
        f"{TYPES}, {SILU}, one step, state longer by 1, width 2/width 3/width 4/no bias/channels last": [1],
        "float16/bfloat16, silu, float32 weights, one step, state longer by 1": [1],
        f"{TYPES}, silu, several steps, width 2/width 3/width 4, /cache_seqlens, /state longer by 1/state longer by 13": STEPS,
        f"{TYPES}, no silu, several steps, state longer by 2, /cache_seqlens, channels last": STEPS,
        f"{TYPES}, silu, several steps, state longer by 2, /cache_seqlens, conv_state_indices, /padding": STEPS,
    },
    "scan": {
        f"float32/bfloat16, {WEIGHTS}, {FULL}": SCANNED,
        f"float32+groups 2/float16+groups 4, float32 weights, {FULL}": SCANNED,
        f"float32, {WEIGHTS}, {FULL}, constant B/constant C/constant B and C": SCANNED,
        f"bfloat16, {WEIGHTS}, D, constant B/constant C/constant B and C": SOME,
        f"float32/bfloat16, {WEIGHTS}, /D/z/delta_bias/softplus": SOME,
        f"float32, {WEIGHTS}, {FULL}, state 1/state 4/state 16/state 64/dim 1+batch 1/dim 12+batch 3": SOME,
        f"float16, {WEIGHTS}, {FULL}": SOME,
        f"bfloat16, {WEIGHTS}, {FULL}, every second channel/odd offset": [length for length in SOME if length % 128],
        f"float32/bfloat16, float32 weights, {FULL}, large steps": SOME,
        # These cases may write beyond their tensor or fault, and lose other tensors' memory or the CUDA context.
        f"float32/bfloat16, complex64 weights, {FULL}, groups 2/groups 4": SOME,
        f"float32, {WEIGHTS}, {FULL}, dim 10, groups 4": SOME[:4],
        f"float32/bfloat16, {WEIGHTS}, {FULL}, odd offset, whole chunks": [128, 256, 2048],
    },
    "ssd": {
        "bfloat16, chunk 256, D, softplus, dt_bias": CHUNKED,
        "float32, chunk 64, groups 2": CHUNKED,
        f"float32, chunk 64, {STEP}, initial_states, final_states": CHUNKED,
        f"float16, chunk 64, groups 2, {STEP}, of channels, initial_states, final_states, seq_idx": CHUNKED,
        "bfloat16, chunk 64, state 16, softplus, dt_bias, seq_idx, final_states": CHUNKED,
        "float32, chunk 256, groups 2, dim 128, state 16, D, softplus, initial_states": CHUNKED,
        "bfloat16, chunk 64, dim 16, D, strong decay": CHUNKED,
        "float32, chunk 64, dim 16, state 16, D, softplus, dt_bias, large steps": CHUNKED,
    },
    "state": {
        f"{TYPES}/bfloat16+float32 state, {STEP}, /heads 4+groups 2+state 64+tied": STATES,
        f"float32, {STEP}, heads 4/heads 4+groups 4+state 128/heads 2+state 1/large steps": STATES,
        "float32, D+dt_bias/z+dt_bias+softplus/D+softplus": STATES,
    },
    "norm": {
        f"{TYPES}, layer+bias/rms": WIDTHS,
        "float32/bfloat16, layer+bias/rms, residual, float32 sum, prenorm": WIDTHS,
        "bfloat16+prenorm/float16, layer+bias/rms, residual": WIDTHS[1:],
        "float32/bfloat16, gated, /z/z+norm after gate/z+bias": WIDTHS,
        "float32/bfloat16, gated, z/z+norm after gate, groups 4": [8, 100, 1000, 1024, 4104],
    },
    "fused": {
        "float32/bfloat16, /rms/rms+norm after gate, groups 1/groups 2": [1, 5, 63, 64, 65, 130, 257],
    },
    "races": {
        f"conv, float32/bfloat16, {BOTH}, silu, batch 8, dim 128, repeated 20": [64, 515, 1031, 4097],
        f"scan, float32/bfloat16, {WEIGHTS}, {FULL}, batch 8, dim 16, state 4, repeated 20": [64, 515, 1031, 4097],
    },
    "long": {
        f"conv, float32/bfloat16, {BOTH}, silu, batch 1, dim 8": [65537],
        f"scan, float32, {WEIGHTS}, {FULL}, batch 1, dim 2, state 4": [65537],
        f"conv, float32, {BOTH}, {SILU}, nan/inf": [9, 64, 130, 515, 1026, 1031],
        f"scan, float32, {WEIGHTS}, {FULL}, nan": [9, 256, 515, 4097],
        # Times 2^28 and some: the last of the batch begins beyond 2^31, and beyond 2^32. These may lose the context.
        "conv, bfloat16, channels first, silu, dim 8192, huge, batch 9/batch 17": [32769],
        "scan, bfloat16, constant B and C, dim 8192, state 1, huge, batch 9/batch 17": [32769],
        "norm, bfloat16, rms/gated, rows 524296, huge": [4096],
    },
}
"""The words to combine and the lengths, for each function. Versions without a feature in NEEDS skip it."""


@dataclass(frozen=True)
class Case:
    section: str
    row: int
    kernel: str
    config: Config
    length: int


def all_cases(kernels: dict[str, Kernel], sections: Iterable[str], every: int = 1) -> Iterator[Case]:
    """Every n-th length of each configuration, with another start for each configuration."""
    for section in sections:
        for row, (words, all_lengths) in enumerate(CASES[section].items()):
            for number, config in enumerate(crossed(words)):
                lengths = all_lengths[number % min(every, len(all_lengths)) :: every]
                kernel = config.split(", ")[0] if section in ("races", "long") else section
                if kernel in kernels and not lacking(kernels[kernel], config):
                    yield from (Case(section, row, kernel, config, length) for length in lengths)


def lacking(kernel: Kernel, words: str) -> set[str]:
    return {word for word in re.split(", |/|\\+", words) if word in NEEDS - kernel.takes}


def left_out(kernels: dict[str, Kernel], section: str) -> str:
    """The parts of a section that the wheels lack."""
    if section not in KERNELS:
        return ""
    if section not in kernels:
        return f"all, since the wheels have no {KERNELS[section].module}"
    words = set().union(*(lacking(kernels[section], row) for row in CASES[section]))
    return f"{', '.join(sorted(words))}, since this version has no such thing" if words else ""


# Running them.


@dataclass
class Failure:
    function: str
    config: str
    length: int
    output: str
    message: str = ""
    error: float = 0.0
    allowed: float = 0.0
    scale: float = 0.0
    nearest: int = 0  # how far from the end of the sequence it is wrong: 1 is the last step
    farthest: int = 0


@dataclass
class Group:
    function: str
    config: str
    row: int = 0
    cases: int = 0
    wrong: int = 0
    refused: int = 0
    worst: float = 0.0
    left_out: str = ""
    failures: list[Failure] = field(default_factory=list)


def compare(case: Case, name: str, ours: Any, known: torch.Tensor, slack: Any) -> tuple[float, Failure | None]:
    """The largest share of what is allowed, and what is wrong, if anything."""
    failure = Failure(case.section, case.config, case.length, name)
    if ours is None or ours.shape != known.shape:
        failure.message = f"{None if ours is None else tuple(ours.shape)} instead of {tuple(known.shape)}"
        return math.inf, failure
    error, finite = (cast(ours, torch.float64) - known).abs(), known.isfinite()
    allowed = torch.zeros_like(error)
    if slack is not None:
        kind = torch.finfo(ours.dtype)  # below its smallest normal number a type has steps of one size
        allowed += 2 * kind.eps * known.abs().clamp_min(kind.tiny) + slack
    wrong = torch.where(finite, ~(error <= allowed), ours.isfinite())
    share = torch.where(finite, error / (allowed + 1e-300), 0).nan_to_num(math.inf).max().item()
    if not wrong.any():
        return share, None
    at = torch.where(wrong & finite, error.nan_to_num(math.inf), -1).argmax()
    failure.error, failure.allowed = (tensor.flatten()[at].item() for tensor in (error, allowed))
    failure.scale = largest(known).item()
    if not (finite & wrong).any():
        failure.message = "finite where it must not be"
    elif not math.isfinite(failure.error):
        failure.message = "not finite where it must be"
    along = KERNELS[case.kernel].along
    size = wrong.shape[along] if wrong.dim() > max(along, 1) else 0
    if size in (case.length, 2 * case.length):  # two numbers of a step: a complex one
        indices = wrong.nonzero()[:, along] // (size // case.length)
        failure.nearest, failure.farthest = (case.length - int(end) for end in (indices.max(), indices.min()))
    return share, failure


def bits(tensor: torch.Tensor) -> torch.Tensor:
    real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return real.contiguous().view(torch.int32 if real.element_size() == 4 else torch.int16)


def last_of(case: Case, tensor: torch.Tensor) -> torch.Tensor:
    """The last channels or rows of a huge tensor. A channel's sums over the batch are complete."""
    if case.kernel == "norm":
        return tensor[-8:] if tensor.dim() == 2 else tensor
    return tensor[:, -8:] if tensor.dim() == 3 else tensor[-8:]


ATOMIC = {"dweight", "dbias", "dA", "dB", "dC", "dD", "ddelta_bias"}


REFUSED = re.compile(
    r"causal_conv1d .*(requires|only supports)|selective_scan (requires|only supports)|only supported for"
)
"""A binding's sentence about a call that it does not take."""


def run_case(case: Case, kernel: Kernel, device: str, seed: int) -> tuple[float, list[Failure]]:
    config, differing = case.config, set()
    try:
        given = kernel.given(config, case.length, Draw(device, seed, case.section, config, case.length))
        ours = kernel.call(kernel.function, given)
        for _ in range(config.number("repeated", 1) - 1):
            again = kernel.call(kernel.function, given)
            differing |= {name for name in ours if not torch.equal(bits(again[name]), bits(ours[name]))} - ATOMIC
        if device == "cuda":
            torch.cuda.synchronize()
        if config.says("huge"):
            given, ours = (mapped(partial(last_of, case), value) for value in (given, ours))
        reference = with_gradients(kernel.reference, cast(given, torch.float64))
        slack = kernel.slack(given, reference)
        sums = {"dweight"} if config.says("huge") and case.kernel == "norm" else set()
        found = [compare(case, name, ours.get(name), reference[name], slack[name]) for name in reference.keys() - sums]
    except Exception as error:
        said = f"{type(error).__name__}: {str(error).strip() or '-'}".splitlines()[0]
        refused = isinstance(error, RuntimeError) and REFUSED.search(said)
        return 0 if refused else math.inf, [
            Failure(case.section, config, case.length, "refused" if refused else "call", said)
        ]
    failures = [failure for _, failure in found if failure is not None]
    said = "differs from call to call"
    failures += [Failure(case.section, config, case.length, name, said) for name in differing]
    return max(share for share, _ in found), failures


def run_group(cases: Sequence[Case], kernels: dict[str, Kernel], device: str, seed: int) -> tuple[Group, bool]:
    """What became of the cases of one configuration, and whether the CUDA context is lost."""
    group = Group(cases[0].section, cases[0].config, cases[0].row)
    for number, case in enumerate(cases):
        if case.config.says("huge"):
            batch, dim, rows = (case.config.number(word, 1) for word in ("batch", "dim", "rows"))
            needed = 7 * 2 * batch * dim * rows * case.length / 2**30  # inputs, outputs and gradients of two bytes
            free = torch.cuda.mem_get_info()[0] / 2**30
            if free < needed:
                group.left_out = f"length {case.length} needs {needed:.0f} GiB, and {free:.0f} are free"
                continue
        share, failures = run_case(case, kernels[case.kernel], device, seed)
        group.cases += 1
        group.wrong += any(failure.output != "refused" for failure in failures)
        group.refused += any(failure.output == "refused" for failure in failures)
        group.worst = max(group.worst, share)
        group.failures += failures
        if failures and not alive(device):
            group.left_out = f"{len(cases) - 1 - number} more, since the CUDA context was lost"
            return group, True
    return group, False


def alive(device: str) -> bool:
    try:
        return bool(torch.zeros(1, device=device).item() == 0)
    except Exception:
        return False


def child(options: argparse.Namespace) -> int:
    """One process: says on standard output which of its share of the groups it begins, and what became of it."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    folder, part, parts, skipped = options.child[0], *map(int, options.child[1:])
    placed(folder)
    kernels = loaded(options.wheels)
    print(json.dumps({"left out": {name: left_out(kernels, name) for name in options.only}}), flush=True)
    groups = itertools.groupby(
        all_cases(kernels, options.only, options.every), key=lambda case: (case.section, case.config, case.row)
    )
    mine = [(number, key, list(cases)) for number, (key, cases) in enumerate(groups) if number % parts == part]
    for number, key, cases in mine[skipped:]:
        print(json.dumps({"begun": key}), flush=True)
        tiled(number)
        group, lost = run_group(cases, kernels, "cuda", options.seed)
        print(json.dumps(asdict(group)), flush=True)
        if lost:
            os._exit(1)  # what holds memory of the lost context cannot be taken apart
        torch.cuda.empty_cache()
    return 0


def watch(options: argparse.Namespace, sections: Sequence[str], folder: str, parts: int, part: int) -> list[Group]:
    """Runs a child until it has been through its groups, and notes what one dies of."""
    groups: list[Group] = []
    begun = 0
    while True:
        rest = [
            "--seed",
            options.seed,
            "--every",
            options.every,
            "--only",
            *sections,
            "--child",
            folder,
            part,
            parts,
            begun,
        ]
        command = [*map(str, [sys.executable, __file__, *options.wheels, *rest])]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        lines = [json.loads(line) for line in run.stdout.splitlines() if line.startswith('{"')]
        done = [line for line in lines if "cases" in line]
        starts = [line["begun"] for line in lines if "begun" in line]
        groups += [Group(**{**line, "failures": [Failure(**item) for item in line["failures"]]}) for line in done]
        begun += len(starts)
        if len(starts) > len(done) or (run.returncode and not starts):
            function, config, row = starts[-1] if starts else (sections[0], "-", 0)
            failure = Failure(function, config, 0, "call", f"its process ended with status {run.returncode}")
            groups.append(Group(function, config, row, 1, 1, math.inf, failures=[failure]))
        if run.returncode == 0 or not starts:
            said = lines[0]["left out"] if lines and part == 0 else {}
            return groups + [Group(name, "-", -1, left_out=why) for name, why in said.items() if why]


def parent(options: argparse.Namespace) -> int:
    started, device, wheels = time.monotonic(), torch.cuda.get_device_name(), versions(options.wheels)
    print(f"{device}, torch {torch.__version__}, {', '.join(' '.join(item) for item in wheels.items())}")
    groups: list[Group] = []
    side_by_side = [name for name in options.only if name != "long"]
    with tempfile.TemporaryDirectory() as folder:
        for wheel in options.wheels:
            zipfile.ZipFile(wheel).extractall(folder)
        # The section of long cases needs the memory that the others use.
        for sections, parts in ((side_by_side, min(8, os.cpu_count() or 1)), (["long"], 1)):
            if set(sections) & set(options.only):
                with ThreadPoolExecutor(parts) as pool:
                    found = pool.map(partial(watch, options, sections, folder, parts), range(parts))
                    groups += itertools.chain.from_iterable(found)
    groups.sort(key=lambda group: (SECTIONS.index(group.function), group.row))
    report(groups)
    cases, wrong, refused = (sum(getattr(group, name) for group in groups) for name in ("cases", "wrong", "refused"))
    if options.json:
        triton = importlib.import_module("triton").__version__ if importlib.util.find_spec("triton") else None
        about = {"gpu": device, "torch": torch.__version__, "triton": triton, "wheels": wheels}
        about |= {"seconds": round(time.monotonic() - started), "cases": cases, "wrong": wrong, "refused": refused}
        about |= {"groups": [{**written(group), "failures": len(group.failures)} for group in groups]}
        about |= {"failures": [written(failure) for group in groups for failure in group.failures]}
        options.json.write_text(json.dumps(about, indent=1) + "\n")
    print(f"{cases} cases, {wrong} wrong, {refused} refused by the binding")
    return 1 if wrong else 0


def report(groups: Iterable[Group]) -> None:
    for (function, row), found in itertools.groupby(groups, key=lambda group: (group.function, group.row)):
        some = list(found)
        cases, wrong = (sum(getattr(group, name) for group in some) for name in ("cases", "wrong"))
        if cases:
            print(f"{function}: {[*CASES[function]][row]}")
            worst = max(group.worst for group in some)
            print(f"    {cases} cases, {wrong} wrong; at most {worst:.2g} of what is allowed")
        for group in some:
            for line in regions(group.failures):
                print(f"        {group.config}: {line}")
            if group.left_out:
                print(f"    left out of {function} {group.config}: {group.left_out}")


def written(item: Any) -> dict[str, Any]:
    """As JSON has it, which knows no number that is not finite."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(item).items()}


def regions(failures: Iterable[Failure]) -> Iterator[str]:
    """Which outputs are wrong, at which lengths, and where in the sequence."""
    alike = sorted(failures, key=lambda failure: (failure.output, failure.message))
    for (output, message), found in itertools.groupby(alike, key=lambda failure: (failure.output, failure.message)):
        some = list(found)
        places = [place for failure in some for place in (failure.nearest, failure.farthest) if place]
        where = f", {min(places)} to {max(places)} from the end" if places else ""
        worst = max(some, key=lambda failure: failure.error / (failure.scale or 1))
        most = f"off by up to {worst.error:.3g}, allowed {worst.allowed:.3g}, where values reach {worst.scale:.3g}"
        yield f"{output}: length {ranges({failure.length for failure in some})}{where}: {message or most}"


def ranges(lengths: set[int]) -> str:
    runs: list[list[int]] = []
    for length in sorted(lengths):
        if runs and length == runs[-1][-1] + 1:
            runs[-1][1:] = [length]
        else:
            runs.append([length])
    return ", ".join("-".join(map(str, run)) for run in runs)


# The self-test.


def plain_conv(given: Given) -> Outputs:
    x, weight, width = given["x"], given["weight"], given["weight"].shape[1]
    if "seq_idx" in given:  # of a batch of one
        pieces = x.split(given["seq_idx"][0].unique_consecutive(return_counts=True)[1].tolist(), 2)
        alone = {name: value for name, value in given.items() if name != "seq_idx"}
        return {"out": torch.cat([plain_conv({**alone, "x": piece})["out"] for piece in pieces], 2)}
    padded = torch.cat((given.get("initial_states", x.new_zeros(*x.shape[:2], width - 1)), x), 2)
    out = functional.conv1d(padded, weight[:, None], given.get("bias"), groups=len(weight))
    return {"out": functional.silu(out) if given["silu"] else out, "final_states": padded[..., x.shape[2] :]}


def plain_update(given: Given) -> Outputs:
    """A circular buffer, rotated so that its oldest entry comes first, equals a shifting buffer."""
    turns = given["cache_seqlens"].tolist()
    turned = torch.stack([state.roll(-turn, 1) for state, turn in zip(given["conv_state"], turns)])
    full, size, steps = torch.cat((turned, given["x"]), 2), turned.shape[2], given["x"].shape[2]
    out = functional.conv1d(full, given["weight"][:, None], given["bias"], groups=len(given["weight"]))[..., -steps:]
    back = torch.stack([state.roll(turn + steps, 1) for state, turn in zip(full[..., -size:], turns)])
    return {"out": functional.silu(out), "conv_state": back}


def loop(decay: torch.Tensor, drive: torch.Tensor, readout: torch.Tensor, state: Any = 0) -> tuple[torch.Tensor, Any]:
    """A state that iterates over the last dimension; the dimension before it belongs to the state."""
    outs = []
    for t in range(drive.shape[-1]):
        state = decay[..., t] * state + drive[..., t]
        outs.append((state * readout[..., t]).sum(-1))
    return torch.stack(outs, -1), state


def plain_scan(given: Given) -> Outputs:
    u, a, dim = given["u"], given["A"], given["u"].shape[1]
    delta = functional.softplus(given["delta"] + given["delta_bias"][:, None])[:, :, None]
    weights = []
    for weight in (given["B"], given["C"]):
        if weight.dim() == 2:
            weights.append(weight[None, ..., None].expand(len(u), -1, -1, u.shape[2]))
            continue
        whole = torch.complex(weight[..., ::2], weight[..., 1::2]) if a.is_complex() else weight
        weights.append(whole[:, torch.arange(dim) * whole.shape[1] // dim])
    out, state = loop(torch.exp(delta * a[..., None]), delta * weights[0] * u[:, :, None], weights[1])
    out = (2 * out.real if a.is_complex() else out) + given["D"][:, None] * u
    return {"out": out, "out_z": out * functional.silu(given["z"]), "last_state": state}


def plain_ssd(given: Given) -> Outputs:
    x, dt = given["x"].permute(0, 2, 3, 1), functional.softplus(given["dt"] + given["dt_bias"]).permute(0, 2, 1)
    same = functional.pad(given["seq_idx"], (1, 0))[:, :-1] == given["seq_idx"]
    decay = (torch.exp(dt * given["A"][:, None]) * same[:, None])[:, :, None, None]
    b, c = (given[name].permute(0, 2, 3, 1)[:, torch.tensor([0, 0, 1, 1]), None] for name in "BC")
    out, state = loop(decay, dt[:, :, None, None] * b * x[:, :, :, None], c, given["initial_states"])
    out = out.permute(0, 3, 1, 2) + given["D"] * given["x"]
    return {"out": out * functional.silu(given["z"]), "final_states": state}


def plain_state(given: Given) -> Outputs:
    dt = functional.softplus(given["dt"] + given["dt_bias"])[..., None]
    drive, c = dt * given["B"][:, None] * given["x"][..., None], given["C"][:, None]
    out, state = loop(torch.exp(dt * given["A"])[..., None], drive[..., None], c[..., None], given["state"])
    return {"out": (out[..., 0] + given["D"] * given["x"]) * functional.silu(given["z"]), "state": state}


def plain_fused(given: Given) -> Outputs:
    z, mixture, dt = given["zxbcdt"].split((256, 320, 8), -1)
    out = plain_conv({"x": mixture.transpose(1, 2), "silu": True, **named(given, "weight", "bias")})["out"]
    x, b, c = out[:, :256].unflatten(1, (8, 32)), *(part.unflatten(1, (2, 16)) for part in out[:, 256:].split(32, 1))
    b, c = (part[:, torch.arange(8) // 4, None] for part in (b, c))
    dt = functional.softplus(dt + given["dt_bias"]).transpose(1, 2)[:, :, None, None]
    out, _ = loop(torch.exp(dt * given["A"][:, None, None, None]), dt * b * x[:, :, :, None], c)
    out = (out + given["D"][:, None, None] * x).permute(0, 3, 1, 2).flatten(-2)
    return plain_norm(
        {"x": out, "z": z, "weight": given["rms"], "kind": "gated", "group": 128, "after": given["after"]}
    )


def plain_norm(given: Given) -> Outputs:
    x = given["x"] + given.get("residual", 0)
    if given["kind"] == "layer":
        return {"out": functional.layer_norm(x, x.shape[-1:], given["weight"], given["bias"], 1e-5), "sum": x}
    rows = (x * functional.silu(given["z"]) if given["after"] else x).unflatten(-1, (-1, given["group"]))
    out = functional.rms_norm(rows, rows.shape[-1:], eps=1e-5).flatten(-2) * given["weight"]
    return {"out": out if given["after"] else out * functional.silu(given["z"])}


def references_are_right() -> Iterator[str]:
    """The references and their gradients are those of torch's own functions, and of loops over the steps."""
    for kernel, plain, length, row in (
        ("conv", plain_conv, 7, f"channels last, {SILU}, width 3, initial_states, final_states"),
        ("conv", plain_conv, 30, "channels first/channels last+seq_idx+batch 1, silu"),
        ("update", plain_update, 7, "silu, width 3, several steps, cache_seqlens, state longer by 9"),
        ("scan", plain_scan, 11, f"float32, {WEIGHTS}, {FULL}, groups 2/constant B/constant C/constant B and C"),
        ("ssd", plain_ssd, 23, f"groups 2, dim 3, state 5, seq_idx, initial_states, final_states, {STEP}, of channels"),
        ("state", plain_state, 6, STEP),
        ("fused", plain_fused, 9, "groups 2, rms/rms+norm after gate"),
        ("norm", plain_norm, 12, "layer+bias+residual+prenorm/gated+z+groups 3/gated+z+groups 3+norm after gate"),
    ):
        for config in crossed(row):
            given = cast(KERNELS[kernel].given(config, length, Draw("cpu", kernel)), torch.float64)
            known, ours = with_gradients(plain, given), with_gradients(KERNELS[kernel].reference, given)
            far = {name: largest(value - known[name]).item() for name, value in ours.items()}
            right = max(far.values()) < 1e-10 and all(value.isfinite().all() for value in ours.values())
            yield f"{'ok   ' if right else 'WRONG'} reference of {kernel}, {config}{'' if right else f': {far}'}"


def stand_in(kernel: str, given: Given) -> Outputs:
    """The reference in single precision, rounded to what a kernel gives: right, but not exactly."""
    found = with_gradients(KERNELS[kernel].reference, cast(given, torch.float32))
    types_ = {f"d{name}": value.dtype for name, value in given.items() if isinstance(value, torch.Tensor)}
    plain = next(given[name].dtype for name in ("u", "zxbcdt", "x") if name in given)
    types_ |= dict.fromkeys(("out", "out_z", "conv_state"), plain)
    types_ |= {"final_states": plain} if kernel == "conv" else {}
    types_ |= {"sum": given["residual"].dtype} if "residual" in given else {}
    types_ |= {"state": given["state"].dtype} if "state" in given else {}
    return {name: value.to(types_.get(name, value.dtype)) for name, value in found.items()}


def stand_ins(**others: Call) -> dict[str, Kernel]:
    """Kernels that take all there is."""

    def call(function: Call, given: Given) -> Outputs:
        return function(given)

    calls = {name: others.get(name, partial(stand_in, name)) for name in KERNELS}
    return {name: replace(KERNELS[name], call=call, function=calls[name], takes=frozenset(NEEDS)) for name in KERNELS}


def roundings_pass() -> Iterator[str]:
    kernels = stand_ins()
    for section in SECTIONS:
        done, failures, worst = 0, [], 0.0
        longest = 70 if section == "ssd" else 600
        for _, group in itertools.groupby(all_cases(kernels, [section]), key=lambda case: case.config):
            able = [case for case in group if case.length <= longest and not case.config.says("huge")]
            for case in able[len(able) // 2 :: max(1, len(able) // 3)]:
                share, found = run_case(case, kernels[case.kernel], "cpu", 0)
                done, worst, failures = done + 1, max(share, worst), failures + found
        said = f"bounds of {section}: {done} cases, at most {worst:.2g} of what is allowed"
        yield f"{'ok   ' if done and not failures else 'WRONG'} {said}"
        yield from (f"      {failure}" for failure in failures)


def short_last_chunk(given: Given) -> Outputs:
    """The old fault of upstream's convolution: backward, a last chunk shorter than a vector ignores earlier values."""
    right, length, vector = stand_in("conv", given), given["x"].shape[2], 4 if given["x"].dtype is torch.float32 else 8
    start = (length - 1) // (128 * vector) * 128 * vector
    if start == 0 or length - start >= vector:
        return right
    bare = cast(given, torch.float32) | {"silu": False}
    cut = bare["x"].clone()
    cut[..., start - 3 : start] = 0
    out, less = (conv_reference({**bare, "x": x})["out"] for x in (bare["x"], cut))
    out[..., start:] = less[..., start:]
    gate = torch.sigmoid(out)
    dout = bare["grads"]["out"] * gate * (1 + out * (1 - gate))
    return {**stand_in("conv", {**given, "silu": False, "grads": {"out": dout}}), "out": right["out"]}


def spoilt(kernel: str, name: str, change: Callable[[torch.Tensor], torch.Tensor], given: Given) -> Outputs:
    found = stand_in(kernel, given)
    return found | {name: change(found[name])}


def faults_are_found() -> Iterator[str]:
    counted = itertools.count()

    def one(at: tuple[int, ...], value: float, tensor: torch.Tensor) -> torch.Tensor:
        tensor[at] = value
        return tensor

    def tail(vector: int) -> str:
        bad = {length for length in conv_lengths(128 * vector) if 0 < length % (128 * vector) < vector and length > 128}
        return f"dx: length {ranges(bad)}, 1 to {vector - 1 + 3} from the end: off"

    def dealt(kernel: str, name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> tuple[str, Call]:
        return kernel, partial(spoilt, kernel, name, change)

    model, none = "channels first, silu, float32 weights", partial(raising, RuntimeError("none\nmore"))
    for (kernel, call), config, lengths, says in (  # the words that a line of the report must hold
        (("conv", short_last_chunk), f"float32, {model}", conv_lengths(512), tail(4)),
        (("conv", short_last_chunk), f"bfloat16, {model}", conv_lengths(1024), tail(8)),
        (dealt("conv", "out", partial(one, (0, 0, 6), math.nan)), "silu", [9], "3 to 3 from the end: not finite"),
        (dealt("conv", "out", torch.nan_to_num), "silu, nan", [9], "2 to 5 from the end: finite where"),
        (dealt("conv", "dx", lambda t: t + 1e-7 * next(counted)), "repeated 2", [9], "from call to call"),
        (dealt("update", "conv_state", lambda t: t.roll(1, 2)), "float16", [2], "conv_state: length 2: off"),
        (dealt("scan", "dB", lambda t: t.flip(1)), f"groups 2, {FULL}", [5, 64, 65], "dB: length 5, 64-65, 1 to 65"),
        (dealt("ssd", "dx", partial(one, (1, 63, 2, 3), 9)), "dim 4", [66], "dx: length 66, 3 to 3 from the end: off"),
        (("state", none), "D", [4], "call: length 4: RuntimeError: none"),
        (dealt("norm", "dx", lambda t: t * (1 + 1e-3)), "rms", [9], "dx: length 9, 1 to 9 from the end: off"),
    ):
        cases = [Case(kernel, 0, kernel, Config(config), length) for length in lengths]
        group, _ = run_group(cases, stand_ins(**{kernel: call}), "cpu", 0)
        lines = list(regions(group.failures))
        right = any(says in line for line in lines) and len(lines) == (3 if call is short_last_chunk else 1)
        yield f"{'ok   ' if right else 'WRONG'} fault in {kernel}: {' | '.join(lines) or 'not found'}"


def self_test() -> int:
    torch.set_num_threads(1)
    wrong = 0
    for said in itertools.chain(references_are_right(), roundings_pass(), faults_are_found()):
        wrong += said.startswith("WRONG")
        print(said)
    print(f"{wrong} wrong")
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheels", nargs="*", type=Path, metavar="WHEEL")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every so many of the lengths")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.self_test:
        return self_test()
    if not options.wheels:
        parser.error("name the wheels, before the options")
    if not torch.cuda.is_available():
        parser.error("torch finds no GPU here")
    return child(options) if options.child else parent(options)


if __name__ == "__main__":
    sys.exit(main())
