"""Whether two front ends of nvcc come to the same machine code: the claim behind ``one-pass`` in tables/upstream.toml.

    python -m mamba_build_backend build mamba-ssm==2.3.0 -w dist -C build-dir=/tmp/build -C keep-build-dir=true
    python benchmarks/front_ends.py /tmp/build --low 75 --high 80 --gpu 90 'selective_scan_*_fp32*.cu'

Compiles each file of that build's source tree twice for one GPU, with the build's own flags: once by each front end. Prints for each
how many kernels are the same, byte by byte, and how many instructions there are in those that are not.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from elftools.elf.elffile import ELFFile

_INSTRUCTION = 16
"""Bytes, since Volta."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path, help="the folder of a build that was kept")
    parser.add_argument("files", nargs="+", help="patterns of file names")
    parser.add_argument("--low", default="75")
    parser.add_argument("--high", default="80")
    parser.add_argument("--gpu", default="90")
    options = parser.parse_args()
    (ninja,) = options.build.glob("source/*/build/temp*/build.ninja")
    lines = dict(re.findall(r"^(\w+) = (.*)$", ninja.read_text(), re.MULTILINE))
    tree = ninja.parents[2]
    flags = shlex.split(f"{lines['cuda_cflags']} {lines['cuda_post_cflags']}".replace("$", ""))
    flags = [flag for flag in flags if not flag.startswith(("-gencode", "--compress"))]
    nvcc = options.build / "toolchain" / "cuda" / "bin" / "nvcc"
    sources = sorted({path for pattern in options.files for path in tree.rglob(pattern)})
    differ = 0
    for source in sources:
        with tempfile.TemporaryDirectory() as folder:

            def cubin(compute: str, source: Path = source, folder: str = folder) -> dict[str, bytes]:
                out = Path(folder) / f"{compute}.cubin"
                code = f"-gencode=arch=compute_{compute},code=sm_{options.gpu}"
                command = [nvcc, "-cubin", code, *flags, "-frandom-seed=1", source, "-o", out]
                subprocess.run([word for word in command if word != "-c"], cwd=ninja.parent, check=True)
                return kernels(out)

            with ThreadPoolExecutor(2) as pool:
                low, high = pool.map(cubin, (options.low, options.high))
        same = sum(low[name] == high.get(name) for name in low)
        differ += len(low) - same
        counts = [sum(map(len, found.values())) // _INSTRUCTION for found in (low, high)]
        print(
            f"{source.name}: {same} of {len(low)} kernels the same; {counts[0]} and {counts[1]} instructions in all",
            flush=True,
        )
    return 0 if sources else 1


def kernels(path: Path) -> dict[str, bytes]:
    with path.open("rb") as file:
        sections = ELFFile(file).iter_sections()
        return {item.name: item.data() for item in sections if item.name.startswith(".text.")}


if __name__ == "__main__":
    sys.exit(main())
