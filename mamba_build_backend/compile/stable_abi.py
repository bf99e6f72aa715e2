"""What a build with ``abi=stable`` gives the compiler; docs/stable-abi.md says how the headers in ``include`` work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..core.files import link_to
from ..plan import BuildPlan

if TYPE_CHECKING:
    from ..toolchain.shims.protocol import StableExtension

INCLUDE = Path(__file__).parent.parent / "stable" / "include"
"""Headers with torch's names that take the place of its C++ ones."""


def flags(plan: BuildPlan) -> list[str]:
    """Compiler flags of a build with ``abi=stable``; none for another."""
    if not plan.abi.value.is_stable:
        return []
    major, minor = plan.driver.split(".")
    name = [] if plan.upstream.value.is_own else [f"-DMAMBA_STABLE_PROJECT={plan.upstream.value.name}"]
    return [f"-DMAMBA_STABLE_DRIVER={int(major) * 1000 + int(minor) * 10}", *name]


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
