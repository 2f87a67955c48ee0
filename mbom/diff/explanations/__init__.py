"""Families of explanations, one module each: ``explain(old, new, weights, *, others, progress)`` says one, or None.

Each says only what it has tested; ``explain`` calls them all and resolves what they claim in common. What families
share is in ``accounting``, ``fingerprints``, ``lowrank``, ``rounding`` and ``recipes``.
"""
