"""Plans for downloading or locking an sdist without building a wheel, for instance on a cluster's login node."""

from __future__ import annotations

from dataclasses import replace

from ..core.errors import Problem, with_command
from ..core.facts import Facts
from .types import BuildPlan

_FETCHING = ("pip download", "pip lock", "uv lock")
"""Commands that need only metadata. Their users are told about the setting; the commands decide nothing."""

_WAY = "export MAMBA_BUILD_METADATA_ONLY=true   (to download or lock an sdist without torch or a compiler; no wheel is built)"
"""A variable, because `pip download` of pip 23 and older has no -C, and `uv lock` has another option."""


def metadata_alone(plan: BuildPlan) -> BuildPlan:
    """The plan with the setting ``metadata-only``: nothing is compiled, so the machine's problems do not matter."""
    if plan.carries_metadata:
        return replace(plan.without_machine(), only_metadata=True, installs=(), archives=None)
    problem = Problem(
        "metadata-only",
        f"metadata-only is set, but the source of {plan.title} contains no metadata",
        "its setup.py must run to make them, which needs nvcc",
        ("-C metadata-only=false",),
    )
    return replace(plan, problems=(*plan.problems, problem))


def offering_metadata(plan: BuildPlan, facts: Facts) -> BuildPlan:
    """The plan, with a hint about the setting for users who only download or lock, if it would help them."""
    if facts.frontend not in _FETCHING or not plan.carries_metadata:
        return plan
    if not plan.problems:
        return replace(plan, notes=(*plan.notes, with_command(f"{facts.frontend} needs no wheel", _WAY)))
    *others, last = plan.problems
    return replace(plan, problems=(*others, replace(last, fix=(*last.fix, _WAY))))
