from setuptools import setup
from torch.utils.cpp_extension import BuildExtension, CUDAExtension

setup(
    packages=["tiny_cuda"],
    ext_modules=[
        CUDAExtension(
            "tiny_cuda_ext",
            ["csrc/tiny.cpp", "csrc/tiny_kernel.cu"],
            # Upstream's habits, which the backend has to undo: an architecture, a standard, line info.
            extra_compile_args={
                "cxx": ["-O2", "-std=c++17"],
                "nvcc": ["-O2", "-std=c++17", "-gencode", "arch=compute_80,code=sm_80", "-lineinfo", "--threads", "4"],
            },
        )
    ],
    cmdclass={"build_ext": BuildExtension},
)
