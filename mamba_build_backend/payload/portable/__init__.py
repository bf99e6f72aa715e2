"""Added by mamba-ssm-portable: what this installation was built for, and whether it fits.

``python -m`` with this package's name checks the installation and prints a table.
"""

from __future__ import annotations

from typing import Any

__all__ = ["build_info"]


def build_info() -> dict[str, Any]:
    """The build record of this wheel: versions, flags, source hash, patches.

    Raises ``LookupError`` if the wheel's metadata is not installed, as when its folder was copied by hand.
    """
    import json
    from importlib import metadata

    from . import _built_for

    try:
        text = metadata.distribution(_built_for.DISTRIBUTION).read_text(_built_for.RECORD)
    except metadata.PackageNotFoundError:
        text = None
    if text is None:
        raise LookupError(f"{_built_for.DISTRIBUTION} is not installed with its metadata: install its wheel with pip")
    record: dict[str, Any] = json.loads(text)
    return record
