"""Calls of the names that only bindings of forks use, and the answers of torch's own headers: ``fork_answers.txt``.

    python tests/stable/fork_calls.py record FOLDER         from fork_binding.cpp, compiled in FOLDER with torch's headers
    python tests/stable/fork_calls.py check FOLDER          from the same, compiled with ours; exit code 1 where one differs
    python tests/stable/fork_calls.py compare OURS THEIRS   wheels of one fork, abi=stable and abi=torch, unpacked in two
                                                            folders: selective_scan_cuda_... of VMamba and MSVMamba; writes
                                                            nothing

The first two call with real tensors of the CPU, the third with fake ones on a CUDA device; none needs a GPU.
"""

from __future__ import annotations

import importlib
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import calls
import torch
from answers import Answer, parse, render

KNOWN = Path(__file__).with_name("fork_answers.txt")


class Index:
    """A whole number, like numpy's integers."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value

    def __repr__(self) -> str:
        return f"Index({self.value})"


class Int:
    """What can be made one."""

    def __int__(self) -> int:
        return 3

    def __repr__(self) -> str:
        return "Int()"


class Float:
    """What can be made a number."""

    def __float__(self) -> float:
        return 0.75

    def __repr__(self) -> str:
        return "Float()"


class Refusing(Index):
    def __index__(self) -> int:
        raise ValueError("not today")


NUMBERS = (
    *(0, 1, 2, 3, -1, 7, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**70),
    *(True, False, None, 2.0, 2.5, 3j, "2", b"2", [2], object),
    *(Index(3), Index(2**40), Index(2**70), Int(), Refusing(3), torch.tensor(3), torch.tensor(2.0), torch.tensor([2, 3])),
)  # fmt: skip


def binding_answers() -> dict[str, Answer]:
    module = importlib.import_module("fork_binding")
    said: dict[str, Answer] = {}
    shapes = ((6, 2), (2, 6, 4), (12,), (), (0, 3))
    for shape, number in itertools.product(shapes, NUMBERS):
        said[f"viewed {shape} {number!r}"] = answer(module.viewed, torch.zeros(shape), number)
    said["viewed turned"] = answer(module.viewed, torch.zeros(6, 2).t(), 3)
    said["viewed half"] = answer(module.viewed, torch.zeros(6, 2, dtype=torch.float16), 3)
    said["viewed nothing"] = answer(module.viewed)
    for shape, twice, parts in itertools.product(shapes[:2], (True, False), (1, 2, 3, 4, 5)):
        said[f"folded {shape} {twice} {parts}"] = answer(module.folded, torch.ones(shape), twice, parts)
    numbers = (*NUMBERS, 0.1, -1.0, float("nan"), float("inf"), 1e300, Float())
    for index, number in itertools.product(range(3), numbers):
        others = [1, 0.5, 0.25]
        others[index] = number
        # More rows than there is memory for are none that a test should ask for.
        whole = number.value if isinstance(number, Index) else number
        if index > 0 or not isinstance(whole, int) or whole < 1000 or whole > 2**63:
            said[f"filled {index} {number!r}"] = answer(module.filled, torch.zeros(1), *others)
    return said


def answer(function: Any, *arguments: Any) -> Answer:
    try:
        made = function(*arguments)
    except Exception as error:
        return type(error).__name__, str(error)
    return "gives", f"{made.dtype} {tuple(made.shape)} {made.stride()}, {made.sum().item():g}"


# A fork's own modules.


def scan_arguments(bare: bool, device: str, dtype: torch.dtype, weight: torch.dtype, **sizes: int) -> dict[str, Any]:
    given = calls.scan_arguments(device, dtype, weight, **sizes)
    if bare:
        given |= {"A": calls.tensor(given["A"].shape[0], dtype=weight, device=device)}
        shape = (given["B"].shape[0], given["B"].shape[1], given["B"].shape[3])
        given |= {name: calls.tensor(*shape, dtype=dtype, device=device) for name in "BC"}
        given["x"] = calls.tensor(*given["x"].shape[:3], 2, dtype=weight, device=device)
    return given


def fork_calls(name: str) -> Iterator[tuple[str, str, list[Any]]]:
    bare, last = name.endswith("_ndstate"), [True] if name.endswith("_oflex") else []
    first = ("u", "delta", "A", "B", "C", "D", "bias")

    def pair(case: str, given: dict[str, Any], rows: Any = 1) -> Iterator[tuple[str, str, list[Any]]]:
        inputs = [given[item] for item in first]
        yield case, "fwd", [*inputs, True, rows, *last]
        yield case, "bwd", [*inputs, given["dout"], given["x"], True, rows]

    kinds = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int32)
    for device, dtype, weight in itertools.product(("cuda", "cpu"), kinds, (torch.float32, torch.complex64)):
        yield from pair(f"{device} {dtype} {weight}", scan_arguments(bare, device, dtype, weight))
    good = scan_arguments(bare, "cuda", torch.float32, torch.float32)
    for item, (what, change) in itertools.product((*first, "dout", "x"), calls.changed().items()):
        # Where there are no groups, or no steps, the forks divide by nothing: the process ends, with either header.
        if what != "empty" or item not in ("B", "delta"):
            yield from pair(f"{item} {what}", {**good, item: change(good[item])})
    for number in NUMBERS:
        yield from pair(f"rows {number!r}", good, number)
    few = {"delta": calls.tensor(2, 2, 8), "bias": calls.tensor(2)}
    yield from pair("steps that channels share", {**good, **few})
    yield from pair(
        "steps that channels cannot share", {**good, "delta": calls.tensor(2, 3, 8), "bias": calls.tensor(3)}
    )
    yield from pair("long without x", {**scan_arguments(bare, "cuda", torch.float32, torch.float32, l=3000), "x": None})
    yield "nothing", "fwd", []


def fork_answers(folder: str) -> dict[str, Answer]:
    said: dict[str, Answer] = {}
    names = sorted(item.name.partition(".")[0] for item in Path(folder).glob("selective_scan_cuda_*.so"))
    with calls.MODE:
        for name in names:
            module = importlib.import_module(name)
            for case, function, arguments in fork_calls(name):
                said[f"{name}.{function} {case}"] = calls.answer(getattr(module, function), arguments, {})
    return said


def compared(known: dict[str, Answer], here: dict[str, Answer]) -> int:
    wrong = [
        case for case in known.keys() | here.keys() if known.get(case, "not called") != here.get(case, "not called")
    ]
    for case in sorted(wrong)[:20]:
        print(f"{case}\n    torch's {known.get(case, 'not called')}\n    ours    {here.get(case, 'not called')}")
    print(f"{len(known)} compared, {len(wrong)} differ")
    return 1 if wrong or not known else 0


def main() -> int:
    command, *folders = sys.argv[1:]
    if command == "compare":
        found = []
        for folder in folders:
            done = subprocess.run(
                [sys.executable, __file__, "say", folder], stdout=subprocess.PIPE, text=True, check=True
            )
            found.append({case: said and tuple(said) for case, said in json.loads(done.stdout).items()})
        return compared(found[1], found[0])
    sys.path.insert(0, folders[0])
    if command == "say":
        print(json.dumps(fork_answers(folders[0])))
        return 0
    if command == "record":
        KNOWN.write_text(render(torch.__version__, binding_answers(), Path(__file__).name), encoding="utf-8")
        return 0
    return compared(parse(KNOWN.read_text(encoding="utf-8")), binding_answers())


if __name__ == "__main__":
    sys.exit(main())
