"""Calls of both bindings, most of them wrong, and the answers of upstream's own binding: ``answers.txt``.

    python tests/stable/calls.py record FOLDER    from wheels with abi=torch, unpacked in FOLDER: writes answers.txt
    python tests/stable/calls.py check FOLDER     compares the modules in FOLDER with it; exit code 1 where one differs

The tensors are fake ones on a CUDA device, so no GPU is needed, and a present GPU is hidden: a call that passes every
check ends where it requests the stream from the driver. The answer there is ``null``: each torch has its own words.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import sys
import warnings

os.environ["CUDA_VISIBLE_DEVICES"] = ""
warnings.simplefilter("ignore")

import torch  # noqa: E402
from answers import ANSWERS, Answer, parse, render  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode  # noqa: E402
from torch.utils._mode_utils import no_dispatch  # noqa: E402

if "CUDART" in os.environ:
    # The modules' CUDA runtime, for a torch that is built for another: it is the binding that is compared.
    ctypes.CDLL(os.environ["CUDART"], ctypes.RTLD_GLOBAL)
    torch.version.cuda = "13.0"

HALF, BFLOAT, FLOAT, DOUBLE = torch.float16, torch.bfloat16, torch.float32, torch.float64
NOT_TENSORS = (None, 1, 0.5, "x", [], object)


def main() -> int:
    command, folder = sys.argv[1:]
    sys.path.insert(0, folder)
    given = all_answers()
    print(f"torch {torch.__version__}, Python {sys.version.split()[0]}: {len(given)} calls")
    if command == "record":
        # A fake tensor has no data for data_ptr<int>(). Only upstream's binding raises this, and only for fake tensors.
        kept = {
            case: answer
            for case, answer in given.items()
            if not (answer and answer[1].startswith("The tensor has a non-zero"))
        }
        ANSWERS.write_text(render(torch.__version__, kept), encoding="utf-8")
        return 0
    upstream = parse(ANSWERS.read_text(encoding="utf-8"))
    if not hasattr(torch.Tensor, "__dlpack_c_exchange_api__"):
        # Some of what torch before 2.10 does to a fake tensor asks for a driver itself: there its answer is not seen.
        unseen = [case for case, answer in upstream.items() if answer is not None and given.get(case, answer) is None]
        upstream = {case: answer for case, answer in upstream.items() if case not in unseen}
        print(f"not compared, since torch asks for a driver: {', '.join(unseen) or 'none'}")
    wrong = [case for case, answer in upstream.items() if given.get(case, "not called") != answer]
    for case in wrong[:20]:
        print(f"{case}\n    upstream {upstream[case]}\n    here     {given.get(case, 'not called')}")
    print(f"{len(upstream)} compared, {len(wrong)} differ")
    return 1 if wrong else 0


def all_answers() -> dict[str, Answer]:
    import causal_conv1d_cuda
    import selective_scan_cuda

    said: dict[str, Answer] = {}
    with MODE:
        for module, make in ((selective_scan_cuda, scan_calls), (causal_conv1d_cuda, conv_calls)):
            for case, function, arguments, keywords in make():
                said[f"{function} {case}"] = answer(getattr(module, function), arguments, keywords)
    return said


def answer(function, arguments, keywords) -> Answer:
    try:
        function(*arguments, **keywords)
    except Exception as error:
        text = str(error)
        return None if "CUDA error" in text or "NVIDIA driver" in text else (type(error).__name__, text)
    return None


MODE = FakeTensorMode()


def shown(fake):
    """As the torch that the answers are of shows one: others have words of their own."""
    kind = "" if fake.dtype == FLOAT else f", dtype={fake.dtype}"
    return f"FakeTensor(..., device='{fake.device}', size={tuple(fake.shape)}{kind})"


FakeTensor.__repr__ = shown


def tensor(*shape, dtype=FLOAT, device="cuda", strides=None, view=lambda made: made):
    """A fake tensor, made without memory: torch before 2.10 needs a driver if a function gets a CUDA device."""
    if shape == ((),):
        shape = ()
    with no_dispatch():
        made = torch.empty(shape, dtype=dtype, device="meta")
        if strides is not None:
            made = torch.empty_strided(shape, strides, dtype=dtype, device="meta")
        made = view(made)
    return FakeTensor(MODE, made, torch.device(device, 0) if device == "cuda" else torch.device(device))


def changed(dtypes=(HALF, DOUBLE)):
    """Ways to spoil a tensor, by name."""
    return {
        "cpu": lambda t: torch.empty_like(t, device="cpu"),
        **{str(dtype): lambda t, dtype=dtype: tensor(*t.shape, dtype=dtype, strides=t.stride()) for dtype in dtypes},
        "turned": lambda t: t.transpose(0, -1),
        "spread": lambda t: tensor(*t.shape, 2, dtype=t.dtype, view=lambda made: made[..., 0]),
        "flat": lambda t: t.reshape(-1),
        "extra": lambda t: t.unsqueeze(0),
        "scalar": lambda t: tensor((), dtype=t.dtype),
        "larger": lambda t: tensor(*(size + 1 for size in t.shape), dtype=t.dtype),
        "ones": lambda t: tensor(*(1 for _ in t.shape), dtype=t.dtype),
        "empty": lambda t: tensor(*(0 for _ in t.shape), dtype=t.dtype),
        "none": lambda t: None,
    }


SCAN = ("u", "delta", "A", "B", "C", "D", "z", "bias")


def scan_arguments(device="cuda", dtype=FLOAT, weight=FLOAT, b=2, d=4, l=8, n=3, vary_b=True, vary_c=True):  # noqa: E741
    wide = l * (2 if weight.is_complex else 1)

    def matrix(vary):
        return tensor(b, 1, n, wide, dtype=dtype, device=device) if vary else tensor(d, n, dtype=weight, device=device)

    along = {name: tensor(b, d, l, dtype=dtype, device=device) for name in ("u", "delta", "z", "dout", "out", "dz")}
    return {
        **along,
        "A": tensor(d, n, dtype=weight, device=device),
        "B": matrix(vary_b),
        "C": matrix(vary_c),
        "D": tensor(d, device=device),
        "bias": tensor(d, device=device),
        "x": tensor(b, d, (l + 2047) // 2048, 2 * n, dtype=weight, device=device),
    }


def scan_pair(case, given, without=(), *, recompute=False):
    """The call forward and the call backward."""
    g = {name: None if name in without else value for name, value in given.items()}
    forward = [g[name] for name in SCAN]
    yield case, "fwd", [*forward, True], {}
    yield case, "bwd", [*forward, g["dout"], g["x"], g["out"], g["dz"], True, recompute], {}


def scan_calls():
    for device, dtype, weight, vary_b, vary_c in itertools.product(
        ("cuda", "cpu"), (FLOAT, HALF, BFLOAT, DOUBLE, torch.int32), (FLOAT, torch.complex64, HALF), (0, 1), (0, 1)
    ):
        given = scan_arguments(device, dtype, weight, vary_b=vary_b, vary_c=vary_c)
        case = f"{device} {dtype} {weight} {vary_b}{vary_c}"
        yield from scan_pair(case, given)
        yield from scan_pair(f"{case} bare", given, ("D", "z", "bias", "out", "dz"))
        yield from scan_pair(f"{case} again", given, recompute=True)
    good = scan_arguments()
    for name, (what, change) in itertools.product(good, changed().items()):
        yield from scan_pair(f"{name} {what}", {**good, name: change(good[name])})
    yield from scan_pair("long", scan_arguments(l=3000))
    yield from scan_pair("long without x", scan_arguments(l=3000), ("x",))
    yield from scan_pair("long with a short x", {**scan_arguments(l=3000), "x": good["x"]})
    yield from scan_pair("many states", scan_arguments(n=257))
    yield from scan_pair("parameter", {**good, "u": torch.nn.Parameter(good["u"])})
    arguments = [*(good[name] for name in SCAN), True]
    for index, value in itertools.product(range(9), NOT_TENSORS):
        yield f"argument {index} {value}", "fwd", [*arguments[:index], value, *arguments[index + 1 :]], {}
    yield "too few", "fwd", arguments[:8], {}
    yield "too many", "fwd", [*arguments, 1], {}
    yield "by keyword", "fwd", [], {"u": arguments[0]}
    yield "the last by keyword", "fwd", arguments[:8], {"delta_softplus": True}
    yield "nothing", "fwd", [], {}


def conv_arguments(device="cuda", dtype=FLOAT, weight=FLOAT, b=2, d=8, l=16, w=4, last=False, states=False, seq=False):  # noqa: E741
    def laid(*shape):
        made = {"dtype": dtype, "device": device}
        return tensor(shape[0], shape[2], shape[1], **made).transpose(1, 2) if last else tensor(*shape, **made)

    state = tensor(b, w - 1, d, dtype=dtype, device=device).transpose(1, 2)
    return {
        "x": laid(b, d, l),
        "weight": tensor(d, w, dtype=weight, device=device),
        "bias": tensor(d, dtype=weight, device=device),
        "seq_idx": tensor(b, l, dtype=torch.int32, device=device) if seq else None,
        "initial": state if states else None,
        "final": state if states else None,
        "out": laid(b, d, l),
        "dout": laid(b, d, l),
        "dx": laid(b, d, l),
        "dweight": tensor(d, w, device=device),
        "dbias": tensor(d, device=device),
        "dinitial": state if states else None,
        "state": tensor(b, d, w, dtype=dtype, device=device),
        "lengths": None,
        "indices": None,
    }


def conv_triple(case, g):
    """The calls forward, backward and of one step."""
    head = [g["x"], g["weight"], g["bias"]]
    forward = [*head, g["seq_idx"], g["initial"], g["out"], g["final"], True]
    backward = [*head, g["dout"], g["seq_idx"], g["initial"], g["final"]]
    backward += [g["dx"], g["dweight"], g["dbias"], g["dinitial"], True]
    update = [g["x"], g["state"], g["weight"], g["bias"], g["out"], True, g["lengths"], g["indices"]]
    yield case, "causal_conv1d_fwd", forward, {}
    yield case, "causal_conv1d_bwd", backward, {}
    yield case, "causal_conv1d_update", update, {}


def conv_calls():
    for device, dtype, weight, last, states, seq in itertools.product(
        ("cuda", "cpu"), (FLOAT, HALF, DOUBLE), (FLOAT, BFLOAT, torch.int32), (0, 1), (0, 1), (0, 1)
    ):
        given = conv_arguments(device, dtype, weight, last=last, states=states, seq=seq)
        yield from conv_triple(f"{device} {dtype} {weight} {last}{states}{seq}", given)
    for last in (0, 1):
        good = conv_arguments(last=last, states=True, seq=True)
        for name, (what, change) in itertools.product(good, changed((HALF,)).items()):
            if good[name] is not None:
                yield from conv_triple(f"{last} {name} {what}", {**good, name: change(good[name])})
        for dim, width in itertools.product((7, 8, 12), (1, 2, 4, 5)):
            yield from conv_triple(f"{last} dim {dim} width {width}", conv_arguments(d=dim, w=width, last=last))
        lengths = tensor(2, dtype=torch.int32)
        for (what, change), name in itertools.product(changed((HALF, torch.int64)).items(), ("lengths", "indices")):
            yield from conv_triple(f"{last} {name} {what}", {**conv_arguments(last=last), name: change(lengths)})
    torch.use_deterministic_algorithms(True)
    yield from conv_triple("deterministic", conv_arguments())
    yield from conv_triple("deterministic, channels last", conv_arguments(last=True))
    torch.use_deterministic_algorithms(False)
    good = conv_arguments()
    arguments = [good["x"], good["weight"], good["bias"], None, None, good["out"], None, True]
    for index, value in itertools.product(range(8), NOT_TENSORS):
        yield f"argument {index} {value}", "causal_conv1d_fwd", [*arguments[:index], value, *arguments[index + 1 :]], {}
    yield "too few", "causal_conv1d_fwd", arguments[:1], {}
    yield "by keyword", "causal_conv1d_update", [], {"x": good["x"]}


if __name__ == "__main__":
    sys.exit(main())
