"""Shims for nvcc and g++, and for two of nvcc's steps; each is started as a separate file (``protocol.py``)."""
