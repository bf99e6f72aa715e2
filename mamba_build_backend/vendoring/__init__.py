"""The backend's copies in other projects: what one holds, whether it is current, the lines of pyproject.toml."""
