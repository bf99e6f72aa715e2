"""Upstream's setup.py, run with the plan's flags; what it is doing, and why it failed."""
