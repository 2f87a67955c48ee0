"""The reasons that are the gate's own, each with a public id and what it means; a policy's are ``mbom.policy.reasons``.

No waiver can name one of these: what the lock file says of a bundle is true, or the lock file is mended.
"""

from collections.abc import Mapping
from types import MappingProxyType

from mbom.inventory.findings import KINDS
from mbom.policy.decision import Outcome, Reason
from mbom.policy.reasons import REASONS

# Ids are never renamed or given another meaning: reports, SARIF and tests quote them.
MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "bundle-tampered": "The lock file says the same as before, and the bundle that it names was changed.",
        "bundle-malformed": "The bundle that the lock file names cannot be read as one.",
        "lock-digest-differs": "The bundle is not the one whose digest the lock file holds.",
        "lock-model-differs": "The bundle is of other files than the model digest of the lock file says.",
        "lock-revision-differs": "The bundle is of another repository or commit than the lock file says.",
        "lock-signer-differs": "The bundle is signed by somebody else than the lock file says.",
        "lock-licence-differs": "The BOM declares other licences or restrictions than the lock file says.",
        "old-not-at-hand": "The bundle of the model that is replaced is not at hand, so nothing was compared.",
        "removed": "The model is no longer pinned.",
    }
)


# What the gate says too, in other words than a policy: it knows the lock file.
SHARED = ("changed-in-place", "change-unknown", "verification-failed")


def meaning(kind: str) -> str:
    """Return what the id of a reason means: one of the gate, of a policy, or of a finding."""
    found = MEANINGS.get(kind) or REASONS.get(kind)
    if found is None and kind in KINDS:
        found = KINDS[kind].meaning
    return found or "A rule of the policy's own does not hold."


def reason(
    kind: str, sentence: str, action: str = "", *, outcome: Outcome = "refuse", path: str | None = None
) -> Reason:
    """Return a reason of the gate's own."""
    assert kind in MEANINGS or kind in SHARED, kind
    return Reason(id=kind, outcome=outcome, sentence=sentence, action=action, path=path)
