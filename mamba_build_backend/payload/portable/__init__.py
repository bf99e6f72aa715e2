"""Added by mamba-ssm-portable: says what this installation was built for, and checks it.

``python -m`` with this package's name checks the installation and prints a table.
"""

from __future__ import annotations

from typing import Any

__all__ = ["build_info"]


def build_info() -> dict[str, Any]:
    """Return the build record of this wheel: versions, flags, source hash, patches.

    Raises ``LookupError`` if the wheel's metadata is damaged or not installed, for example if the folder was copied by
    hand.
    """
    import json
    from importlib import metadata

    from . import _built_for

    try:
        text = metadata.distribution(_built_for.DISTRIBUTION).read_text(_built_for.RECORD)
    except (metadata.PackageNotFoundError, OSError, ValueError):
        text = None
    if text is None:
        raise LookupError(f"{_built_for.DISTRIBUTION} is not installed with its metadata: install its wheel with pip")
    try:
        record: Any = json.loads(text)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise LookupError(  # noqa: TRY004 - the same error as for a missing record
            f"the build record of {_built_for.DISTRIBUTION} is damaged: install its wheel again with pip"
        )
    return record
