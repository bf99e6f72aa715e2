"""Whether two wheels hold the same kernels: the machine code of each, compared.

    python tests/stable/kernels.py --ours stable/*.whl --theirs torch/*.whl

Needs NVIDIA's cuobjdump (torch's Triton has one) and no GPU. One nvcc must have compiled both with the same flags.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from elftools.elf.elffile import ELFFile

Kernels = dict[tuple[str, str, str], bytes]
"""The machine code of each kernel, by module, GPU and (mangled) name."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", nargs="+", type=Path, required=True)
    parser.add_argument("--theirs", nargs="+", type=Path, required=True)
    options = parser.parse_args()
    ours, theirs = (kernels(wheels) for wheels in (options.ours, options.theirs))
    differ = 0
    for module in sorted({key[0] for key in ours | theirs}):
        keys = {key for key in ours | theirs if key[0] == module}
        same = sum(ours.get(key) == theirs.get(key) for key in keys)
        differ += len(keys) - same
        print(f"{module}: {len(keys)} kernels, {same} with the same machine code")
    return 1 if differ or not ours else 0


def kernels(wheels: list[Path]) -> Kernels:
    found: Kernels = {}
    with tempfile.TemporaryDirectory() as name:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                modules = [entry for entry in archive.namelist() if entry.endswith(".so")]
                for entry in modules:
                    module = Path(entry).name.partition(".")[0]
                    folder = Path(name) / module
                    folder.mkdir()
                    library = archive.extract(entry, folder)
                    subprocess.run([cuobjdump(), "-xelf", "all", library], cwd=folder, check=True, capture_output=True)
                    for cubin in folder.glob("*.cubin"):
                        gpu = cubin.suffixes[-2]
                        with cubin.open("rb") as file:
                            for section in ELFFile(file).iter_sections():
                                if section.name.startswith(".text."):
                                    found[module, gpu, section.name] = section.data()
    return found


def cuobjdump() -> str:
    on_path = shutil.which("cuobjdump")
    triton = importlib.util.find_spec("triton")
    if on_path is None and triton is not None and triton.origin is not None:
        beside = Path(triton.origin).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
        on_path = str(beside) if beside.exists() else None
    if on_path is None:
        sys.exit("there is no cuobjdump here: it comes with the CUDA toolkit, and with torch's Triton")
    return on_path


if __name__ == "__main__":
    sys.exit(main())
