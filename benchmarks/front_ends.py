"""The results of two of nvcc's front ends, for the same GPU: the claims behind ``one-pass`` in projects/*/project.toml.

    python -m mamba_build_backend build mamba-ssm==2.3.0 -w dist -C build-dir=/tmp/build -C keep-build-dir=true
    python benchmarks/front_ends.py /tmp/build --gpu 75 'selective_scan_*_joined*.cu'      # Turing's code from compute_80's PTX
    python benchmarks/front_ends.py /tmp/build --gpu 90 --low 80 --high 90 'selective_scan_*bf16*.cu'

Compiles each file of that build's source tree twice, with the build's own flags: once by each front end. For a GPU
older than one of them, rewrites its PTX as a build with gpu-code=compact does. Prints for each file the number of
kernels that are the same in PTX, letter by letter but for the name of an exact conversion, and in machine code, byte by
byte. For both front ends it prints the sums of instructions, registers and spilled bytes.
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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mamba_build_backend.toolchain.shims.ptx import retarget

_INSTRUCTION = 16
"""Bytes, since Volta."""
_WIDENED = re.compile(r"cvt\.f32\.bf16 (\S+), (\S+);")
"""bfloat16 to float32, exact: what later GPUs have an instruction for is the upper half of a register on others."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path, help="the folder of a build that was kept")
    parser.add_argument("files", nargs="+", help="patterns of file names")
    parser.add_argument("--low", default="75")
    parser.add_argument("--high", default="80")
    parser.add_argument("--gpu", default="75")
    options = parser.parse_args()
    (ninja,) = options.build.glob("source/*/build/temp*/build.ninja")
    lines = dict(re.findall(r"^(\w+) = (.*)$", ninja.read_text(), re.MULTILINE))
    tree = ninja.parents[2]
    flags = shlex.split(f"{lines['cuda_cflags']} {lines['cuda_post_cflags']}".replace("$", ""))
    flags = [flag for flag in flags if not flag.startswith(("-gencode", "--compress"))]
    cuda = options.build / "toolchain" / "cuda" / "bin"
    sources = sorted({path for pattern in options.files for path in tree.rglob(pattern)})
    for source in sources:
        with tempfile.TemporaryDirectory() as folder:

            def cubin(compute: str, source: Path = source, folder: str = folder) -> Code:
                ptx, out = (Path(folder) / f"{compute}{suffix}" for suffix in (".ptx", ".cubin"))
                command = [
                    cuda / "nvcc",
                    "-ptx",
                    f"-arch=compute_{compute}",
                    *flags,
                    "-frandom-seed=1",
                    source,
                    "-o",
                    ptx,
                ]
                subprocess.run([word for word in command if word != "-c"], cwd=ninja.parent, check=True)
                text = ptx.read_text()
                if int(options.gpu) < int(compute):
                    ptx.write_text(retarget(text, options.gpu))
                assemble = [cuda / "ptxas", "-v", f"-arch=sm_{options.gpu}", ptx, "-o", out]
                said = subprocess.run(assemble, check=True, capture_output=True, text=True).stderr
                return Code(text, out, said)

            with ThreadPoolExecutor(2) as pool:
                low, high = pool.map(cubin, (options.low, options.high))
        texts = sum(low.ptx[name] == high.ptx.get(name) for name in low.ptx)
        same = sum(low.kernels[name] == high.kernels.get(name) for name in low.kernels)
        print(
            f"{source.name}: of {len(low.kernels)} kernels {texts} the same in PTX, {same} in machine code; {low} and {high}",
            flush=True,
        )
    return 0 if sources else 1


class Code:
    """What the front end made, and what ptxas made and said."""

    def __init__(self, ptx: str, path: Path, said: str) -> None:
        pieces = re.split(
            r"^(?=(?:\.visible |\.weak )?\.entry )", _WIDENED.sub(r"mov.b32 \1, {0,\2};", ptx), flags=re.MULTILINE
        )
        self.ptx = {piece.partition("(")[0]: piece for piece in pieces[1:]}
        with path.open("rb") as file:
            sections = ELFFile(file).iter_sections()
            self.kernels = {item.name: item.data() for item in sections if item.name.startswith(".text.")}
        self.registers = sum(map(int, re.findall(r"Used (\d+) registers", said)))
        self.spilt = sum(map(int, re.findall(r"(\d+) bytes spill stores", said)))

    def __str__(self) -> str:
        instructions = sum(map(len, self.kernels.values())) // _INSTRUCTION
        return f"{instructions} instructions, {self.registers} registers, {self.spilt} bytes spilt"


if __name__ == "__main__":
    sys.exit(main())
