"""The reasons that are the gate's own: what no policy can allow, each with a public id and what it means."""

from collections.abc import Mapping
from types import MappingProxyType

from mbom.policy.decision import Outcome, Reason

# Ids are never renamed or given another meaning: reports, SARIF and tests quote them.
MEANINGS: Mapping[str, str] = MappingProxyType({
    "changed-in-place": "The same commit is pinned with other files than before. No commit can be that.",
    "bundle-tampered": "The lock file says the same as before, and the bundle that it names was changed.",
    "verification-failed": "A step of the verification of the bundle failed.",
    "bundle-malformed": "The bundle that the lock file names cannot be read as one.",
    "lock-digest-differs": "The bundle is not the one whose digest the lock file holds.",
    "lock-model-differs": "The bundle is of other files than the model digest of the lock file says.",
    "lock-revision-differs": "The bundle is of another repository or commit than the lock file says.",
    "lock-signer-differs": "The bundle is signed by somebody else than the lock file says.",
    "lock-licence-differs": "The BOM declares other licences or restrictions than the lock file says.",
    "changes-unknown": "The policy limits what may change, and the model that is replaced is not at hand.",
    "old-not-at-hand": "The bundle of the model that is replaced is not at hand, so nothing was compared.",
    "removed": "The model is no longer pinned.",
})


def reason(
    kind: str, sentence: str, action: str = "", *, outcome: Outcome = "refuse", path: str | None = None
) -> Reason:
    """Return a reason of the gate's own."""
    assert kind in MEANINGS, kind
    return Reason(id=kind, outcome=outcome, sentence=sentence, action=action, path=path)
