"""For ``gpu-code=compact``: stand in for two of nvcc's steps, cicc, which writes PTX, and fatbinary, which compresses images.

cicc: write the PTX for one architecture from that for another where possible. fatbinary: rewrite PTX so that it compresses well.

Started as ``python nvcc_steps.py PROGRAM ARGUMENT…`` by scripts that bear their names; standard library only.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess  # noqa: TID251 - on its own, beside the backend
import sys
import time
from contextlib import suppress
from typing import Any

STEPS = "_MAMBA_BACKEND_STEPS"
ORDERS = "_MAMBA_BACKEND_ORDERS"
"""Variables: the path of this file; the path of the orders, as ``compiler.py`` has them."""
_ENTRY = re.compile(r"(?:\.(?:visible|weak)\s+)?\.entry\s+([\w$]+)")
_REGISTER = re.compile(r"%((?:p|rs?|rd|fd?)(?=[\d<]))")
_UNMARKED = re.compile(r"(?<![%\w$.])((?:p|rs?|rd|fd?)\d+)\b")
"""Registers as cicc names them, and other things that have such a name."""
_PATIENCE = 60.0
"""Seconds in which the front end that others are written from has begun: nvcc starts it first, alone or beside the others."""
_TARGET = re.compile(r"^\.target sm_\d+$", re.MULTILINE)
_OPCODE = re.compile(r"(?:^|;)[ \t{]*(?:@!?%?\w+[ \t]+)?([a-z][\w.:]*)", re.MULTILINE)
_ROUND = re.compile(r"^[ \t]*\{?[ \t]*cvt\.rn\.bf16\.f32[ \t]+(%rs\d+), (%f\d+);[ \t]*\}?$", re.MULTILINE)
_ROUNDED = r"""{
.reg .pred %no_number;
.reg .b32 %bits, %even;
mov.b32 %bits, \2;
bfe.u32 %even, %bits, 16, 1;
add.u32 %even, %even, 32767;
add.u32 %bits, %bits, %even;
shr.u32 %bits, %bits, 16;
setp.nan.f32 %no_number, \2, \2;
selp.b32 %bits, 32704, %bits, %no_number;
cvt.u16.u32 \1, %bits;
}"""
_LATER = "NaN|async|b128|bf16|bf16x2|bulk|f32x2|noftz|relu|satfinite|tf32|v8|xorsign"
_LATER_OF = {"atom": "v2|v4", "cvt": r"f16x2|rs|scaled\w*|u?e\dm\d\w*", "max": "f16|f16x2", "min": "f16|f16x2"}
_TURING = re.compile(
    "(?:abs|add|and|bar|bfe|bfi|bra|cos|cvta|div|ex2|fma|ld|lg2|mad|mov|mul|neg|not|or|prmt|rcp|rem|ret|rsqrt|selp|setp|shf|shfl"
    rf"|shl|shr|sin|sqrt|st|sub|xor)(?:\.(?!(?:{_LATER})\b)\w+)*|"
    + "|".join(rf"{name}(?:\.(?!(?:{_LATER}|{words})\b)\w+)*" for name, words in _LATER_OF.items())
)
"""Instructions of Turing and before, without the words that make later ones of them (PTX ISA, "Target ISA Notes")."""


def parsed(text: str) -> tuple[list[str], dict[str, list[str]], list[str]]:
    """The lines of a module of PTX: what stands before its kernels, those of each kernel by name, and what is left.

    Raises ValueError where anything but kernels lies among them.
    """
    head: list[str] = []
    blocks: dict[str, list[str]] = {}
    current: list[str] | None = None
    waiting: list[str] = []
    for line in text.splitlines(keepends=True):
        found = _ENTRY.match(line) if current is None else None
        if found:
            current = blocks.setdefault(found[1], [])
            if current:
                raise ValueError("two kernels of one name")
            current += [*waiting, line]
            waiting = []
        elif current is not None:
            current.append(line)
            if line.rstrip() == "}":
                current = None
        elif not blocks and not line.lstrip().startswith("//"):
            head += [*waiting, line]
            waiting = []
        elif line.strip() and not line.lstrip().startswith("//"):
            raise ValueError("more than kernels")
        else:
            waiting.append(line)
    if current is not None:
        raise ValueError("a kernel without an end")
    return head, blocks, waiting


def compact(text: str) -> str:
    r"""The same module in words that compress well; as it is, where anything but kernels lies among the kernels.

    nvcc's compression looks back about 8 MB. Of a template for several types, the kernels for one type come after all those for
    another, 10 MB and more away; by name, what is alike is neighbours. Two files of kernels on complex numbers: 2.34 MB
    instead of 3.51 (nvcc 13.0). What their order is, is of no meaning (PTX ISA, "Kernel and Function Directives"). Names that hold
    in one kernel alone, and tell which it is, are cut, and comments, indentation and what else is no word go: another tenth.

    >>> compact(".target sm_80\n.visible .entry b()\n{\n}\n\n.visible .entry a()\n{\n\tmov.u32 %r1, 1; // it\n}\n")
    '.target sm_80\n.visible .entry a()\n{\nmov.u32 r1,1;\n}\n.visible .entry b()\n{\n}\n'
    """
    try:
        head, blocks, rest = parsed(text)
    except ValueError:
        return text
    parts = [_bare(head)]
    taken = any(re.search(rf"%{name}\b", text) for name in set(_UNMARKED.findall(text)))
    for name in sorted(blocks):
        kernel = _bare(blocks[name]).replace(f"{name}_param_", "param_")
        # Labels, registers and what is local are known in their kernel alone.
        kernel = re.sub(r"(\$L__BB|\b__local_depot)\d+", r"\1", kernel)
        parts.append(kernel if taken else _REGISTER.sub(r"\1", kernel))
    return "".join([*parts, _bare(rest)])


def _bare(lines: list[str]) -> str:
    kept = []
    for line in lines:
        if '"' in line:
            kept.append(line)
        elif words := line.partition("//")[0].split():
            kept.append(" ".join(words).replace(", ", ",") + "\n")
    return "".join(kept)


def lowered(ptx: str, arch: str) -> str:
    r"""The module of PTX for an older architecture, ``75``, say: what it lacks is written in instructions that it has.

    Raises ValueError where that is more than the rounding to bfloat16. Which is here as torch rounds where there is no instruction
    for it: to nearest even, and one NaN for all (c10/util/BFloat16.h, round_to_nearest_even).

    >>> lowered(".target sm_80\nmov.u32 %r1, 1;\n", "75")
    '.target sm_75\nmov.u32 %r1, 1;\n'
    """
    text, targets = _TARGET.subn(f".target sm_{arch}", ptx)
    text = _ROUND.sub(_ROUNDED, text)
    if targets != 1:
        raise ValueError("no module as it is known")
    later = [opcode for opcode in set(_OPCODE.findall(text)) if not _TURING.fullmatch(opcode)]
    if later:
        raise ValueError(f"not of Turing, or not known: {later}")
    return text


def lower(real: str, arguments: list[str]) -> int | None:
    """cicc, where one front end's PTX is written from that of another; its exit status, or None where it has to run as it is.

    ``orders["lowered"]`` has ``files``, patterns of their names; ``source``, the front end that runs; ``targets``, those that are
    written from it; ``threads``, of its optimiser. Each front end of a file is a process, and nvcc tells all of them one name, of a
    file for the module's number: beside it lies what the one has made.
    """
    order = _orders().get("lowered") or {}
    given = dict(zip(arguments, arguments[1:]))
    name = os.path.basename(given.get("--orig_src_file_name", "").strip('"'))
    if not order or not any(fnmatch.fnmatch(name, pattern) for pattern in order["files"]):
        return None
    arch, shared = given.get("-arch", ""), f"{given['--module_id_file_name']}.shared"
    if arch == order["source"]:
        os.makedirs(shared, exist_ok=True)
        _write(os.path.join(shared, "process"), str(os.getpid()))
        split = order["threads"] > 1 and "-split-compile" not in arguments
        threads = ["-split-compile", str(order["threads"])] if split else []
        status = subprocess.run([real, *threads, *arguments], check=False).returncode
        if status == 0:
            for option, kept in (("-o", "ptx"), ("--stub_file_name", "stub")):
                shutil.copyfile(given[option], os.path.join(shared, kept))
            _write(os.path.join(shared, "stub.name"), os.path.basename(given["--stub_file_name"]))
            _write(os.path.join(shared, "done"), "")
        return status
    if arch not in order["targets"] or not _wait(os.path.join(shared, "process"), until=time.monotonic() + _PATIENCE):
        return None
    if not _wait(os.path.join(shared, "done"), process=int(_read(os.path.join(shared, "process")))):
        return None
    module = lowered(_read(os.path.join(shared, "ptx")), arch.removeprefix("compute_"))
    # The host's part of it names all kernels, and its own file.
    stub = _read(os.path.join(shared, "stub"))
    stub = stub.replace(_read(os.path.join(shared, "stub.name")), os.path.basename(given["--stub_file_name"]))
    _write(given["-o"], module)
    _write(given["--stub_file_name"], stub)
    return 0


def _wait(path: str, *, until: float = float("inf"), process: int = 0) -> bool:
    """Whether the file is there in time, and while that process lives."""
    while not os.path.exists(path):
        if time.monotonic() > until:
            return False
        if process:
            try:
                os.kill(process, 0)
            except OSError:
                return os.path.exists(path)
        time.sleep(0.05)
    return True


def _orders() -> dict[str, Any]:
    with open(os.environ[ORDERS], encoding="utf-8") as file:
        orders: dict[str, Any] = json.load(file)
    return orders


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _write(path: str, text: str) -> None:
    # Whoever waits for it finds it whole.
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(f"{path}.new", path)


def compact_files(arguments: list[str]) -> None:
    """Rewrite the PTX files among the images."""
    for word in arguments:
        if match := re.match(r"--image3?=.*kind=ptx,.*file=([^,]+)", word):
            with open(match[1], "r+", encoding="utf-8") as file:
                text = file.read()
                shorter = compact(text)
                if shorter != text:
                    file.seek(0)
                    file.write(shorter)
                    file.truncate()


def main(real: str, arguments: list[str]) -> None:
    """Do it, or become ``real``."""
    if os.path.basename(real).startswith("cicc"):
        with suppress(ValueError, OSError, KeyError):
            if (status := lower(real, arguments)) is not None:
                if status < 0:
                    os.kill(os.getpid(), -status)  # as it ended itself, which nvcc reports
                sys.exit(status)
    else:
        compact_files(arguments)
    os.execv(real, [real, *arguments])  # noqa: S606 - it takes this process's place


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
