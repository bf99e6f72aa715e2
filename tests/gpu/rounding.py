"""Compare rounding to bfloat16 in Turing's instructions with torch, for all numbers, on a GPU.

    python tests/gpu/rounding.py

Compiles a kernel for compute_80, rewrites it as a build does, assembles it for this machine's GPU, and compares it
with torch 2**32 times. Needs nvcc, and torch with CUDA.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mamba_build_backend.toolchain.shims.ptx import retarget

KERNEL = """\
#include <cuda_bf16.h>
extern "C" __global__ void round_all(const float *from, __nv_bfloat16 *to) {
    long place = blockIdx.x * 1024L + threadIdx.x;
    to[place] = __float2bfloat16(from[place]);
}
"""
PART = 1 << 28


def main() -> int:
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    major, minor = torch.cuda.get_device_capability()
    cuda = ctypes.CDLL("libcuda.so.1")
    torch.zeros(1, device="cuda")  # makes the context
    with tempfile.TemporaryDirectory() as folder:
        source, ptx, cubin = (Path(folder) / name for name in ("k.cu", "k.ptx", "k.cubin"))
        source.write_text(KERNEL)
        subprocess.run(["nvcc", "-arch=compute_80", "-ptx", source, "-o", ptx], check=True)
        text = ptx.read_text()
        assert "cvt.rn.bf16.f32" in text
        ptx.write_text(retarget(text, "75"))
        assert "cvt.rn.bf16.f32" not in ptx.read_text()
        subprocess.run(["ptxas", f"-arch=sm_{major}{minor}", ptx, "-o", cubin], check=True)
        check(cuda.cuModuleLoadData(ctypes.byref(module), cubin.read_bytes()))
    check(cuda.cuModuleGetFunction(ctypes.byref(function), module, b"round_all"))
    wrong = 0
    for first in range(-(1 << 31), 1 << 31, PART):
        given = torch.arange(first, first + PART, dtype=torch.int32, device="cuda").view(torch.float32)
        made = torch.empty(PART, dtype=torch.bfloat16, device="cuda")
        values = [ctypes.c_void_p(given.data_ptr()), ctypes.c_void_p(made.data_ptr())]
        pointers = (ctypes.c_void_p * 2)(*(ctypes.cast(ctypes.byref(value), ctypes.c_void_p) for value in values))
        check(cuda.cuLaunchKernel(function, PART // 1024, 1, 1, 1024, 1, 1, 0, None, pointers, None))
        torch.cuda.synchronize()
        wanted = given.to(torch.bfloat16).view(torch.int16)
        # torch writes one NaN where it has no instruction for it, and another where it has.
        wanted = torch.where(given.isnan(), 0x7FC0, wanted)
        wrong += int((made.view(torch.int16) != wanted).sum())
    print(f"{torch.cuda.get_device_name()}: of 2**32 numbers {wrong} are rounded in another way")
    return int(wrong > 0)


def check(status: int) -> None:
    if status != 0:
        sys.exit(f"the driver returned {status}")


if __name__ == "__main__":
    sys.exit(main())
