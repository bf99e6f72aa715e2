"""Make the plan from settings, facts and tables. No I/O, no clock, no environment variables.

A plan is complete even if it cannot be carried out: `doctor` prints it with *all* its problems, and a build raises
them. Every field that was chosen among candidates is a :class:`Choice`, which says why.
"""

from __future__ import annotations

from .assemble import decide, decide_together, overwriting
from .platform import NO_PLACE
from .types import BuildPlan, Choice, Rejected, TorchTarget

__all__ = ["NO_PLACE", "BuildPlan", "Choice", "Rejected", "TorchTarget", "decide", "decide_together", "overwriting"]
