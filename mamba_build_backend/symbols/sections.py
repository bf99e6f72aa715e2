"""Sections of a shared library's file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """A section that occupies the file; ``size`` in bytes.

    ``kind`` is ``gpu``, ``code`` (host code), ``data``, ``symbols`` (read by the loader), ``debug`` (removed by
    ``strip``), or ``rest``.
    """

    name: str
    kind: str
    size: int
