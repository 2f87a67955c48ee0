"""Why a model can be refused: the public ids of reasons, which waivers, reports and tests quote.

Ids of findings (``mbom.inventory.findings.KINDS``) are reasons too, and ``rule-…`` those of a policy's own rules. Ids
are never renamed or given another meaning.
"""

from collections.abc import Mapping
from types import MappingProxyType

REASONS: Mapping[str, str] = MappingProxyType({
    # Evidence.
    "verification-failed": "A check of the bundle failed. No waiver counts.",
    "signature-missing": "The bundle is not signed by anybody whom the policy trusts for this model.",
    "log-entry-missing": "Nobody has verified an entry of a transparency log for the signature.",
    "timestamp-missing": "Neither an authority nor a log vouches for the time of the signature.",
    "behaviour-missing": "No behaviour was recorded, or it was not measured again where that is asked for.",
    "coverage-too-low": "The prompts of the record reach too little of the model.",
    "sensitivity-too-low": "Too few single weights were tried, or one of them did not show clearly enough.",
    "attestation-too-old": "The statement is older than allowed.",
    "age-unknown": "There is no time to count an age from, or it lies in the future.",
    # Terms.
    "licence-not-allowed": "A licence is none of those that are allowed, or one that is denied.",
    "licence-unknown": "No licence is known, or a text is none that mbom knows word for word.",
    "licence-text-missing": "No text of a licence is among the files.",
    "licence-disagreement": "Card and texts disagree, or the card grants more than the licence of the base.",
    "restriction-not-allowed": "A licence restricts something that the policy does not accept.",
    # Origin.
    "country-not-allowed": "The publisher's seat is in a country that is not allowed.",
    "country-unknown": "The country of the publisher's seat is not known.",
    "publisher-not-allowed": "The account that published it is not allowed.",
    "publisher-unknown": "The account that published it is not known.",
    "openness-too-low": "The model is less open than asked for.",
    "openness-unknown": "Its class of openness is not known.",
    "model-too-old": "The publisher changed it longer ago than allowed.",
    # Files.
    "dtype-not-allowed": "A tensor is stored in a type that is not allowed.",
    "quantisation-not-allowed": "The weights are quantised in a way that is not allowed.",
    "quantisation-unknown": "No configuration says whether the weights are quantised.",
    "pickle-not-allowed": "A pickle lies among the files.",
    "custom-code": "Program code lies among the files, or is loaded from elsewhere.",
    "executable-not-allowed": "A format lies among the files whose readers can be made to run something.",
    # Changes.
    "frozen-part-changed": "A part changed that is to stay as it is.",
    "change-forbidden": "The change of the weights is of a kind that is not allowed.",
    "change-too-large": "The weights of a layer changed by more than allowed.",
    "changes-unknown": "How the weights changed, or how much they or the answers did, is not known.",
    "change-unexplained": "The weights changed, and nothing explains that to the last bit.",
    "answers-changed": "The answers changed by more than allowed.",
    # Of the gate.
    "changed-in-place": "The same revision has another digest than before.",
    # Of waivers.
    "waiver-expired": "A waiver does not count any more. Nothing is decided by it.",
    "waiver-unused": "A waiver names something that is not there. Nothing is decided by it.",
})  # fmt: skip

# What no waiver can allow.
FINAL = frozenset({"verification-failed"})
# What is no refusal, so that there is nothing to waive.
NOTES = frozenset({"waiver-expired", "waiver-unused"})

RULE = "rule-"  # before the words of a rule's name
