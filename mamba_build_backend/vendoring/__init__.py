"""Copies of the backend in other projects: their content, whether they are current, and their lines in pyproject.toml."""
