"""Find, verify, unpack and patch upstream's source."""
