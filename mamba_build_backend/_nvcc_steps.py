"""Stands in front of two of nvcc's steps: cicc, which makes PTX, and fatbinary, which compresses all that is made of it.

cicc: the PTX of the oldest front end serves the later ones where a type has nothing of theirs. fatbinary: kernels of PTX in an order
that compresses well, several images at once.

Started as ``python _nvcc_steps.py PROGRAM ARGUMENT…`` by scripts that bear their names; standard library only.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import struct
import subprocess  # noqa: TID251 - on its own, beside the backend
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

STEPS = "_MAMBA_BACKEND_STEPS"
ORDERS = "_MAMBA_BACKEND_ORDERS"
THREADS = "_MAMBA_BACKEND_THREADS"
"""Variables: where this file is; the path of the orders, as ``_compile.py`` has them; how many images may be compressed at once."""
_MAGIC, _HEADER = 0xBA55ED50, 16
"""Of a fat binary: the number that it starts with; its 4 bytes, a version and the header's length of 2 each, the rest's of 8."""
_ENTRY = re.compile(r"(?:\.(?:visible|weak)\s+)?\.entry\s+([\w$]+)")
_DECLARED = re.compile(r"([\w$]+)(?:\[\d*\])*(?:\s*=.*)?;$")
_PATIENCE = 60.0
"""Seconds in which the oldest front end has begun: nvcc starts it first, alone or beside the others."""


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
    another, 10 MB and more away; by name, what is alike is neighbours. selective_scan_bwd_{bf16,fp16}_complex.cu: 2.34 MB
    instead of 3.51 (nvcc 13.0). What their order is, is of no meaning (PTX ISA, "Kernel and Function Directives"). Names that hold
    in one kernel alone, and tell which it is, are cut, and comments and indentation go: another tenth.

    >>> compact(".target sm_80\n.visible .entry b()\n{\n}\n\n.visible .entry a()\n{\n\tret; // it\n}\n")
    '.target sm_80\n.visible .entry a()\n{\nret;\n}\n.visible .entry b()\n{\n}\n'
    """
    try:
        head, blocks, rest = parsed(text)
    except ValueError:
        return text
    parts = [_bare(head)]
    for name in sorted(blocks):
        kernel = _bare(blocks[name]).replace(f"{name}_param_", "param_")
        # Labels and what is local are known in their kernel alone.
        parts.append(re.sub(r"(\$L__BB|\b__local_depot)\d+", r"\1", kernel))
    return "".join([*parts, _bare(rest)])


def _bare(lines: list[str]) -> str:
    kept = []
    for line in lines:
        if '"' in line:
            kept.append(line)
        elif words := line.partition("//")[0].split():
            kept.append(" ".join(words) + "\n")
    return "".join(kept)


def completed(later: str, first: str) -> str:
    """``later``, a module that lacks kernels, with those that it lacks from ``first``, which has all of them, for an older target.

    Raises ValueError where they do not go together.
    """
    head, blocks, rest = parsed(later)
    older, everything, _ = parsed(first)
    if not blocks.keys() < everything.keys():
        raise ValueError("not the same kernels")
    versions = [[line for line in lines if line.startswith((".version", ".address_size"))] for lines in (head, older)]
    if versions[0] != versions[1]:
        raise ValueError("two versions of PTX")
    declared = {_name(line) for line in _declarations(head)}
    lacking = [line for line in _declarations(older) if line not in head]
    if any(_name(line) in declared for line in lacking):
        raise ValueError("one name for two things")
    return "".join(
        [
            *head,
            *lacking,
            *(line for lines in blocks.values() for line in lines),
            *(line for name, lines in everything.items() if name not in blocks for line in lines),
            *rest,
        ]
    )


def _declarations(head: list[str]) -> list[str]:
    about = (".version", ".target", ".address_size", "//")
    return [line for line in head if line.strip() and not line.lstrip().startswith(about)]


def _name(line: str) -> str:
    found = _DECLARED.search(line.rstrip())
    if not found:
        raise ValueError("a declaration of another kind")
    return found[1]


def compile_once(real: str, arguments: list[str]) -> int | None:
    """cicc, where a later front end is spared what the oldest has done; its exit status, or None where it has to run as it is.

    ``orders["once"]`` has ``files``, patterns of their names; ``first`` and ``later``, the front ends; ``lines``, a pattern of the
    lines that ask for what is compiled once. Each front end of a file is a process, and nvcc tells all of them one name, of a file for
    the module's number: beside it lies what the first one made.
    """
    once = _orders().get("once") or {}
    given = dict(zip(arguments, arguments[1:]))
    source = os.path.basename(given.get("--orig_src_file_name", "").strip('"'))
    if not once or not any(fnmatch.fnmatch(source, pattern) for pattern in once["files"]):
        return None
    arch, shared = given.get("-arch"), f"{given['--module_id_file_name']}.once"
    if arch == once["first"]:
        os.makedirs(shared, exist_ok=True)
        _write(os.path.join(shared, "process"), str(os.getpid()))
        status = subprocess.run([real, *arguments], check=False).returncode
        if status == 0:
            for option, name in (("-o", "ptx"), ("--stub_file_name", "stub")):
                shutil.copyfile(given[option], os.path.join(shared, name))
            _write(os.path.join(shared, "stub.name"), os.path.basename(given["--stub_file_name"]))
            _write(os.path.join(shared, "done"), "")
        return status
    return _complete(real, arguments, given, once, shared) if arch in once["later"] else None


def _complete(real: str, arguments: list[str], given: dict[str, str], once: dict[str, Any], shared: str) -> int | None:
    """A later front end: compile the rest, and take from the first what it has."""
    (preprocessed,) = (word for word in arguments if word.endswith(".ii"))
    with open(preprocessed, encoding="utf-8") as file:
        text = file.read()
    cut, count = re.subn(once["lines"], "", text, flags=re.MULTILINE)
    if not count or not _wait(os.path.join(shared, "process"), until=time.monotonic() + _PATIENCE):
        return None
    with tempfile.TemporaryDirectory(dir=os.path.dirname(shared)) as folder:
        less = {"-o": "ptx", "--stub_file_name": "stub", "--gen_c_file_name": "c", "--gen_device_file_name": "gpu"}
        changed = {given[option]: os.path.join(folder, name) for option, name in less.items() if option in given}
        changed[preprocessed] = os.path.join(folder, os.path.basename(preprocessed))
        _write(changed[preprocessed], cut)
        command = [real, *(changed.get(word, word) for word in arguments)]
        if subprocess.run(command, check=False, capture_output=True).returncode != 0:
            return None
        with open(os.path.join(shared, "process"), encoding="utf-8") as file:
            process = int(file.read())
        if not _wait(os.path.join(shared, "done"), process=process):
            return None
        module = completed(_read(changed[given["-o"]]), _read(os.path.join(shared, "ptx")))
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


def main(real: str, arguments: list[str]) -> None:
    """Do it, or become ``real``."""
    if os.path.basename(real).startswith("cicc"):
        with suppress(ValueError, OSError, KeyError):
            if (status := compile_once(real, arguments)) is not None:
                if status < 0:
                    os.kill(os.getpid(), -status)  # as it ended itself, which nvcc reports
                sys.exit(status)
    else:
        compact_files(arguments)
        threads = int(os.environ.get(THREADS) or 1)
        if threads > 1:
            with suppress(ValueError, OSError, subprocess.CalledProcessError, struct.error):
                side_by_side(real, arguments, threads)
                return
    os.execv(real, [real, *arguments])  # noqa: S606 - it takes this process's place


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
