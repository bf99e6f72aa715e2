"""Symbol versions: read from ELF files, and compared."""
