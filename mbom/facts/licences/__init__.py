"""Licences: a table of known texts, what a checkpoint declares, what its texts show, and what that restricts.

Nothing here is legal advice, and a restriction that is not listed is no permission: the table knows some forty texts.
"""

from mbom.facts.licences.declared import Declared, is_open
from mbom.facts.licences.matching import Match
from mbom.facts.licences.reading import Licensing, read_licensing
from mbom.facts.licences.restrictions import Restriction
from mbom.facts.licences.texts import LicenceText
from mbom.facts.licences.vocabulary import RESTRICTIONS

__all__ = ["RESTRICTIONS", "Declared", "LicenceText", "Licensing", "Match", "Restriction", "is_open", "read_licensing"]
