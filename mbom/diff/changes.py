"""What differs between two models, as data: what ``mbom diff --json`` prints and the gate and the report are made from.

Nothing is left out silently: a part that could not be compared is None, and ``notes`` says why and what would help.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Literal

from mbom.inventory import Finding
from mbom.strictjson import Json

SCHEMA = "urn:mbom:diff:v1"

FileStatus = Literal["renamed", "changed", "added", "removed"]
# In the order in which a tensor is asked: ``resharded`` is equal in bytes and lies in another file, ``re-encoded`` has
# equal values in other bytes, which only the weights themselves or their sketches show.
TensorStatus = Literal["renamed", "resharded", "re-encoded", "changed", "added", "removed"]

# What fields belong to. The ids are public: policies freeze sections by these names.
SECTIONS = (
    "identity",
    "config",
    "generation",
    "architecture",
    "parameters",
    "quantisation",
    "tokenizer",
    "chat-template",
    "licence",
    "restrictions",
    "lineage",
    "origin",
    "openness",
    "code",
)

# Explanations of a change of weights; as public.
EXPLANATIONS: Mapping[str, str] = {
    "re-encoding": "the same values in another encoding",
    "quantisation": "quantised by a known recipe, derived again bit for bit",
    "lora-merge": "a low-rank adapter merged into some modules",
    "direction-ablation": "one direction projected out of matrices that write to the residual stream",
    "model-merge": "a weighted mean of two models",
    "vocabulary-extension": "rows for further tokens, the old ones kept",
    "experts-pruned": "experts left out, the others kept",
    "experts-duplicated": "experts there more than once",
    "experts-permuted": "the same experts in another order",
    "layers-dropped": "layers left out, the others kept",
    "layers-repeated": "layers there more than once",
    "few-weights-edit": "a few isolated weights changed: a bit flip, or an edit",
    "full-fine-tune": "all or most weights trained further",
}

# ``explained``: nothing but rounding is left. ``consistent``: it fits, and cannot be proven from what is at hand.
ExplanationOutcome = Literal["explained", "consistent"]
Basis = Literal["weights", "sketches"]


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two models.

    Attributes:
        label: what the user named it by.
        kind: whether that was a bundle or a checkpoint.
        name: what people call the model.
        repo: the repository; None for a folder.
        revision: the commit; None for a folder.
        digest: the model digest.
        attested: the time that its statement claims; None without one.
        record: whether a behaviour record is at hand.
        files: whether the checkpoint's files are at hand.
    """

    label: str
    kind: Literal["bundle", "checkpoint"]
    name: str
    repo: str | None
    revision: str | None
    digest: str
    attested: str | None
    record: bool
    files: bool


@dataclass(frozen=True, kw_only=True)
class FileChange:
    """A file that is not the same on both sides; what the side that lacks it would say is None."""

    status: FileStatus
    name: str
    old_name: str | None
    role: str
    old_sha256: str | None
    new_sha256: str | None
    old_size: int | None
    new_size: int | None


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """How a tensor is stored: safetensors dtype, shape, and the file."""

    dtype: str
    shape: tuple[int, ...]
    file: str


@dataclass(frozen=True, kw_only=True)
class TensorChange:
    """A tensor that is not the same on both sides."""

    status: TensorStatus
    name: str
    old_name: str | None
    old: StoredTensor | None
    new: StoredTensor | None


@dataclass(frozen=True, kw_only=True)
class Files:
    """The files: how many are byte for byte the same under the same name, and all others, sorted by name."""

    identical: int
    changes: tuple[FileChange, ...]


@dataclass(frozen=True, kw_only=True)
class Tensors:
    """The tensors: how many have each status, ``identical`` among them, and those that have not, sorted by name.

    ``resharded`` ones are counted and not listed.
    """

    counts: Mapping[str, int]
    changes: tuple[TensorChange, ...]


@dataclass(frozen=True, kw_only=True)
class FieldChange:
    """A fact that is not the same: its section, its name there, and both values; None where a side lacks it."""

    section: str
    name: str
    old: Json
    new: Json


@dataclass(frozen=True, kw_only=True)
class TokenChange:
    """A token, and its id on either side; None where it is missing."""

    token: str
    old_id: int | None
    new_id: int | None


@dataclass(frozen=True, kw_only=True)
class TokenizerChange:
    """What became of the vocabulary: how many tokens were added, moved to another id or removed, and the first of each.

    Attributes:
        listed: at most ``mbom.diff.facts.tokenizer.LISTED`` of each kind, by id.
    """

    added: int
    moved: int
    removed: int
    listed: tuple[TokenChange, ...]


@dataclass(frozen=True, kw_only=True)
class TemplateChange:
    """A chat template that is not the same: digests of its text, and a unified diff where both texts are at hand."""

    name: str
    old_sha256: str | None
    new_sha256: str | None
    lines: tuple[str, ...] | None


@dataclass(frozen=True, kw_only=True)
class WeightChange:
    """How much a weight changed, in the values that a model computes with.

    Attributes:
        name: as in the behaviour record, or of the tensor.
        layer: its decoder layer, None outside of those.
        role: its name without numbers of layers and experts.
        elements: how many values it has.
        basis: whether the figures are exact or estimated from sketches.
        relative: Frobenius norm of the change in units of the old norm; infinite where that is zero.
        error: the stated error of ``relative``, which it is within in 95 of 100 cases; 0 where it is exact.
        unchanged: the share of its elements that are equal; None from sketches.
        largest: the largest absolute change of an element; None from sketches.
        rank: effective rank of the change, see ``mbom.diff.values.weights``; None where it has none or nobody looked.
        rank_unknown: why nobody can tell the rank, where somebody looked.
        experts: experts that changed, where it is sketched or stored by expert, and ``of`` how many there are.
    """

    name: str
    layer: int | None
    role: str
    elements: int
    basis: Basis
    relative: float
    error: float
    unchanged: float | None = None
    largest: float | None = None
    rank: int | None = None
    rank_unknown: str | None = None
    experts: tuple[int, ...] = ()
    of: int = 1


@dataclass(frozen=True, kw_only=True)
class RoleChange:
    """All weights of one role in one layer, or of one layer (``role`` is None), together; as in ``WeightChange``.

    ``relative`` is to the norm of those that changed.
    """

    layer: int | None
    role: str | None
    weights: int
    changed: int
    elements: int
    basis: Basis
    relative: float
    error: float
    unchanged: float | None = None
    largest: float | None = None


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What became of the values.

    Attributes:
        basis: as in ``WeightChange``.
        compared: weights that both sides have in the same shape, and ``equal`` how many of them are the same.
        changed: those that are not, in the order of layers.
        by_role: the same by layer and role.
        by_layer: the same by layer.
        only_old: weights that only the old side has, by name.
        only_new: weights that only the new side has.
        notes: what was compared in another way than by the values of a stock class, and why.
    """

    basis: Basis
    compared: int
    equal: int
    changed: tuple[WeightChange, ...]
    by_role: tuple[RoleChange, ...]
    by_layer: tuple[RoleChange, ...]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A named reason for the change of weights that was tested.

    Attributes:
        id: one of ``EXPLANATIONS``.
        outcome: ``explained`` only where nothing but rounding is left.
        sentence: what was found, for people.
        weights: how many weights it accounts for, ``names`` the first of them.
        residual: what is left, relative to the change; 0 where it was derived bit for bit, None where nobody can tell.
        details: figures by name, such as ``rank``, ``modules``, ``share``, ``recipe``, ``layers``.
    """

    id: str
    outcome: ExplanationOutcome
    sentence: str
    weights: int
    names: tuple[str, ...]
    residual: float | None
    details: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A likely next token: its text where that is known, and its probability."""

    id: int
    text: str | None
    probability: float


@dataclass(frozen=True, kw_only=True)
class PromptChange:
    """What became of one prompt: mean KL divergence in nats, top-1 agreement, and the likeliest tokens at its end."""

    prompt: str
    positions: int
    kl: float
    top1_agreement: float
    old: tuple[Answer, ...]
    new: tuple[Answer, ...]


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """What became of the answers, over the same prompts: KL divergences from the old to the new, in nats.

    Attributes:
        same: whether the records match by the rule of ``mbom.behaviour.compare``.
        positions: over which the figures are.
        kl_mean: a lower bound where the most likely tokens of both sides are not the same, see
            ``mbom.diff.facts.behaviour``.
        kl_largest: the largest at any position.
        top1_agreement: share of positions whose likeliest token is the same.
        prompts: by prompt, the most changed first.
    """

    same: bool
    positions: int
    kl_mean: float
    kl_largest: float
    top1_agreement: float
    prompts: tuple[PromptChange, ...]


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Everything that differs.

    Attributes:
        old: what was.
        new: what is.
        files: byte by byte.
        tensors: as stored.
        fields: facts.
        tokenizer: None where a vocabulary is not at hand, see ``notes``; zeros where nothing changed.
        templates: chat templates that are not the same.
        findings_new: findings that the old model did not have, and ``findings_gone`` the reverse.
        weights: None where neither weights nor comparable sketches are at hand on both sides.
        explanations: those that hold, the one that accounts for most first.
        behaviour: None where not both sides hold records under the same prompts.
        notes: what could not be compared, and why.
    """

    old: Side
    new: Side
    files: Files
    tensors: Tensors
    fields: tuple[FieldChange, ...]
    tokenizer: TokenizerChange | None
    templates: tuple[TemplateChange, ...]
    findings_new: tuple[Finding, ...]
    findings_gone: tuple[Finding, ...]
    weights: Weights | None
    explanations: tuple[Explanation, ...]
    behaviour: Behaviour | None
    notes: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Whether both are the same files: equal model digests."""
        return self.old.digest == self.new.digest

    @property
    def differs(self) -> bool:
        """Whether there is anything to say: other files, or the same files of which different things are said."""
        said = (self.fields, self.templates, self.findings_new, self.findings_gone)
        return not self.identical or any(said) or (self.behaviour is not None and not self.behaviour.same)

    def to_dict(self) -> dict[str, Json]:
        """Return the changes as JSON, as ``schemas/diff.schema.json`` describes it; infinities are None."""
        told = plain(self)
        assert isinstance(told, dict)
        return {"schema": SCHEMA, "identical": self.identical, **told}


def plain(value: object) -> Json:
    """Return a part of the result of a diff as JSON; infinities are None."""
    if is_dataclass(value):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    assert value is None or isinstance(value, str | int | bool), type(value)
    return value
