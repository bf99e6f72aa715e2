"""Imports its extension, as upstream does."""
import tiny_stable_ext  # noqa: F401
