"""Every key of a policy: what it holds, what counts where it is not there, and what it means.

The reader, the published JSON Schema, ``mbom policy explain`` and the tables of ``docs/policy.md`` are made from this.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mbom.diff.changes import EXPLANATIONS, SECTIONS
from mbom.facts.licences.vocabulary import RESTRICTIONS
from mbom.facts.producers import COUNTRIES
from mbom.inventory.findings import KINDS
from mbom.policy import kinds, patterns
from mbom.policy.kinds import Flag, Kind, Number, OneOf, Text, Texts, Words
from mbom.tensorfile import DTYPE_BITS

REFUSE, ALLOW = "refuse", "allow"
_UNKNOWN = OneOf(words=(REFUSE, ALLOW))

LICENCE = Text(
    pattern=r"^[A-Za-z0-9][A-Za-z0-9.+:-]*( (WITH|with) [A-Za-z0-9][A-Za-z0-9.-]*)?$",
    form="an SPDX id such as Apache-2.0, or a LicenseRef-",
    limit=200,
)
ACCOUNT = Text(pattern=r"^[0-9A-Za-z_][0-9A-Za-z_.-]{0,95}$", form="an account on the hub such as openai", limit=96)
ENCODING = Text(pattern=r"^[a-z0-9][a-z0-9_.-]*$", form="the name of a quantisation method, or none", limit=64)

WEIGHTS = "weights"
FROZEN = (*SECTIONS, WEIGHTS)
CLASSES = ("class-iii", "class-ii", "class-i")  # of the Model Openness Framework, the most open last
SEVERITIES = ("error", "warning", "note")
UNQUANTISED = "none"


@dataclass(frozen=True, kw_only=True)
class Key:
    """One key.

    Attributes:
        kind: what it holds.
        default: what counts where no policy says; None where nothing is asked then.
        meaning: a sentence for people.
    """

    kind: Kind
    default: kinds.Value | None
    meaning: str


def _key(kind: Kind, meaning: str, default: kinds.Value | None = None) -> Key:
    return Key(kind=kind, default=default, meaning=meaning)


# By the way through the file, in the order in which reasons are given.
KEYS: Mapping[str, Key] = MappingProxyType({
    "require.signature": _key(
        Flag(), "Whether the bundle must be signed by one of `signers`, and verify.", default=True
    ),
    "require.transparency_log": _key(
        Flag(), "Whether the signature must be in a transparency log, as keyless ones are.", default=False
    ),
    "require.timestamp": _key(
        Flag(), "Whether a timestamp authority or a log must vouch for the time of the signature.", default=False
    ),
    "require.behaviour": _key(
        OneOf(words=("none", "recorded", "match")),
        "`recorded`: a record of the behaviour is in the bundle. `match`: it was measured again, and agrees.",
        default="none",
    ),
    "require.expert_coverage": _key(
        Number(minimum=0, maximum=1), "The least share of the experts that the prompts of the record reached."
    ),
    "require.vocabulary_coverage": _key(
        Number(minimum=0, maximum=1), "The least share of the vocabulary that the prompts of the record hold."
    ),
    "require.sensitivity.trials": _key(
        Number(minimum=1, maximum=1_000_000, whole=True),
        "The least number of weights that were moved by one unit in the last place on trial.",
    ),
    "require.sensitivity.factor": _key(
        Number(minimum=1, maximum=1e12), "How far above the limit of the comparison each of those must have shown."
    ),
    "require.attestation_max_age": _key(
        kinds.AGE, "The greatest age of the statement; one from the future has none."
    ),
    "licences.allow": _key(Texts(of=LICENCE), "The only licences that are allowed, declared or found as a text."),
    "licences.deny": _key(Texts(of=LICENCE), "Licences that are not allowed, whatever else is."),
    "licences.allow_restrictions": _key(Words(words=RESTRICTIONS), "The only restrictions that a licence may have."),
    "licences.forbid_restrictions": _key(Words(words=RESTRICTIONS), "Restrictions that no licence may have."),
    "licences.require_text": _key(
        Flag(), "Whether the text of a licence must be among the files, and be recognised.", default=False
    ),
    "licences.unknown": _key(
        _UNKNOWN,
        "What follows where any of the keys above asks for a licence and none is known, or a text is none that mbom "
        "knows word for word.",
        default=REFUSE,
    ),
    "licences.disagreement": _key(
        _UNKNOWN,
        "What follows where the card declares another licence than the texts are, or grants more than that of the "
        "base; only where `allow` or `deny` is there.",
        default=REFUSE,
    ),
    "origins.allow_countries": _key(
        Words(words=tuple(sorted(COUNTRIES))), "The only countries (ISO 3166-1, two letters) of the publisher's seat."
    ),
    "origins.deny_countries": _key(Words(words=tuple(sorted(COUNTRIES))), "Countries that are not allowed."),
    "origins.allow_publishers": _key(Texts(of=ACCOUNT), "The only accounts on the hub that may have published it."),
    "origins.deny_publishers": _key(Texts(of=ACCOUNT), "Accounts that are not allowed."),
    "origins.unknown": _key(
        _UNKNOWN, "What follows where a key above asks for a country or an account that is not known.", default=REFUSE
    ),
    "min_openness": _key(OneOf(words=CLASSES), "The least class of the Model Openness Framework."),
    "max_age": _key(kinds.AGE, "The greatest time since the publisher last changed the model, as the hub says."),
    "findings.fail_on": _key(
        OneOf(words=(*SEVERITIES, "none")), "The least severity of a finding that refuses.", default="error"
    ),
    "findings.allow": _key(Words(words=KINDS), "Ids of findings that do not refuse.", default=()),
    "findings.forbid": _key(Words(words=KINDS), "Ids of findings that refuse whatever their severity.", default=()),
    "formats.dtypes": _key(Words(words=tuple(DTYPE_BITS)), "The only types that tensors may be stored in."),
    "formats.quantisation": _key(
        Texts(of=ENCODING), "The only quantisation methods, as the configuration names them; `none` for none at all."
    ),
    "formats.pickles": _key(_UNKNOWN, "Whether pickles may lie among the files.", default=ALLOW),
    "formats.code": _key(
        _UNKNOWN, "Whether program code may lie among the files, or be loaded from elsewhere.", default=ALLOW
    ),
    "formats.executable": _key(
        _UNKNOWN, "Whether other formats may lie there whose readers can be made to run something.", default=ALLOW
    ),
    "changes.frozen": _key(
        Words(words=FROZEN), "Parts that an upgrade must leave as they are.", default=()
    ),
    "changes.forbid": _key(
        Words(words=EXPLANATIONS),
        "Explanations of a change of weights that are not allowed; without the weights of both models, any change is "
        "refused.",
        default=(),
    ),
    "changes.max_relative_change": _key(
        Number(minimum=0, maximum=1e6),
        "The greatest change of the weights of any layer, relative to what they were; from sketches, with the error "
        "of the estimate added.",
    ),
    "changes.require_explained": _key(
        Flag(), "Whether a change of weights must be explained with nothing but rounding left.", default=False
    ),
    "changes.max_kl": _key(
        Number(minimum=0, maximum=1e6), "The greatest mean KL divergence of the answers from what they were, in nats."
    ),
    "changes.min_top1_agreement": _key(
        Number(minimum=0, maximum=1), "The least share of positions whose likeliest token stays the same."
    ),
    "changes.unknown": _key(
        _UNKNOWN, "What follows where any of the keys above asks for something of a change that nobody knows, such as "
        "its kind where there are only sketches.", default=REFUSE
    ),
})  # fmt: skip

_PRINTED = "[^\\u0000-\\u001f\\u007f-\\u00a0\\u200b-\\u200f\\u2028-\\u202f\\u2060-\\u206f\\ufeff]"
SENTENCE = Text(pattern=f"^{_PRINTED}+$", form="a text on one line, without invisible characters", limit=500)
PATTERN = Text(pattern=patterns.FORM, form="a name or a pattern such as openai/*", limit=patterns.PATTERN_LIMIT)
PATH = Text(
    pattern=r"^(?!(.*/)?\.\.?(/|$))[0-9A-Za-z_.+@ -]+(/[0-9A-Za-z_.+@ -]+)*$",
    form="a path below the folder of the policy, such as keys/release.pub",
    limit=500,
)
CLAIM = Text(pattern="^[!-~]+$", form="what the certificate says, to the letter", limit=2048)
ISSUER = Text(pattern="^https?://[!-~]+$", form="the address of an OpenID issuer", limit=2048)
# An expression that backtracks through a long identity must end: see ``mbom.policy.entries``.
EXPRESSION = Text(pattern="^[ -~]+$", form="a regular expression", limit=300)
REASON_ID = Text(pattern="^[a-z0-9]+(-[a-z0-9]+)*$", form="the id of a reason or of a finding", limit=100)
RULE_NAME = Text(pattern="^[A-Za-z0-9]([A-Za-z0-9 _-]*[A-Za-z0-9])?$", form="a name in words", limit=60)
CEL = Text(pattern=r"\S", form="an expression in CEL", limit=2000)

# What the entries of the lists hold, and which of it must be there.
SIGNER: Mapping[str, Key] = MappingProxyType({
    "model": _key(PATTERN, "The models that the signer is trusted for."),
    "key": _key(PATH, "The file of a public key in PEM."),
    "timestamp_authority": _key(
        PATH, "Goes with `key`: the certificates, in PEM, of the authority that must have timestamped the signature."
    ),
    "identity": _key(CLAIM, "The address or URI of a keyless signature; goes with `issuer`."),
    "identity_regexp": _key(EXPRESSION, "In place of `identity`: what it matches from first to last character."),
    "issuer": _key(ISSUER, "Who vouches for the identity."),
    "repository": _key(CLAIM, "Goes with an identity: the repository on GitHub whose workflow signed."),
    "workflow": _key(
        Text(pattern="^[ -~]+$", form="the name or the file of a workflow", limit=500),
        "Goes with an identity: that workflow, by its name or its file.",
    ),
    "ref": _key(CLAIM, "Goes with an identity: the git ref that the workflow ran on."),
    "trust_config": _key(PATH, "Goes with an identity: the file of a Sigstore instance of your own."),
})  # fmt: skip
WAIVER: Mapping[str, Key] = MappingProxyType({
    "model": _key(PATTERN, "The models that it is for."),
    "id": _key(REASON_ID, "What it allows: the id of a reason or of a finding."),
    "path": _key(SENTENCE, "The one file that it is about; without it, every one."),
    "reason": _key(SENTENCE, "Why, for whoever reads it later."),
    "expires": _key(kinds.Day(), "The last day on which it counts, in UTC."),
})  # fmt: skip
RULE: Mapping[str, Key] = MappingProxyType({
    "name": _key(RULE_NAME, "What it is called; `rule-` and these words, joined by hyphens, are the id of its reason."),
    "cel": _key(CEL, "What must be true, in CEL."),
    "message": _key(SENTENCE, "What to tell people when it is not."),
})  # fmt: skip
REQUIRED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "signers": ("model",),
        "waivers": ("model", "id", "reason", "expires"),
        "rules": ("name", "cel"),
    }
)
ENTRIES: Mapping[str, Mapping[str, Key]] = MappingProxyType({"signers": SIGNER, "waivers": WAIVER, "rules": RULE})
LIMITS: Mapping[str, int] = MappingProxyType({"signers": 200, "waivers": 1000, "rules": 50, "models": 1000})

VERSION = 1

SECTIONS_MEANING: Mapping[str, str] = MappingProxyType(
    {
        "require": "Which evidence must be there.",
        "require.sensitivity": "How sharp the record of the behaviour must be.",
        "licences": "Under which terms.",
        "origins": "From whom.",
        "findings": "What may be wrong with the files.",
        "formats": "How the files may be stored.",
        "changes": "What an upgrade may change.",
        "signers": "Whom to trust. A model may be signed by any of those whose pattern it matches.",
        "models": "Other values for some models, by pattern; the most specific counts last.",
        "waivers": "What is allowed all the same, why, and until when.",
        "rules": "Whatever else must be true, in CEL. Takes `pip install 'mbom[cel]'`.",
    }
)


def members(prefix: str) -> dict[str, str]:
    """Return the names right below a section (the file itself is ``""``), each with its way through the file."""
    found = {}
    for path in KEYS:
        if path.startswith(prefix):
            name = path.removeprefix(prefix).partition(".")[0]
            found[name] = prefix + name
    return found
