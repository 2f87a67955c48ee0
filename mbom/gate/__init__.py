"""The gate: of each model that a change adds, upgrades or touches, whether the policy lets it in, and why.

What makes a model pass is in this order: the lock file and the bundle say the same; the bundle verifies under a signer
that the policy trusts for this model; and the policy allows what it is and what changed. The first two are nobody's to
waive. A finding that the model before had in the same file, byte for byte, is accepted history: told on request, it
refuses nothing. Everything else counts as if the model were a first one: its licence, its signature, its age.
"""

from mbom.gate.evidence import AtHand, Trusted
from mbom.gate.gated import FailOn, Gated, Pin, PolicyUsed, Review, ordered
from mbom.gate.judging import Judge
from mbom.gate.locks import Find, Side, gate
from mbom.gate.single import gate_bundle, gate_checkpoint

__all__ = [
    "AtHand",
    "FailOn",
    "Find",
    "Gated",
    "Judge",
    "Pin",
    "PolicyUsed",
    "Review",
    "Side",
    "Trusted",
    "gate",
    "gate_bundle",
    "gate_checkpoint",
    "ordered",
]
