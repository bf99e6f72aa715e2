"""Read symbol versions from ELF files, and compare them."""
