"""Upstream's source: found, verified, unpacked, patched."""
