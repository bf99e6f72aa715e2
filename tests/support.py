"""What several tests need: where things are, and how a skip is said."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ROOT / "tests" / "packages"


def lacking(what: str) -> None:
    """Skip, naming what is missing; a run that is meant to be whole turns this into a failure."""
    pytest.skip(f"lacks {what}")
