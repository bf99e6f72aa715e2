"""The wheel's ABI: one torch minor, its CUDA and one Python, or the stable parts of torch, the driver and Python."""

from __future__ import annotations

from collections.abc import Iterator

from ..core.errors import Problem
from ..core.facts import Facts
from ..core.settings import Settings
from ..core.versions import parsed
from ..tables import ProjectVersion, Tables, minor
from .notebook import Notebook
from .types import TORCH_ABI, Abi, Choice, TorchTarget

STABLE_ABI = Abi("stable", torch_min="2.0", python_min="3.9")
"""torch 2.0 is the oldest that was tested, and Python 3.9 the oldest that it was tested with. From torch 2.10 on,
tensors are read through ``torch.Tensor.__dlpack_c_exchange_api__``, before that through their methods."""

_BACK = "-C abi=torch   (a wheel for the installed torch and Python)"


def decide_abi(
    settings: Settings,
    facts: Facts,
    tables: Tables,
    row: ProjectVersion,
    target: TorchTarget,
    notebook: Notebook,
) -> Choice[Abi]:
    """The ABI of the setting, with obstacles to a stable one as problems; for ``auto``, stable if there are none.

    :func:`~mamba_build_backend.plan.toolkit.decide_nvcc` decides whether there is an nvcc for it.
    """
    if settings.abi == "torch":
        return Choice(TORCH_ABI, "setting abi")
    obstacles = list(_obstacles(row, facts, target, tables))
    if settings.abi == "stable":
        mine = row.is_own or bool(row.fork and not row.stable)
        notebook.problems += [item for item in obstacles if not (mine and item.code == "abi-upstream")]
        if mine:
            notebook.note("abi=stable: this project's binding may use only the names in mamba_build_backend/stable")
        return Choice(STABLE_ABI, "setting abi")
    if row.is_own:
        return Choice(
            TORCH_ABI, "the default for a project's own source; abi=stable suits sources that include little of torch"
        )
    if obstacles:
        return Choice(TORCH_ABI, "; ".join(problem.found.partition(": ")[2] for problem in obstacles))

    return Choice(STABLE_ABI, "the default: one wheel for every torch, CUDA and Python that can run it")


def _uses(names: tuple[str, ...]) -> str:
    if not names:
        return "is not a copy of a known project"
    few = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"uses more of torch than the stable headers have: {few}"


def _obstacles(row: ProjectVersion, facts: Facts, target: TorchTarget, tables: Tables) -> Iterator[Problem]:
    """Why one wheel cannot serve many torch and Python versions."""
    if row.fork and not row.stable:
        yield Problem(
            "abi-upstream",
            f"abi=stable: {row.title} {_uses(row.fork.beyond)}",
            "docs/stable-abi.md lists what the headers have",
            (_BACK,),
        )
    elif not (row.stable or row.is_own):
        ported = [item for item in tables.versions_of(row.name) if item.stable]
        yield Problem(
            "abi-upstream",
            f"abi=stable: the binding of {row.title} is not ported to the stable ABI",
            f"the first ported release is {row.name} {ported[0].version}" if ported else f"no {row.name} is ported",
            (*(f"-C upstream-version={item.version}" for item in ported[-1:]), _BACK),
        )
    oldest = STABLE_ABI.torch_min
    if target.version and parsed(minor(target.version)) < parsed(oldest):
        # Do not install over conda's torch with pip.
        newer = (
            ()
            if any(item.installer == "conda" for item in facts.torches)
            else (f"python -m pip install 'torch>={oldest}'",)
        )
        yield Problem(
            "abi-torch",
            f"abi=stable: torch {target.version} is too old for a stable wheel",
            f"the wheel runs with torch {oldest} or newer",
            (
                f"-C torch=torch=={oldest}.*   (installs that torch for the build only)",
                *newer,
                _BACK,
            ),
        )
    if facts.machine.python_tag.endswith("t"):
        yield Problem(
            "abi-python",
            f"abi=stable: this Python is free-threaded ({facts.machine.python_tag})",
            "such a Python cannot load extensions of Python's stable ABI",
            ("use a Python with the GIL", _BACK),
        )
