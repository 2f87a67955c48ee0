"""What changed between two models, from bundles alone, from checkpoints, or from a mix of both."""

from mbom.diff.changes import Changes

__all__ = ["Changes"]
