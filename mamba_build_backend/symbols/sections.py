"""What occupies a shared library's file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """A section that occupies the file; ``size`` in bytes.

    ``kind`` is ``gpu``, ``code`` (of the host), ``data``, ``symbols`` (what the loader reads), ``debug`` (what ``strip``
    would take off), or ``rest``.
    """

    name: str
    kind: str
    size: int
