"""To what the wheel is tied: one torch minor, its CUDA and one Python, or what torch, CUDA's driver and Python keep stable."""

from __future__ import annotations

from ..core._compat import version
from ..core.facts import Machine
from ..core.settings import Settings
from ..tables import ProjectVersion, Tables, minor
from .types import TORCH_ABI, Abi, Choice, Notebook, TorchTarget

STABLE_ABI = Abi("stable", torch_min="2.0", python_min="3.9")
"""torch 2.0: the oldest that was tried, and Python 3.9: the oldest that it was tried with. From torch 2.10 on tensors are read by
``torch.Tensor.__dlpack_c_exchange_api__``, before it by their methods."""

_BACK = "-C abi=torch   (a wheel for the torch and the Python that are here)"


def decide_abi(
    settings: Settings, row: ProjectVersion, machine: Machine, target: TorchTarget, tables: Tables, notebook: Notebook
) -> Choice[Abi]:
    """The setting's; what stands in the way of a stable one is a problem."""
    if settings.abi == "torch":
        why = "setting abi" if settings.is_set("abi") else "the default; abi=stable serves later ones too"
        return Choice(TORCH_ABI, why)
    if not (row.stable or row.is_own):
        ported = [item for item in tables.versions_of(row.name) if item.stable]
        notebook.problem(
            "abi-upstream",
            f"abi=stable: the binding of {row.title} is not ported to it",
            f"it is from {row.name} {ported[0].version} on" if ported else f"none of {row.name} is",
            *(f"-C upstream-version={item.version}" for item in ported[-1:]),
            _BACK,
        )
    oldest = STABLE_ABI.torch_min
    if target.version and version.Version(minor(target.version)) < version.Version(oldest):
        notebook.problem(
            "abi-torch",
            f"abi=stable: torch {target.version} is older than what the wheel would be for",
            f"torch {oldest} or newer is needed to run it",
            f"-C torch=torch=={oldest}.*   (installs it for the build alone)",
            f"python -m pip install 'torch>={oldest}'",
            _BACK,
        )
    if machine.python_tag.endswith("t"):
        notebook.problem(
            "abi-python",
            f"abi=stable: this Python is free-threaded ({machine.python_tag})",
            "it takes no extension of Python's stable ABI",
            "use a Python with the GIL",
            _BACK,
        )
    if row.is_own:
        notebook.note("abi=stable: this project's binding has to do with the names that mamba_build_backend/stable has")
    return Choice(STABLE_ABI, "setting abi")
