"""What a product allows of models: the policy file, and what it decides."""

from mbom.policy.case import Case
from mbom.policy.decision import Decision, Place, Reason
from mbom.policy.entries import Rule, TrustedSigner, Waiver
from mbom.policy.policy import NAME, Policy, load

__all__ = ["NAME", "Case", "Decision", "Place", "Policy", "Reason", "Rule", "TrustedSigner", "Waiver", "load"]
