"""Stand in front of nvcc and g++, and of two of nvcc's steps; each is started as a file of its own."""
