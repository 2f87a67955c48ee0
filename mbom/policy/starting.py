"""The policy that people start from: sound, strict where nobody should have to think, and commented."""

from collections.abc import Sequence

from mbom.dossier import Dossier
from mbom.policy.document import is_pattern
from mbom.policy.schema import ID
from mbom.printable import printable

LINE_LIMIT = 300  # characters of a comment; a bundle can claim names of any length

_HEAD = f"""\
# yaml-language-server: $schema={ID}
#
# What this product allows of models. Every key: docs/policy.md of mbom.
#   mbom policy check                      says what is wrong with this file
#   mbom policy explain mbom.yaml ORG/NAME shows what counts for one model
version: 1

# Whose signature is trusted, by model. A model that nobody here may sign is refused.
# Patterns: * is any characters but the slash, "*" by itself every model; put patterns in quotes.
signers: []
#  - {{model: "acme/*", key: keys/release.pub}}
#  - {{model: "openai/*", identity: release@example.org, issuer: https://accounts.example.org}}
"""

_BODY = """
require:
  signature: true
  behaviour: recorded          # match: measured again wherever this is decided
#  transparency_log: true      # keyless signatures have an entry there
#  expert_coverage: 0.9        # of the experts, the share that the prompts of the record reached
#  attestation_max_age: 365d

# What the card declares and what the texts are must both be allowed. Nothing known of it refuses.
licences:
  allow: [Apache-2.0, MIT, BSD-2-Clause, BSD-3-Clause]
  forbid_restrictions: [non-commercial, no-derivatives, user-cap, revenue-cap, geographic-exclusion]

# Countries are those of the publisher's seat, ISO 3166-1.
#origins:
#  allow_countries: [US, FR, DE]
#  deny_publishers: []

findings:
  fail_on: warning             # error, warning, note, none; `mbom inspect` shows what there is

formats:
  pickles: refuse
  code: refuse

# What an upgrade may change.
changes:
  forbid: [few-weights-edit]   # the bit-flip alarm; it takes the weights: `mbom gate --checkpoint --old-checkpoint`
  unknown: allow               # sketches of bundles do not tell what kind of change it was; refuse: demand the weights
#  frozen: [tokenizer, chat-template]
#  max_relative_change: 0.2

# Other values for some models: each key replaces the one above.
#models:
#  "meta-llama/*":
#    licences: {allow: [LicenseRef-scancode-llama-4-cla-2025], forbid_restrictions: []}

# What is allowed all the same: by the id in brackets that a refusal shows, with a reason and a last day.
#waivers:
#  - {model: acme/x, id: custom-code, reason: reviewed in SEC-12, expires: 2027-01-31}

# Whatever else must be true, in CEL (pip install 'mbom[cel]').
#rules:
#  - {name: small active set, cel: "bom.params.active < 8e9"}
"""


def starting(held: Sequence[tuple[Dossier, str | None]] = ()) -> str:
    """Return a policy to start from.

    Args:
        held: models that it is for, each with who claims to have signed it, as an entry of ``signers`` would say; they
            are comments alone, because nobody has verified them.
    """
    told = [line for dossier, claimed in held for line in _comments(dossier, claimed)]
    if not told:
        return _HEAD + _BODY
    return "\n".join([_HEAD.rstrip("\n"), "#", "# As their bundles claim, which nobody has verified:", *told, _BODY])


def _comments(dossier: Dossier, claimed: str | None) -> list[str]:
    """Return what a bundle says of itself, as comments that nothing in it can break out of."""
    told = dossier.described
    pattern = dossier.name if is_pattern(dossier.name) and "*" not in dossier.name else "NAME"
    producer = ", ".join(text for text in (told.account, told.entity, told.country) if text is not None)
    texts = tuple(item.id for item in told.licences_detected)
    lines = [
        f'  - {{model: "{pattern}", {claimed or "key: keys/release.pub"}}}',
        f"   licences: declared {_some(told.licences_declared)}; as texts {_some(texts)}",
        f"   restrictions: {_some(tuple(dict.fromkeys(item.kind for item in told.restrictions)))}",
        f"   published by {producer or 'nobody known'}; openness: {told.openness or 'unknown'}",
    ]
    return [f"#{_quoted(line)}" for line in lines]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) or "none"


def _quoted(text: str) -> str:
    line = printable(text)
    return line if len(line) <= LINE_LIMIT else f"{line[: LINE_LIMIT - 1]}…"
