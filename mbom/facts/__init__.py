"""What a checkpoint says of itself, and what its tensor table and its texts show: each fact with where it was read."""

from mbom.facts.outline import Outline, outline
from mbom.facts.places import Place
from mbom.facts.reading import Facts, read_facts
from mbom.facts.survey import Survey, survey

__all__ = ["Facts", "Outline", "Place", "Survey", "outline", "read_facts", "survey"]
