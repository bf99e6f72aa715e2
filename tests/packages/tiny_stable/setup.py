from setuptools import setup
from torch.utils.cpp_extension import BuildExtension, CUDAExtension

setup(
    packages=["tiny_stable"],
    ext_modules=[CUDAExtension("tiny_stable_ext", ["csrc/binding.cpp", "csrc/kernel.cu"])],
    cmdclass={"build_ext": BuildExtension},
)
