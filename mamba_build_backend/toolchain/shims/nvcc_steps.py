"""For ``gpu-code=compact``: shims for two of nvcc's steps, cicc, which writes PTX, and fatbinary, which compresses images.

cicc: derive the PTX for one architecture from another's if possible. fatbinary: rewrite PTX so that it compresses well.

Started as ``python -I -S nvcc_steps.py PROGRAM ARGUMENT…`` by scripts with the programs' names; ``protocol.py``
describes the input, and how the shim imports that module.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess  # noqa: TID251 - on its own, beside the backend
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING or __package__:
    from .protocol import DerivedPtx, ProtocolError, read_shim_config
    from .ptx import compact, retarget
else:
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    from protocol import DerivedPtx, ProtocolError, read_shim_config
    from ptx import compact, retarget

_START_TIMEOUT = 60.0
"""Seconds within which the front end for :attr:`DerivedPtx.source` must start: nvcc starts it first or with the others."""


def derive(real: str, arguments: list[str], order: Optional[DerivedPtx]) -> int | None:
    """Run cicc for the source architecture, or derive the PTX of a target from its output.

    Returns cicc's exit status, or None if ``real`` must run with these arguments. Raises ValueError, OSError or
    KeyError if the PTX cannot be derived; ``real`` must then run, too.

    nvcc starts one cicc process per architecture of a file, and all of them get the same path for the module's id. The
    output for the source architecture is left in a folder next to that path.
    """
    options = dict(zip(arguments, arguments[1:]))
    name = os.path.basename(options.get("--orig_src_file_name", "").strip('"'))
    if order is None or not any(fnmatch.fnmatch(name, pattern) for pattern in order.files):
        return None
    arch, shared = options.get("-arch", ""), f"{options['--module_id_file_name']}.shared"
    if arch == order.source:
        return _run_source(real, arguments, options, shared, order.threads)
    started = os.path.join(shared, "process")
    if arch not in order.targets or not _wait(started, until=time.monotonic() + _START_TIMEOUT):
        return None
    if not _wait(os.path.join(shared, "done"), process=int(_read(started))):
        return None
    module = retarget(_read(os.path.join(shared, "ptx")), arch.removeprefix("compute_"))
    # The host part of a module contains the names of all kernels and of its own file.
    stub = _read(os.path.join(shared, "stub"))
    stub = stub.replace(_read(os.path.join(shared, "stub.name")), os.path.basename(options["--stub_file_name"]))
    _write(options["-o"], module)
    _write(options["--stub_file_name"], stub)
    return 0


def _run_source(real: str, arguments: list[str], options: dict[str, str], shared: str, threads: int) -> int:
    """Run cicc, put copies of its output into ``shared``, and return its exit status."""
    os.makedirs(shared, exist_ok=True)
    _write(os.path.join(shared, "process"), str(os.getpid()))
    split = ["-split-compile", str(threads)] if threads > 1 and "-split-compile" not in arguments else []
    status = subprocess.run([real, *split, *arguments], check=False).returncode
    if status == 0:
        for option, copy in (("-o", "ptx"), ("--stub_file_name", "stub")):
            shutil.copyfile(options[option], os.path.join(shared, copy))
        _write(os.path.join(shared, "stub.name"), os.path.basename(options["--stub_file_name"]))
        _write(os.path.join(shared, "done"), "")
    return status


def _wait(path: str, *, until: float = float("inf"), process: int = 0) -> bool:
    """Wait for the file; return False after the time ``until``, or if ``process`` ends without writing it."""
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


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _write(path: str, text: str) -> None:
    # Rename into place, so that a waiting process never reads a partial file.
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(f"{path}.new", path)


def compact_files(arguments: list[str]) -> None:
    """Rewrite the PTX files in fatbinary's arguments."""
    for word in arguments:
        if match := re.match(r"--image3?=.*kind=ptx,.*file=([^,]+)", word):
            text = _read(match[1])
            shorter = compact(text)
            if shorter != text:
                _write(match[1], shorter)


def main(real: str, arguments: list[str]) -> None:
    """Rewrite the input or output of ``real``, or exec ``real``."""
    if os.path.basename(real).startswith("cicc"):
        try:
            order = read_shim_config(os.environ).derived_ptx
        except ProtocolError as error:
            sys.exit(f"mamba-build-backend: {error}")
        with suppress(ValueError, OSError, KeyError):
            if (status := derive(real, arguments, order)) is not None:
                if status < 0:
                    os.kill(os.getpid(), -status)  # end with cicc's signal, which nvcc reports
                sys.exit(status)
    else:
        compact_files(arguments)
    os.execv(real, [real, *arguments])  # noqa: S606 - replaces this process


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
