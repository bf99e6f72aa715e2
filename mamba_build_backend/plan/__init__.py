"""Deciding: settings, facts and tables in, one plan out. No I/O, no clock, no environment.

A plan is complete even where it cannot be carried out: `doctor` prints it together with *all* its problems, and the build
raises them. Every field that was chosen among candidates is a :class:`Choice` and can be explained.
"""

from __future__ import annotations

from .assemble import decide, decide_together, overwriting
from .platform import NO_PLACE
from .types import BuildPlan, Choice, Rejected, TorchTarget

__all__ = ["NO_PLACE", "BuildPlan", "Choice", "Rejected", "TorchTarget", "decide", "decide_together", "overwriting"]
