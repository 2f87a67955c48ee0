"""The record of one measurement: ``behaviour.json`` for people, bound to ``behaviour.safetensors`` with the numbers."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mbom import strictjson
from mbom.behaviour import deployed, runtime, sketches
from mbom.behaviour import numbers as arrays
from mbom.behaviour import prompts as prompt_sets
from mbom.behaviour.coverage import Coverage, check_counts
from mbom.behaviour.deployed import Deployed
from mbom.behaviour.numbers import Numbers
from mbom.behaviour.projection import FIXED, challenge_key
from mbom.behaviour.prompts import FIXED_SET, Prompt
from mbom.behaviour.runtime import Runtime
from mbom.behaviour.sketches import Flip, Sketched
from mbom.digest import is_sha256, sha256
from mbom.errors import FormatError
from mbom.strictjson import Fields, Json

SCHEMA = "urn:mbom:behaviour:v3"
JSON_NAME = "behaviour.json"
NUMBERS_NAME = "behaviour.safetensors"
JSON_LIMIT = 16 << 20  # two thousand token ids take 20 kB, the list of weights 150 bytes each
STRING_LIMIT = 200  # characters of a nonce or the text of a token
SUMMARY_TOKENS = 5

# The rule of the comparison. A record repeats it so that people see it there; nobody can write another.
ACTIVATION_LIMIT = (
    1e-9  # relative error; honest float64 noise is about 1e-15, one bfloat16 ulp in one weight about 1e-7
)
SKETCH_LIMIT = 1e-12  # relative error of sketches and row projections, which no computation amplifies
MARGIN = 1e-6  # relative; below it two honest runs may choose different experts
MASKED_SHARE = 0.05  # of all positions; more that are undecided leave too little to compare
_LIMITS = {
    "relative_error": ACTIVATION_LIMIT,
    "sketch_error": SKETCH_LIMIT,
    "router_margin": MARGIN,
    "masked_share": MASKED_SHARE,
}


@dataclass(frozen=True, kw_only=True)
class TopToken:
    """One likely next token: its text where a tokenizer could tell, and its probability to six digits."""

    id: int
    text: str | None
    probability: float


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The likeliest tokens after the last position of one prompt, the likeliest first; for people, not for checking."""

    prompt: str
    tokens: tuple[TopToken, ...]


@dataclass(frozen=True, kw_only=True)
class Record:
    """One measurement of one checkpoint.

    Attributes:
        model_digest: the identity of the checkpoint.
        prompts: what was measured on.
        runtime: where and with what.
        coverage: how much of the checkpoint the prompts exercised.
        weights: every weight by ascending name, in the order of their sketches.
        embedding: the name of the embedding among them.
        head: the name of the output head among them, None where it is the embedding.
        numbers: the arrays.
        summaries: the likeliest tokens after each prompt.
        sensitivity: trials of single weights moved by one unit in the last place; empty where none was asked for.
        deployed: how far an ordinary run in a narrow type was from this one, None where nobody asked; advisory.
        challenge: the nonce that prompts and signs depend on, None for the fixed record.
        prompt_set: the name of the versioned set of prompts.
    """

    model_digest: str
    prompts: tuple[Prompt, ...]
    runtime: Runtime
    coverage: Coverage
    weights: tuple[Sketched, ...]
    embedding: str
    head: str | None
    numbers: Numbers
    summaries: tuple[Summary, ...]
    sensitivity: tuple[Flip, ...] = ()
    deployed: Deployed | None = None
    challenge: str | None = None
    prompt_set: str = FIXED_SET

    @property
    def key(self) -> bytes:
        """The key that tails of prompts and signs are drawn under."""
        return FIXED if self.challenge is None else challenge_key(self.model_digest, self.challenge)

    @property
    def positions(self) -> int:
        """Token positions of all prompts together."""
        return sum(len(prompt.token_ids) for prompt in self.prompts)

    def sketches(self) -> Iterator[NDArray[np.float64]]:
        """Yield the sketch of each weight, (slices, values)."""
        start = 0
        for weight in self.weights:
            yield self.numbers.sketches[start : start + weight.size].reshape(weight.slices, weight.values)
            start += weight.size

    def to_safetensors(self) -> bytes:
        """Return ``behaviour.safetensors``: equal records give equal bytes.

        Raises:
            FormatError: when the record would not be read back, for example because a logit is NaN.
        """
        check(self)
        return self.numbers.to_bytes()

    def to_json(self) -> bytes:
        """Return ``behaviour.json``, which names the digest of ``to_safetensors()``.

        Raises:
            FormatError: as ``to_safetensors``.
        """
        tensors = self.to_safetensors()
        limits: dict[str, Json] = dict(_LIMITS)
        return strictjson.pretty(
            {
                "schema": SCHEMA,
                "model_digest": self.model_digest,
                "challenge": self.challenge,
                "prompt_set": self.prompt_set,
                "prompts": [
                    {
                        "id": prompt.id,
                        "kind": prompt.kind,
                        "variant": prompt.variant,
                        "token_ids": list(prompt.token_ids),
                        "top_tokens": [
                            {"id": token.id, "text": token.text, "probability": token.probability}
                            for token in summary.tokens
                        ],
                    }
                    for prompt, summary in zip(self.prompts, self.summaries, strict=True)
                ],
                "runtime": self.runtime.to_dict(),
                "coverage": self.coverage.to_dict(),
                "weights": [weight.to_dict() for weight in self.weights],
                "embedding": self.embedding,
                "head": self.head,
                "sensitivity": [flip.to_dict() for flip in self.sensitivity],
                "deployed": None if self.deployed is None else self.deployed.to_dict(),
                "limits": limits,
                "numbers": {"name": NUMBERS_NAME, "sha256": sha256(tensors), "size": len(tensors)},
            }
        )

    @classmethod
    def from_bytes(cls, json: bytes, tensors: bytes) -> "Record":
        """Read both documents strictly.

        Whether the record belongs to the checkpoint at hand (``model_digest``) is for the caller to decide.

        Raises:
            FormatError: on anything missing, extra, of a wrong type or shape, not finite, or inconsistent.
        """
        document = strictjson.loads(json, what=JSON_NAME, limit=JSON_LIMIT)
        fields = Fields(document, JSON_NAME)
        fields.constant("schema", SCHEMA)
        _check_binding(fields.object("numbers"), tensors)
        _check_limits(fields.object("limits"))
        entries = [_prompt(entry) for entry in fields.objects("prompts")]
        record = cls(
            model_digest=fields.sha256("model_digest"),
            challenge=fields.text_or_null("challenge"),
            prompt_set=fields.text("prompt_set"),
            prompts=tuple(prompt for prompt, _ in entries),
            summaries=tuple(summary for _, summary in entries),
            runtime=Runtime.from_fields(fields.object("runtime")),
            coverage=Coverage.from_fields(fields.object("coverage")),
            weights=tuple(Sketched.from_fields(entry) for entry in fields.objects("weights")),
            embedding=fields.text("embedding"),
            head=fields.text_or_null("head"),
            deployed=_deployed(fields.raw("deployed")),
            sensitivity=tuple(Flip.from_fields(entry) for entry in fields.objects("sensitivity")),
            numbers=Numbers.from_bytes(tensors, what=NUMBERS_NAME),
        )
        fields.end()
        check(record)
        return record


def summarise(prompts: Sequence[Prompt], numbers: Numbers, decode: Callable[[int], str | None]) -> tuple[Summary, ...]:
    """Return the likeliest tokens after each prompt; ``decode`` gives the text of one token id, or None."""
    summaries = []
    last = -1
    for prompt in prompts:
        last += len(prompt.token_ids)
        top = zip(numbers.top_ids[last, :SUMMARY_TOKENS].tolist(), numbers.top_logprobs[last].tolist(), strict=False)
        tokens = tuple(
            TopToken(id=token, text=_clean(decode(token)), probability=_probability(logprob)) for token, logprob in top
        )
        summaries.append(Summary(prompt=prompt.id, tokens=tokens))
    return tuple(summaries)


def _clean(text: str | None) -> str | None:
    """Return at most ``STRING_LIMIT`` characters that UTF-8 can carry; a hostile tokenizer names tokens as it likes."""
    return None if text is None else text[:STRING_LIMIT].encode(errors="replace").decode()


def _probability(logprob: float) -> float:
    return float(f"{math.exp(min(logprob, 0.0)):.6g}")


def check(record: Record) -> None:
    """Refuse a record that contradicts itself.

    Raises:
        FormatError: naming the first contradiction.
    """
    if not is_sha256(record.model_digest):
        raise FormatError(f"{JSON_NAME}: the model digest {record.model_digest[:80]!r} is no SHA-256")
    if record.prompt_set != FIXED_SET:
        raise FormatError(f"{JSON_NAME}: the prompt set {record.prompt_set[:80]!r} is unknown, only {FIXED_SET!r} is")
    runtime.check(record.runtime, what=JSON_NAME)
    check_counts(record.coverage, what=JSON_NAME)
    if record.challenge is not None:
        check_nonce(record.challenge, what=f"{JSON_NAME}: challenge")
    prompt_sets.check(record.prompts, record.coverage.vocabulary, record.key, what=JSON_NAME)
    sketches.check(record.weights, layers=record.coverage.layers, sketches=record.numbers.sketches.size, what=JSON_NAME)
    sketches.check_flips(record.sensitivity, record.weights, what=JSON_NAME)
    if record.deployed is not None:
        deployed.check(record.deployed, what=f"{JSON_NAME}: deployed")
    _check_ends(record)
    _check_executed(record)
    arrays.check(
        record.numbers,
        positions=record.positions,
        vocabulary=record.coverage.vocabulary,
        experts=record.coverage.experts,
        what=NUMBERS_NAME,
    )
    _check_coverage(record)
    _check_summaries(record)


def _deployed(value: Json) -> Deployed | None:
    return None if value is None else Deployed.from_fields(Fields(value, f"{JSON_NAME}: deployed"))


def _check_ends(record: Record) -> None:
    """Refuse an embedding or an output head that is no matrix of the list with a row for each token."""
    shapes = {weight.name: weight.shape for weight in record.weights if weight.executed and weight.slices == 1}
    for name in (record.embedding, record.head):
        if name is None:
            continue
        shape = shapes.get(name, ())
        if len(shape) != 2 or shape[0] != record.coverage.vocabulary:
            raise FormatError(
                f"{JSON_NAME}: {name[:80]!r} is no weight with a row for each of {record.coverage.vocabulary} tokens"
            )
    if record.head == record.embedding or (record.head is None) != (record.numbers.head_rows.size == 0):
        rows = record.numbers.head_rows.size
        raise FormatError(f"{JSON_NAME}: the head is {record.head!r}, but {NUMBERS_NAME} has {rows} head_rows")


def _check_executed(record: Record) -> None:
    """Refuse weights that are not executed where every tensor is, and the other way round."""
    idle = [weight.name for weight in record.weights if not weight.executed]
    if bool(idle) != bool(record.coverage.tensors_not_executed):
        raise FormatError(
            f"{JSON_NAME}: {len(idle)} weights are not executed, but "
            f"{len(record.coverage.tensors_not_executed)} tensors are not"
        )


def check_nonce(nonce: str, *, what: str) -> None:
    """Refuse a nonce that two people could not write alike.

    Raises:
        FormatError: with ``what`` as the name of the thing.
    """
    if not 1 <= len(nonce) <= STRING_LIMIT or not nonce.isprintable() or nonce != nonce.strip():
        raise FormatError(
            f"{what}: the nonce {nonce[:80]!r} is not 1 to {STRING_LIMIT} printable characters without blanks around it"
        )


def _check_binding(fields: Fields, tensors: bytes) -> None:
    fields.constant("name", NUMBERS_NAME)
    size, expected = fields.integer("size"), fields.sha256()
    fields.end()
    if len(tensors) != size:
        raise FormatError(f"{NUMBERS_NAME}: {len(tensors)} bytes where {JSON_NAME} says {size}")
    found = sha256(tensors)
    if found != expected:
        raise FormatError(f"{NUMBERS_NAME}: its SHA-256 is {found} where {JSON_NAME} says {expected}")


def _check_limits(fields: Fields) -> None:
    for name, value in _LIMITS.items():
        found = fields.number(name)
        if found != value:
            raise FormatError(f"{fields.what}: {name!r} is {found}, this version of the record has {value}")
    fields.end()


def _prompt(fields: Fields) -> tuple[Prompt, Summary]:
    kind = fields.text("kind")
    if kind not in prompt_sets.KINDS:
        raise FormatError(f"{fields.what}: the kind {kind[:80]!r} is none of {', '.join(prompt_sets.KINDS)}")
    variant = fields.raw("variant")
    if variant is not None and variant not in prompt_sets.VARIANTS:
        raise FormatError(f"{fields.what}: the variant {str(variant)[:80]!r} is unknown")
    prompt = Prompt(id=fields.text("id"), kind=kind, variant=variant, token_ids=fields.integers("token_ids"))
    tokens = []
    for entry in fields.objects("top_tokens"):
        text = entry.raw("text")
        if text is not None and not isinstance(text, str):
            raise FormatError(f"{entry.what}: 'text' is neither a string nor null")
        tokens.append(TopToken(id=entry.integer("id"), text=text, probability=entry.number("probability")))
        entry.end()
    fields.end()
    return prompt, Summary(prompt=prompt.id, tokens=tuple(tokens))


def _check_coverage(record: Record) -> None:
    """Refuse a coverage other than the one that prompts and router choices show."""
    claimed = record.coverage
    shown = Coverage.of(
        record.prompts,
        record.numbers,
        experts=claimed.experts,
        vocabulary=claimed.vocabulary,
        tensors_read=claimed.tensors_read,
        tensors_not_executed=claimed.tensors_not_executed,
    )
    for name, value in shown.to_dict().items():
        if claimed.to_dict()[name] != value:
            hint = " in ascending order" if name == "tensors_not_executed" else ""
            raise FormatError(
                f"{JSON_NAME}: coverage: {name} is {claimed.to_dict()[name]}, prompts and numbers show {value}{hint}"
            )


def _check_summaries(record: Record) -> None:
    shown = summarise(record.prompts, record.numbers, lambda _: None)
    if [summary.prompt for summary in record.summaries] != [summary.prompt for summary in shown]:
        raise FormatError(f"{JSON_NAME}: the summaries are not those of the prompts")
    for claimed, expected in zip(record.summaries, shown, strict=True):
        what = f"{JSON_NAME}: prompt {claimed.prompt}: top_tokens"
        if [token.id for token in claimed.tokens] != [token.id for token in expected.tokens]:
            raise FormatError(f"{what} are not the first {SUMMARY_TOKENS} of top_ids in {NUMBERS_NAME}")
        for token, other in zip(claimed.tokens, expected.tokens, strict=True):
            # The sixth digit may fall either way where another machine's exp differs in its last bit.
            if not math.isclose(token.probability, other.probability, rel_tol=1e-5):
                raise FormatError(f"{what}: {token.id} has probability {token.probability}, not {other.probability}")
            if token.text is not None and len(token.text) > STRING_LIMIT:
                raise FormatError(f"{what}: {token.id} has a text of more than {STRING_LIMIT} characters")
