"""Small releases, and copies of them that are changed as people change them: what a tree with a setup.py may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mamba_build_backend.core import unified_diff
from mamba_build_backend.core.source_files import tree_sha256
from mamba_build_backend.tables import PATCHES, Tables, load_tables
from mamba_build_backend.tables.forks import SOURCES
from mamba_build_backend.tables.released import ReleasedFiles, digest

SCAN, CONV = "mamba-ssm", "causal-conv1d"
RELEASE = {SCAN: "1.1.4", CONV: "1.1.1"}
"""The version of each project that the trees below stand for."""

SETUP_PY = """\
from setuptools import find_packages, setup
import torch
from torch.utils.cpp_extension import BuildExtension, CUDAExtension

PACKAGE_NAME = "{package}"

def get_package_version():
    return "computed"

setup(
    name=PACKAGE_NAME,
    version=get_package_version(),
    packages=find_packages(exclude=("tests", "csrc")),
    ext_modules=[CUDAExtension(name="{extension}", sources=[{sources}])],
    cmdclass={{"build_ext": BuildExtension}},
)
"""


def made_for(patch: str) -> dict[str, bytes]:
    """Files that a patch fits, with no more around its hunks than makes them whole."""
    out: dict[str, bytes] = {}
    for change in unified_diff.parse((PATCHES / patch).read_bytes()):
        lines: list[bytes] = []
        for hunk in change.hunks:
            lines += [b"\n"] * (hunk.old_start - 1 - len(lines))
            if change.name.endswith(".py") and hunk.old[0].startswith(b" "):
                lines[-1] = b"def f():\n"
            lines += hunk.old
        data = b"".join(lines)
        open_blocks = 0 if change.name.endswith(".py") else data.count(b"{") - data.count(b"}")
        out[change.name] = data + b"}\n" * open_blocks
    return out


def scan() -> dict[str, bytes]:
    """A small mamba-ssm 1.1.4, with what CUDA 13 and Triton 3 do not take."""
    kernels = [f"selective_scan_{name}.cu" for name in (
        "fwd_bf16", "fwd_fp16", "fwd_fp32", "bwd_bf16_real", "bwd_fp16_real", "bwd_fp32_real",
        "bwd_bf16_complex", "bwd_fp16_complex", "bwd_fp32_complex",
    )]  # fmt: skip
    sources = ["csrc/selective_scan/selective_scan.cpp", *(f"csrc/selective_scan/{name}" for name in kernels)]
    return {
        "setup.py": SETUP_PY.format(
            package="mamba_ssm", extension="selective_scan_cuda", sources=", ".join(f'"{name}"' for name in sources)
        ).encode(),
        "README.md": b"# Mamba\n",
        "mamba_ssm/__init__.py": b'__version__ = "1.1.4"\n\nfrom mamba_ssm.ops.selective_scan_interface import scan\n',
        "mamba_ssm/ops/__init__.py": b"",
        "mamba_ssm/ops/selective_scan_interface.py": b"import causal_conv1d_cuda\nfrom causal_conv1d import f\n\nscan = f\n",
        "csrc/selective_scan/selective_scan.cpp": b'#include <torch/extension.h>\n#include "selective_scan.h"\nvoid f() {}\n;\n',
        "csrc/selective_scan/selective_scan.h": b"struct S { int n; };\n",
        "csrc/selective_scan/static_switch.h": b"// switch\nint s;\n",
        **made_for("mamba-ssm/0001-cub-3-before-2.1.patch"),
        **made_for("mamba-ssm/0003-triton-3-log1p-before-1.2.1.patch"),
        **{
            f"csrc/selective_scan/{name}": f'#include "selective_scan.h"\nvoid {name[:-3]}() {{}} ;\n'.encode()
            for name in kernels
        },
    }


def conv() -> dict[str, bytes]:
    """A small causal-conv1d 1.1.1."""
    return {
        "setup.py": SETUP_PY.format(
            package="causal_conv1d",
            extension="causal_conv1d_cuda",
            sources='"csrc/causal_conv1d.cpp", "csrc/causal_conv1d_fwd.cu"',
        ).encode(),
        "causal_conv1d/__init__.py": b'__version__ = "1.1.1"\n\nf = print\n',
        "csrc/causal_conv1d.cpp": b"#include <torch/extension.h>\nvoid f() {}\n;\n",
        "csrc/causal_conv1d.h": b"int c;\n",
        "csrc/causal_conv1d_common.h": b"int d;\n",
        "csrc/causal_conv1d_fwd.cu": b'#include "causal_conv1d.h"\nvoid g() {} ;\n',
    }


def written(folder: Path, files: Mapping[str, bytes]) -> Path:
    """The files as a folder."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def tables_of(folder: Path) -> Tables:
    """The tables as if the trees above were those releases; ``folder`` is for copies of them."""
    known = load_tables()
    trees = {name: written(folder / name, files) for name, files in ((SCAN, scan()), (CONV, conv()))}
    hashes = {name: tree_sha256(tree) for name, tree in trees.items()}
    versions = tuple(
        replace(row, tree_sha256=(hashes[row.name],)) if RELEASE.get(row.name) == row.version else row
        for row in known.versions
    )
    released = tuple(
        ReleasedFiles(
            name,
            tuple(row.version for row in known.versions if row.name == name),
            {path: {digest(data): (RELEASE[name],)} for path, data in files.items() if path.endswith(SOURCES)},
        )
        for name, files in ((SCAN, scan()), (CONV, conv()))
    )
    return replace(known, versions=versions, released=released)
