"""Signed, checkable evidence for open-weight models."""

__version__ = "0.2.0.dev0"
