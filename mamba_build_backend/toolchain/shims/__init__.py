"""Stand in for nvcc and g++, and for two of nvcc's steps; each is started as a file of its own (``protocol.py``)."""
