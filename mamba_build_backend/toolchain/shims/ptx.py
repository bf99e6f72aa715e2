"""Rewrite PTX text for ``gpu-code=compact``: smaller, or for an older architecture. No I/O, standard library only."""

from __future__ import annotations

import re

_ENTRY = re.compile(r"(?:\.(?:visible|weak)\s+)?\.entry\s+([\w$]+)")
_REGISTER = re.compile(r"%((?:p|rs?|rd|fd?)(?=[\d<]))")
_UNMARKED = re.compile(r"(?<![%\w$.])((?:p|rs?|rd|fd?)\d+)\b")
"""cicc's register names, and other words of the same form."""
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
"""Instructions of Turing and older GPUs, without modifiers that newer GPUs introduced (PTX ISA, "Target ISA Notes")."""


def parse_module(text: str) -> tuple[list[str], dict[str, list[str]], list[str]]:
    """Split a PTX module into the lines before its kernels, the lines of each kernel by name, and the lines after the last.

    Raises ValueError if the module has anything else between its kernels.
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
    r"""Rewrite a module so that it compresses well; return an unknown kind of module unchanged.

    nvcc's compression looks back about 8 MB. cicc writes all kernels of a template for one type before those for the next type,
    10 MB and more apart; sorted by name, similar kernels are neighbours. Two files of kernels for complex numbers shrink from
    3.51 to 2.34 MB (nvcc 13.0). Kernel order is irrelevant in PTX (PTX ISA, "Kernel and Function Directives"). Kernel-local
    names are shortened and comments and whitespace removed, which saves another tenth.

    >>> compact(".target sm_80\n.visible .entry b()\n{\n}\n\n.visible .entry a()\n{\n\tmov.u32 %r1, 1; // it\n}\n")
    '.target sm_80\n.visible .entry a()\n{\nmov.u32 r1,1;\n}\n.visible .entry b()\n{\n}\n'
    """
    try:
        head, blocks, rest = parse_module(text)
    except ValueError:
        return text
    parts = [_bare(head)]
    taken = any(re.search(rf"%{name}\b", text) for name in set(_UNMARKED.findall(text)))
    for name in sorted(blocks):
        kernel = _bare(blocks[name]).replace(f"{name}_param_", "param_")
        # The scope of labels, registers and local names is one kernel.
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


def retarget(ptx: str, arch: str) -> str:
    r"""Rewrite a module for an older architecture, such as ``75``, with the instructions of that architecture.

    Replaces one instruction, the rounding to bfloat16, by torch's own code for GPUs without it: round to nearest even,
    and one NaN for all (c10/util/BFloat16.h, round_to_nearest_even). Raises ValueError for any other instruction that
    Turing lacks.

    >>> retarget(".target sm_80\nmov.u32 %r1, 1;\n", "75")
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
