"""Run upstream's setup.py with the plan's flags, show its progress, and explain its failures."""
