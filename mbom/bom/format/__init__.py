"""CycloneDX as a format: schemas, grammar, lint and validation of anybody's document, and its older version."""
