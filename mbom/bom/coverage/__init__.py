"""How much of what regulators ask for a BOM says: the lists, their elements, and what each rests on in a document."""

from mbom.bom.coverage.answers import Answer, Status
from mbom.bom.coverage.evaluate import Coverage, Covered, coverage
from mbom.bom.coverage.tables import KEYS, Element, Standard, standard

__all__ = ["KEYS", "Answer", "Coverage", "Covered", "Element", "Standard", "Status", "coverage", "standard"]
