"""A finished wheel: read and judged."""
