"""Media types of checkpoint files by suffix: a table of our own, because the system's differs between machines."""

_DEFAULT = "application/octet-stream"  # safetensors has no registered type
_BY_SUFFIX = {
    ".json": "application/json",
    ".md": "text/markdown",
    ".txt": "text/plain",
    ".py": "text/x-python",
    ".jinja": "text/plain",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".html": "text/html",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".svg": "image/svg+xml",
    ".gif": "image/gif",
}


def media_type(name: str) -> str:
    """Return the media type that the suffix of ``name`` stands for."""
    base = name.rpartition("/")[2].lower()
    return _BY_SUFFIX.get(base[base.rfind(".") :] if "." in base else "", _DEFAULT)
