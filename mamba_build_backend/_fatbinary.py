"""Runs before nvcc's fatbinary, with its arguments: the kernels of PTX that it embeds are put into another order.

Started as ``python _fatbinary.py ARGUMENT…`` by a script that bears fatbinary's name; standard library only.
"""

from __future__ import annotations

import re
import sys

_ENTRY = re.compile(r"(?:\.(?:visible|weak)\s+)?\.entry\s+([\w$]+)")


def sorted_entries(text: str) -> str:
    r"""The same module with its kernels in the order of their names; as it is, where anything but kernels lies among them.

    nvcc's compression looks back about 8 MB. Of a template for several types, the kernels for one type come after all those for
    another, 10 MB and more away; by name, what is alike is neighbours. selective_scan_bwd_{bf16,fp16}_complex.cu: 2.34 MB
    instead of 3.51 (nvcc 13.0). What their order is, is of no meaning (PTX ISA, "Kernel and Function Directives").

    >>> sorted_entries(".target sm_80\n.visible .entry b()\n{\n}\n.visible .entry a()\n{\n}\n")
    '.target sm_80\n.visible .entry a()\n{\n}\n.visible .entry b()\n{\n}\n'
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
                return text  # two of one name are no PTX that we know
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
            return text
        else:
            waiting.append(line)
    if current is not None:
        return text
    return "".join([*head, *(line for name in sorted(blocks) for line in blocks[name]), *waiting])


def main(arguments: list[str]) -> None:
    """Sort the PTX files among the images."""
    for word in arguments:
        if match := re.match(r"--image3?=.*kind=ptx,.*file=([^,]+)", word):
            with open(match[1], "r+", encoding="utf-8") as file:
                text = file.read()
                by_name = sorted_entries(text)
                if by_name != text:
                    file.seek(0)
                    file.write(by_name)
                    file.truncate()


if __name__ == "__main__":
    main(sys.argv[1:])
