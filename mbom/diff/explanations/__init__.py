"""Families of explanations, one module each: ``explain(old, new, weights, *, others, progress)`` says one, or None.

Each says only what it has tested; ``mbom.diff.explain`` calls them all and resolves what they claim in common.
"""
