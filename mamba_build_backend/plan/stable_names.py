"""The torch headers and names in ``mamba_build_backend/stable/include``; a fork's sources may use only these."""

from __future__ import annotations

from collections.abc import Iterable

STABLE_HEADERS = (
    "ATen/Context.h",
    "ATen/cuda/Atomic.cuh",
    "ATen/cuda/CUDAContext.h",
    "c10/core/DeviceGuard.h",
    "c10/cuda/CUDAException.h",
    "c10/cuda/CUDAGuard.h",
    "c10/cuda/CUDAStream.h",
    "c10/util/BFloat16.h",
    "c10/util/Half.h",
    "c10/util/complex.h",
    "torch/extension.h",
    "torch/python.h",
)

STABLE_NAMES = (
    *(
        f"at::{name}"
        for name in ("BFloat16", "Half", "IntArrayRef", "ScalarType", "Tensor", "TensorOptions", "complex")
    ),
    *(f"at::{name}" for name in ("empty", "empty_like", "globalContext", "kFloat", "zeros", "zeros_like")),
    *(f"at::cuda::{name}" for name in ("CUDAGuard", "getCurrentCUDAStream")),
    *(f"c10::{name}" for name in ("BFloat16", "Device", "DeviceGuard", "Half", "ScalarType", "complex", "optional")),
    *(f"torch::{name}" for name in ("BFloat16", "Half", "IntArrayRef", "ScalarType", "Tensor", "kFloat32", "kInt32")),
    *(f"torch::{name}" for name in ("empty", "empty_like", "zeros", "zeros_like")),
)
"""Types, functions and values; enumeration values are in ``SCALAR_TYPES``."""
SCALAR_TYPES = tuple(
    f"{space}::ScalarType::{name}"
    for space in ("at", "c10", "torch")
    for name in ("BFloat16", "ComplexFloat", "Float", "Half", "Int")
)
STABLE_MACROS = (
    *("AT_ERROR", "C10_CUDA_CHECK", "C10_CUDA_KERNEL_LAUNCH_CHECK", "PYBIND11_MODULE", "TORCH_CHECK"),
    "TORCH_EXTENSION_NAME",
)
_ASKED = ("TORCH_VERSION_MAJOR", "TORCH_VERSION_MINOR")
"""Macros that bindings test, and that may be undefined."""
STABLE_METHODS = (
    *(
        "add_",
        "clone",
        "contiguous",
        "data_ptr",
        "device",
        "dim",
        "dtype",
        "element_size",
        "get_device",
        "is_contiguous",
    ),
    *(
        "is_cuda",
        "numel",
        "options",
        "scalar_type",
        "size",
        "sizes",
        "stride",
        "strides",
        "sum",
        "to",
        "transpose",
        "view",
    ),
    *("defined", "deterministicAlgorithms", "def", "stream"),
)
"""Methods of a tensor, its options, a stream, torch's context and the module."""
_OF_CXX = (
    *("back", "begin", "c_str", "data", "emplace_back", "empty", "end", "front", "has_value", "push_back", "reserve"),
    *("resize", "value", "value_or"),
)
"""Methods of C++'s own vectors, strings and optionals."""


def beyond_stable(headers: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """The headers and names (of :mod:`~mamba_build_backend.probe.torch_use`) that the stable headers lack."""
    known = {*STABLE_HEADERS, *STABLE_NAMES, *SCALAR_TYPES, *STABLE_MACROS, *_ASKED}
    known |= {f".{name}" for name in (*STABLE_METHODS, *_OF_CXX)}
    return tuple(item for item in (*headers, *names) if item not in known)
