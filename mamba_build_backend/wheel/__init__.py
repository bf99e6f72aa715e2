"""Write the content of wheels and sdists: metadata, build record, SBOM, notices, tags."""
