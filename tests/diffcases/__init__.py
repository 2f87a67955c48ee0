"""Synthetic changes of weights with their true reasons, and confusable ones: what explanations are held against.

Everything is drawn from a seed that follows from the name of the case, so that each can be built by itself.
"""

from diffcases.inplace import in_place
from diffcases.models import Case
from diffcases.structures import of_structure

__all__ = ["cases"]


def cases() -> tuple[Case, ...]:
    """Return every case; names are unique."""
    return (*in_place(), *of_structure())
