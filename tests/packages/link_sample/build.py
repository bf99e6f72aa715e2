"""Builds the sample with a compiler, by the recipe and without it; run in a root that has the compiler, by ``python build.py``.

    PYTHONPATH=CHECKOUT:SITE_PACKAGES python build.py OUT COMPILER …

For each compiler, OUT gets a folder with ``old.so`` and ``new.so`` (the C++ ABI before and after GCC 5) and ``plain.so``, made
without the recipe.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from mamba_build_backend.core.facts import Sysroot, SysrootProvider, to_json
from mamba_build_backend.probe.compilers import read_compiler
from mamba_build_backend.tables import load_tables
from mamba_build_backend.toolchain import libstdcxx, sysroot, wrappers

SOURCE = Path(__file__).with_name("sample.cpp")
ABIS = {"old": ("2.17", "0"), "new": ("2.24", "1")}
"""The policy that is promised, and what tells libstdc++ which ABI is meant."""


def main() -> None:
    out = Path(sys.argv[1])
    zig = next(Path(folder) / "ziglang" for folder in sys.path if (Path(folder) / "ziglang" / "zig").exists())
    for program in sys.argv[2:]:
        compiler = read_compiler(Path(program), "test", os.environ)
        assert compiler.problem is None, compiler.problem
        chosen = Sysroot(SysrootProvider.ZIG, str(zig), "ziglang 0.13.0.post1")
        root = sysroot.apply_sysroot(chosen, "2.17", compiler.target, out / "cache", os.environ, print)
        folder = out / Path(program).name
        for name, (glibc, abi) in ABIS.items():
            floor = load_tables().floor_row(glibc)
            runtime = libstdcxx.apply_libstdcxx(compiler, floor, root, folder / f"{name}-runtime", os.environ)
            cxx = wrappers.apply_wrappers(compiler, root, runtime, folder / f"{name}-tools")[1]
            link(cxx, abi, folder / f"{name}.so")
        link(Path(program), "1", folder / "plain.so")
        (folder / "compiler.json").write_text(json.dumps(to_json(compiler)))


def link(cxx: Path, abi: str, library: Path) -> None:
    options = ["-std=c++17", "-O2", "-shared", "-fPIC", "-pthread", f"-D_GLIBCXX_USE_CXX11_ABI={abi}"]
    subprocess.run([cxx, *options, SOURCE, "-o", library], check=True)


if __name__ == "__main__":
    main()
