"""The content of a wheel and of an sdist: metadata, record, SBOM, notices, tags."""
