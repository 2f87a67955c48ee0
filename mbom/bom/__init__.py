"""The CycloneDX ML-BOM: building one from an inventory and facts, and holding one against them.

The library that builds a document cannot express all of it and drops what it does not know when it reads one, so a BOM
is never loaded and rewritten through it: ``build`` writes once, ``check`` reads bytes.
"""

from mbom.bom.affidavit import Affidavit, accounts, affidavit_of, observed_of
from mbom.bom.build import build
from mbom.bom.check import check, check_behaviour, contradictions, spec_of
from mbom.bom.format.lint import lint
from mbom.bom.format.schema import CURRENT, WRITTEN, Spec
from mbom.bom.sections.author import Author
from mbom.bom.sections.modelcard import BehaviourSummary

__all__ = [
    "CURRENT",
    "WRITTEN",
    "Affidavit",
    "Author",
    "BehaviourSummary",
    "Spec",
    "accounts",
    "affidavit_of",
    "build",
    "check",
    "check_behaviour",
    "contradictions",
    "lint",
    "observed_of",
    "spec_of",
]
