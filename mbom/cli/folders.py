"""Where the program keeps what belongs to its user: keys, and what interrupted runs came to.

The places are those of the XDG Base Directory specification.
"""

import os
from pathlib import Path


def configuration() -> Path:
    """Return mbom's folder for what is to be kept: keys."""
    return _base("XDG_CONFIG_HOME", ".config")


def states() -> Path:
    """Return mbom's folder for interrupted measurements, which can be deleted at any time."""
    return _base("XDG_CACHE_HOME", ".cache") / "measure"


def journals() -> Path:
    """Return mbom's folder for what interrupted attestations have hashed, which can be deleted at any time."""
    return _base("XDG_CACHE_HOME", ".cache") / "attest"


def _base(variable: str, default: str) -> Path:
    base = os.environ.get(variable, "")
    # The specification tells to ignore a relative path.
    return (Path(base) if Path(base).is_absolute() else Path.home() / default) / "mbom"
