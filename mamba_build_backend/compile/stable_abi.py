"""Compiler inputs of a build with ``abi=stable``; docs/stable-abi.md explains the headers in ``include``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..core.files import link_to
from ..plan import BuildPlan

if TYPE_CHECKING:
    from ..toolchain.shims.protocol import StableExtension, TorchStandIn

INCLUDE = Path(__file__).parent.parent / "stable" / "include"
"""Headers with the names of torch's C++ headers, which replace them."""
PYTHON = Path(__file__).parent.parent / "stable" / "python"
"""A package with the name torch, which replaces the real torch while setup.py runs."""


def flags(plan: BuildPlan) -> list[str]:
    """Return the compiler flags of a build with ``abi=stable``; none for other builds."""
    if not plan.abi.value.is_stable:
        return []
    major, minor = plan.driver.split(".")
    name = [] if plan.upstream.value.is_own else [f"-DMAMBA_STABLE_PROJECT={plan.upstream.value.name}"]
    return [f"-DMAMBA_STABLE_DRIVER={int(major) * 1000 + int(minor) * 10}", *name]


def stand_in(plan: BuildPlan) -> TorchStandIn | None:
    """Return the stand-in for torch while setup.py runs; None if setup.py imports the real torch.

    We know what the known projects' setup.py need of torch. Other projects' setup.py get the installed torch, if there
    is one.
    """
    known = not plan.upstream.value.is_own and not plan.allow_unverified
    if not plan.abi.value.is_stable or (plan.torch.value is not None and not known):
        return None
    from ..toolchain.shims.protocol import TorchStandIn

    return TorchStandIn(str(PYTHON), plan.target.version or plan.torch_least, plan.cuda)


def extension(folder: Path) -> StableExtension:
    """Return how ``_setup_py_child.py`` changes upstream's ``CUDAExtension`` for a build with ``abi=stable``."""
    # Imported here: the toolchain reads ELF files with a package that the metadata hooks do not have.
    from ..toolchain.shims.protocol import StableExtension

    # Paths on compile lines must not contain spaces: the build folder has none.
    include = link_to(INCLUDE, folder / "stable")
    # The headers are templates with default visibility: hide them, so that two libraries do not share their instances.
    exports = folder / "exports.map"
    exports.write_text("{ global: PyInit_*; local: *; };\n", encoding="ascii")
    return StableExtension(
        include_dir=str(include),
        # libcudart_static needs the others; the linker resolves from left to right.
        libraries=("cudart_static", "rt", "pthread", "dl"),
        link_flags=(f"-Wl,--version-script={exports}",),
    )
