"""Stands in front of nvcc's fatbinary: kernels of PTX in an order that compresses well, several images at once.

Started as ``python _fatbinary.py FATBINARY ARGUMENT…`` by a script that bears its name; standard library only.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess  # noqa: TID251 - on its own, beside the backend
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

THREADS = "_MAMBA_BACKEND_THREADS"
"""Variable: how many images may be compressed at once."""
_MAGIC, _HEADER = 0xBA55ED50, 16
"""Of a fat binary: the number that it starts with; its 4 bytes, a version and the header's length of 2 each, the rest's of 8."""
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


def sort_files(arguments: list[str]) -> None:
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


def side_by_side(real: str, arguments: list[str], threads: int) -> None:
    """What ``real`` makes of these arguments, its images compressed at the same time: each megabyte takes 0.4 s.

    Raises ValueError, before anything is written, where this is not the one case that is known.
    """
    images = [word for word in arguments if word.startswith("--image3=")]
    (embedded,) = (word for word in arguments if word.startswith("--embedded-fatbin="))
    others = [word for word in arguments if word not in (*images, embedded)]
    if "--compress-mode=size" not in others or any(word.startswith("--create") for word in others):
        raise ValueError("another call")
    with tempfile.TemporaryDirectory() as folder:

        def one(number: int) -> bytes:
            out = os.path.join(folder, str(number))
            subprocess.run([real, *others, images[number], f"--create={out}"], check=True, capture_output=True)
            with open(out, "rb") as file:
                return file.read()

        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(one, range(len(images))))
        heads = {part[:8] for part in parts}
        for part in parts:
            if struct.unpack_from("<IHHQ", part)[0::2] != (_MAGIC, _HEADER) or part[8:16] != struct.pack(
                "<Q", len(part) - _HEADER
            ):
                raise ValueError("no fat binary as we know it")
        data = b"".join(part[_HEADER:] for part in parts)
        if len(heads) != 1 or len(data) % 8:
            raise ValueError("no fat binaries that go together")
        data = heads.pop() + struct.pack("<Q", len(data)) + data
        # The C around the data, from a call that compresses nothing.
        frame = os.path.join(folder, "frame.c")
        plain = [word for word in others if not word.startswith("--compress")]
        command = [real, *plain, "--compress-mode=none", images[-1], f"--embedded-fatbin={frame}"]
        subprocess.run(command, check=True, capture_output=True)
        with open(frame, encoding="ascii") as file:
            text = framed(file.read(), data)
    with open(embedded.partition("=")[2], "w", encoding="ascii") as file:
        file.write(text)


def framed(frame: str, data: bytes) -> str:
    """The C file with this data in place of what it has. Raises ValueError where it is not as expected."""
    found = re.fullmatch(
        r'(.*"fatbinData:\\n"\n)((?:"\.quad [^"]*\\n"\n)+)("\.text\\n"\);.*fatbinData\[)(\d+)(\];.*)', frame, re.DOTALL
    )
    if not found or found[2].count("0x") != int(found[4]):
        raise ValueError("another frame")
    words = [f"0x{word:016x}" for word in struct.unpack(f"<{len(data) // 8}Q", data)]
    lines = ['".quad ' + ",".join(words[place : place + 4]) + '\\n"\n' for place in range(0, len(words), 4)]
    return "".join([found[1], *lines, found[3], str(len(words)), found[5]])


def main(real: str, arguments: list[str], threads: int) -> None:
    """Do it, or become ``real``."""
    sort_files(arguments)
    if threads > 1:
        with suppress(ValueError, OSError, subprocess.CalledProcessError, struct.error):
            side_by_side(real, arguments, threads)
            return
    os.execv(real, [real, *arguments])  # noqa: S606 - it takes this process's place


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:], int(os.environ.get(THREADS) or 1))
