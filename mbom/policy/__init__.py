"""What a product allows of models: the policy file, and what it decides."""

from mbom.policy.decision import Decision, Place, Reason

__all__ = ["Decision", "Place", "Reason"]
