"""The version, in a file that nothing else has to be imported with."""

from __future__ import annotations

__version__ = "0.1.0"
