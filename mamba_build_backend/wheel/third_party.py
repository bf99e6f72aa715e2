"""Code of other projects that is compiled into a wheel: its licences, and the notices that the wheel must contain."""

from __future__ import annotations

from pathlib import Path

from ..core.facts import CompilerKind
from ..plan import BuildPlan
from ..tables import ThirdParty

NOTICES = Path(__file__).parent.parent / "payload" / "licenses"
"""The licence texts that binaries must include, each named after its material."""


_OURS = "mamba-build-backend"
_TORCH = ThirdParty("torch", "BSD-3-Clause", "inline functions and templates of its C++ headers", "BSD-3-Clause")
_PYBIND11 = ThirdParty("pybind11", "BSD-3-Clause", "the binding; the copy among torch's headers", "BSD-3-Clause")
_CUDA = ThirdParty(
    "cuda-toolkit", "LicenseRef-NVIDIA-Proprietary", "inline functions of its headers, and device code of libdevice"
)


_CUDART = ThirdParty(
    "cuda-runtime",
    "LicenseRef-NVIDIA-Proprietary",
    "libcudart_static.a, which the CUDA Toolkit's licence lets a program carry",
)


_LLVM = ThirdParty(
    "libc++",
    "Apache-2.0 WITH LLVM-exception",
    "libc++, libc++abi and libunwind of LLVM, as zig carries them, linked in",
)


def materials(plan: BuildPlan) -> tuple[ThirdParty, ...]:
    """Return all known compiled-in materials. For a project's own sources we know only torch and CUDA."""
    own, stable = plan.upstream.value.is_own, plan.abi.value.is_stable
    ours = [] if own else ["the package that checks the installation"]
    ours += ["headers in place of torch's C++ ones (abi=stable)"] if stable else []
    found = [ThirdParty(_OURS, "Apache-2.0", " and ".join(ours), "Apache-2.0")] if ours else []
    found += {item.name: item for part in plan.parts for item in part.upstream.value.project.third_party}.values()
    found += [_CUDART] if stable else [_TORCH]
    found += [] if own or stable else [_PYBIND11]
    if plan.compiler.value is not None and plan.compiler.value.kind is CompilerKind.ZIG:
        return (*found, _CUDA, _LLVM)
    archive = ", and functions of libstdc++.a that the promised libstdc++.so.6 lacks" if plan.portable else ""
    gcc = ThirdParty("libstdc++", "GPL-3.0-or-later WITH GCC-exception-3.1", f"templates of its headers{archive}")
    return (*found, _CUDA, gcc)


def noticed(plan: BuildPlan) -> tuple[ThirdParty, ...]:
    """Return the materials whose notice goes into the wheel; none for a project's own wheel, which states its own licences."""
    return () if plan.upstream.value.is_own else tuple(item for item in materials(plan) if item.notice)


def license_expression(plan: BuildPlan) -> str:
    """Return the SPDX expression of a known upstream's wheel with all notices; empty for a project's own wheel."""
    rows = [part.upstream.value.project.license for part in plan.parts]
    return " AND ".join(dict.fromkeys([*rows, *(item.notice for item in noticed(plan))])) if all(rows) else ""


def notices(plan: BuildPlan) -> dict[str, Path]:
    """Return the files with the notices, by their names in the wheel."""
    return {f"{item.name}/LICENSE": NOTICES / f"{item.name}.txt" for item in noticed(plan)}
