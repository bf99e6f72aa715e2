"""What a build with ``abi=stable`` gives the compiler; docs/stable-abi.md says how the headers in ``include`` work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..core.files import link_to
from ..plan import BuildPlan

if TYPE_CHECKING:
    from ..toolchain.shims.protocol import StableExtension, TorchStandIn

INCLUDE = Path(__file__).parent.parent / "stable" / "include"
"""Headers with torch's names that take the place of its C++ ones."""
PYTHON = Path(__file__).parent.parent / "stable" / "python"
"""A package with torch's name that takes its place while setup.py runs."""


def flags(plan: BuildPlan) -> list[str]:
    """Compiler flags of a build with ``abi=stable``; none for another."""
    if not plan.abi.value.is_stable:
        return []
    major, minor = plan.driver.split(".")
    name = [] if plan.upstream.value.is_own else [f"-DMAMBA_STABLE_PROJECT={plan.upstream.value.name}"]
    return [f"-DMAMBA_STABLE_DRIVER={int(major) * 1000 + int(minor) * 10}", *name]


def stand_in(plan: BuildPlan) -> TorchStandIn | None:
    """What takes torch's place while setup.py runs; None where it imports torch itself.

    What the known projects' setup.py ask of torch is known. Another one's gets the torch that is here, if there is one.
    """
    known = not plan.upstream.value.is_own and not plan.allow_unverified
    if not plan.abi.value.is_stable or (plan.torch.value is not None and not known):
        return None
    from ..toolchain.shims.protocol import TorchStandIn

    return TorchStandIn(str(PYTHON), plan.target.version or plan.torch_least, plan.cuda)


def extension(folder: Path) -> StableExtension:
    """What ``_setup_py_child.py`` makes of upstream's ``CUDAExtension`` for a build with ``abi=stable``."""
    # The toolchain reads ELF files, with a package that the metadata hooks run without.
    from ..toolchain.shims.protocol import StableExtension

    # Compile lines take no blanks in a path: the build folder has none.
    include = link_to(INCLUDE, folder / "stable")
    # torch's headers are templates with default visibility: what of them is compiled into two libraries must stay apart.
    exports = folder / "exports.map"
    exports.write_text("{ global: PyInit_*; local: *; };\n", encoding="ascii")
    return StableExtension(
        include_dir=str(include),
        # What its archive needs, too; the linker resolves from left to right.
        libraries=("cudart_static", "rt", "pthread", "dl"),
        link_flags=(f"-Wl,--version-script={exports}",),
    )
