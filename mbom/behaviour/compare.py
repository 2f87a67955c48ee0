"""The comparison of two records: the same arithmetic on the same weights, or a difference with its place.

The rule, in the order in which it is applied:

1. A record that contradicts itself, or holds a number that is not finite, is ``invalid``. So is an empty one.
2. Prompts, token ids, layers, routers, experts, vocabulary, and the names and shapes of weights are equal, else
   ``mismatch``. How weights are stored is not asked: the same values in another encoding are the same model.
3. A router whose margin is below ``MARGIN`` in either record may honestly choose other experts in another run. Where
   it did, that position and all later ones of its prompt are masked from that layer on: attention carries the
   difference to later positions, nothing carries it to earlier ones. A near tie that went the same way twice masks
   nothing, because what follows is then the same function of the same input.
4. The relative error of every sketch and row projection is at most ``SKETCH_LIMIT``, that of everything else which is
   not masked at most ``ACTIVATION_LIMIT``, and router choices are equal, else ``mismatch``. Margins are compared like
   every other number, so nobody can declare a tie that is none.
5. More than ``MASKED_SHARE`` of all positions masked or with a near tie leaves the rule little to stand on:
   ``inconclusive``.
6. What is left is a ``match``, the only verdict that passes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mbom.behaviour.differences import WeightDifference, row_errors, weight_differences
from mbom.behaviour.numbers import Numbers
from mbom.behaviour.prompts import Prompt
from mbom.behaviour.record import ACTIVATION_LIMIT, MARGIN, MASKED_SHARE, SKETCH_LIMIT, Record, check
from mbom.behaviour.sketches import Sketched
from mbom.errors import FormatError
from mbom.strictjson import Json

Verdict = Literal["match", "mismatch", "inconclusive", "invalid", "not measured"]

RESIDUAL = "residual stream"

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What the comparison of two records came to.

    Attributes:
        verdict: only ``match`` passes.
        first_difference: the first one in the order of computation, in words; None unless the verdict is ``mismatch``.
            A weight comes before what is computed with it, so where one was edited, it is named.
        first_layer: the decoder layer of the first difference, None where it lies in none.
        weights: the weights that differ, in the order of computation.
        detail: one sentence for people.
        worst: the largest relative error among all activations and logits that were compared; None where none were.
        worst_sketch: the largest relative error among all sketches and row projections.
        layer_errors: the largest relative error of the residual stream after each layer.
        positions: positions of all prompts.
        near_ties: positions where a router had a margin below ``MARGIN`` in either record.
        masked_positions: positions of which some layer was masked because a near tie went the other way.
        same_model: whether both records name the same model digest; the caller decides what that means.
    """

    verdict: Verdict
    first_difference: str | None = None
    first_layer: int | None = None
    weights: tuple[WeightDifference, ...] = ()
    detail: str
    worst: float | None = None
    worst_sketch: float | None = None
    layer_errors: tuple[float, ...] = ()
    positions: int = 0
    near_ties: int = 0
    masked_positions: int = 0
    same_model: bool | None = None

    @property
    def passed(self) -> bool:
        """Whether the verdict is ``match``."""
        return self.verdict == "match"

    def to_dict(self) -> dict[str, Json]:
        """Return the comparison as JSON."""
        return {
            "verdict": self.verdict,
            "first_difference": self.first_difference,
            "first_layer": self.first_layer,
            "weights": [difference.to_dict() for difference in self.weights],
            "detail": self.detail,
            "worst": self.worst,
            "worst_sketch": self.worst_sketch,
            "layer_errors": list(self.layer_errors),
            "positions": self.positions,
            "near_ties": self.near_ties,
            "masked_positions": self.masked_positions,
            "same_model": self.same_model,
        }


def not_measured(reason: str) -> Comparison:
    """Return the outcome where nobody measured again."""
    return Comparison(verdict="not measured", detail=reason)


def invalid(reason: str) -> Comparison:
    """Return the outcome where a record could not be read."""
    return Comparison(verdict="invalid", detail=reason)


def compare(reference: Record, measured: Record) -> Comparison:
    """Compare a record with a fresh measurement by the rule above; which is the reference changes words only."""
    for role, record in (("reference", reference), ("measurement", measured)):
        try:
            check(record)
        except FormatError as error:
            return invalid(f"the {role} contradicts itself: {error}")
    if reference.challenge != measured.challenge:
        return invalid(
            f"the reference answers the challenge {reference.challenge!r}, the measurement {measured.challenge!r}: "
            "only records of one challenge can be compared"
        )
    if reference.key != measured.key:
        return invalid(
            f"a challenge is drawn for one checkpoint: the reference is of {reference.model_digest}, "
            f"the measurement of {measured.model_digest}"
        )
    same_model = reference.model_digest == measured.model_digest
    other = _other_shape(reference, measured)
    if other is not None:
        return Comparison(verdict="mismatch", first_difference=other, detail=other, same_model=same_model)
    return _Walk(reference, measured).comparison(same_model=same_model)


def _other_shape(reference: Record, measured: Record) -> str | None:
    """Name the first difference that leaves no numbers to compare, None where both have the same outline."""
    for expected, found in zip(reference.prompts, measured.prompts, strict=True):
        if expected != found:
            return _other_prompt(expected, found)
    for name in ("vocabulary", "layers", "experts"):
        before, after = getattr(reference.coverage, name), getattr(measured.coverage, name)
        if before != after:
            return f"coverage: {name} is {_short(after)}, the reference has {_short(before)}"
    layers, others = reference.numbers.router_layers.tolist(), measured.numbers.router_layers.tolist()
    if layers != others:
        return f"routers: in the layers {_short(others)}, the reference has {_short(layers)}"
    chosen, other = reference.numbers.router_ids.shape[2], measured.numbers.router_ids.shape[2]
    if chosen != other:
        return f"routers: {other} experts per token, the reference has {chosen}"
    return _other_weights(reference, measured)


def _other_weights(reference: Record, measured: Record) -> str | None:
    before = {weight.name: weight for weight in reference.weights}
    after = {weight.name: weight for weight in measured.weights}
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            return f"weights: {name} of the reference is missing"
        if name not in before:
            return f"weights: {name} is not in the reference"
        if before[name] != after[name]:
            return f"weights: {_outline(after[name])}, the reference has {_outline(before[name])}"
    if (reference.embedding, reference.head) != (measured.embedding, measured.head):
        return "weights: another one is the embedding or the output head than in the reference"
    return None


def _outline(weight: Sketched) -> str:
    used = "" if weight.executed else ", not executed"
    return f"{weight.name} {list(weight.shape)} in {weight.slices} slices{used}"


def _other_prompt(expected: Prompt, found: Prompt) -> str:
    if expected.id != found.id:
        return f"prompts: {found.id} where the reference has {expected.id}: a tokenizer appeared or went away"
    if len(expected.token_ids) != len(found.token_ids):
        return (
            f"token ids of prompt {found.id}: {len(found.token_ids)} ids, the reference has {len(expected.token_ids)}"
        )
    for position, (token, other) in enumerate(zip(expected.token_ids, found.token_ids, strict=True)):
        if token != other:
            return f"token ids of prompt {found.id}: {other} at position {position}, the reference has {token}"
    return f"prompt {found.id}: rendered as {found.variant}, the reference as {expected.variant}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


@dataclass(frozen=True, kw_only=True)
class _Stage:
    """One array, or one layer of it, at all N positions.

    ``errors`` (N,) are relative, ``wrong`` (N,) marks what the rule refuses among what ``compared`` (N,) lets it see;
    ``describe`` puts the difference at one position into words.
    """

    name: str
    errors: Floats
    wrong: Mask
    compared: Mask
    describe: Callable[[int], str]
    layer: int | None = None


class _Walk:
    """Two records of the same outline, walked in the order in which a model computes."""

    def __init__(self, reference: Record, measured: Record) -> None:
        self.reference, self.measured = reference, measured
        self.prompts = reference.prompts
        self.old, self.new = reference.numbers, measured.numbers
        self.texts = (_texts(reference), _texts(measured))
        lengths = [len(prompt.token_ids) for prompt in self.prompts]
        self.starts = np.cumsum([0, *lengths])
        near = np.minimum(self.old.router_margin, self.new.router_margin) < MARGIN  # (R, N)
        self.near_ties: Mask = np.logical_or.reduce(near, axis=0)  # (N,)
        self.decided_until = self._decided_until(near)

    def _decided_until(self, near: Mask) -> NDArray[np.int64]:
        """Return for each position the first layer at which it, or an earlier one of its prompt, is masked.

        That a difference reaches later positions only in the next layer is true of most architectures; masking them
        from the same layer on needs no such assumption. L stands for never.
        """
        turned = near & (self.old.router_ids != self.new.router_ids).any(axis=2)  # (R, N)
        layers = self.old.router_layers.astype(np.int64)[:, None]  # (R, 1)
        first = np.where(turned, layers, self.old.layers).min(axis=0, initial=self.old.layers)  # (N,)
        spans = zip(self.starts[:-1], self.starts[1:], strict=True)
        return np.concatenate([np.minimum.accumulate(first[start:end]) for start, end in spans])

    def comparison(self, *, same_model: bool) -> Comparison:
        """Walk all stages and apply points 4 to 6 of the rule."""
        weights, worst_sketch = weight_differences(self.reference, self.measured)
        worst, layer_errors, first = 0.0, [], None
        for stage in self._stages():
            error = float(stage.errors[stage.compared].max(initial=0.0))
            worst = max(worst, error)
            if stage.name.startswith(RESIDUAL):
                layer_errors.append(error)
            if first is None and (stage.wrong & stage.compared).any():
                first = stage
        difference, layer = self._first(weights, first)
        verdict, detail = self._verdict(difference, worst, weights, worst_sketch)
        return Comparison(
            verdict=verdict,
            first_difference=difference,
            first_layer=layer,
            weights=tuple(weights),
            detail=detail,
            worst=worst,
            worst_sketch=worst_sketch,
            layer_errors=tuple(layer_errors),
            positions=self.old.positions,
            near_ties=int(self.near_ties.sum()),
            masked_positions=int(self._masked.sum()),
            same_model=same_model,
        )

    def _first(self, weights: list[WeightDifference], stage: _Stage | None) -> tuple[str | None, int | None]:
        """Put the first difference into words, and name its layer.

        A weight that differs explains what is computed with it and after it. Only what differs in an earlier layer
        than the first such weight has another cause, such as the configuration.
        """
        if weights:
            layer = weights[0].weight.layer
            earlier = stage is not None and stage.layer is not None and layer is not None and stage.layer < layer
            if not earlier:
                return str(weights[0]), layer
        if stage is not None:
            return self._name(stage), stage.layer
        return self._other_text(), None

    @property
    def _masked(self) -> Mask:
        return self.decided_until < self.old.layers

    def _verdict(
        self, difference: str | None, worst: float, weights: list[WeightDifference], worst_sketch: float
    ) -> tuple[Verdict, str]:
        total = self.old.positions
        undecided = int((self.near_ties | self._masked).sum())
        if difference is not None:
            changed = f"{len(weights)} of {len(self.reference.weights)} weights changed"
            return "mismatch", (
                f"first difference: {difference}; {changed}, activations differ by up to {worst:.1e} relative"
            )
        if undecided > MASKED_SHARE * total:
            return "inconclusive", (
                f"{undecided:,} of {total:,} positions hang on a near tie between experts or keys "
                f"(margin below {MARGIN:.0e}), at most {MASKED_SHARE:.0%} may"
            )
        return "match", (
            f"{total:,} positions through {self.old.layers} layers agree within {worst:.1e}, "
            f"allowed {ACTIVATION_LIMIT:.0e}, {len(self.reference.weights):,} weights within {worst_sketch:.1e}, "
            f"allowed {SKETCH_LIMIT:.0e}; {int(self._masked.sum())} positions masked"
        )

    def _stages(self) -> Iterator[_Stage]:
        routers = {layer: router for router, layer in enumerate(self.old.router_layers.tolist())}
        for layer in range(self.old.layers):
            if layer in routers:
                yield from self._router(routers[layer], layer)
            errors = row_errors(self.old.residual_projection[layer], self.new.residual_projection[layer])
            compared = self.decided_until > layer
            yield _numeric(f"{RESIDUAL} after layer {layer}", errors, compared, layer=layer)
        yield from self._output()

    def _router(self, router: int, layer: int) -> Iterator[_Stage]:
        """Yield the margins, which depend on what came before the choice, then the choice itself."""
        errors = _margin_errors(self.old.router_margin[router], self.new.router_margin[router])
        yield _numeric(f"margin of the router of layer {layer}", errors, self.decided_until >= layer, layer=layer)
        before, after = self.old.router_ids[router], self.new.router_ids[router]  # (N, K)

        def describe(position: int) -> str:
            return f"experts {_listed(after[position])}, the reference chose {_listed(before[position])}"

        yield _Stage(
            name=f"router of layer {layer}",
            errors=np.zeros(self.old.positions),
            wrong=(before != after).any(axis=1),
            compared=self.decided_until > layer,
            describe=describe,
            layer=layer,
        )

    def _output(self) -> Iterator[_Stage]:
        """Yield what the output head computes from the residual stream after the last layer."""
        old, new, compared = self.old, self.new, ~self._masked
        yield _numeric("logits", row_errors(old.logits_projection, new.logits_projection), compared)
        yield _numeric("log-sum-exp of the logits", _errors(old.logsumexp, new.logsumexp), compared)
        errors = _errors(old.top_logprobs, new.top_logprobs).max(axis=1)
        yield _numeric("top log-probabilities", errors, compared)
        moved = _moved_tokens(old, new)
        yield _Stage(
            name="top tokens",
            errors=np.zeros(old.positions),
            wrong=np.isin(np.arange(old.positions), list(moved)),
            compared=compared,
            describe=lambda position: moved[position],
        )

    def _other_text(self) -> str | None:
        """Name a token of which the summaries give two texts: one of them misleads its readers."""
        before, after = self.texts
        for prompt, token in sorted(before.keys() & after.keys()):
            was, became = before[prompt, token], after[prompt, token]
            if was != became:
                return f"text of token {token} after prompt {prompt}: {became!r}, the reference says {was!r}"
        return None

    def _name(self, stage: _Stage) -> str:
        position = int(np.argmax(stage.wrong & stage.compared))
        prompt = int(np.searchsorted(self.starts, position, side="right")) - 1
        place = f"prompt {self.prompts[prompt].id} position {position - int(self.starts[prompt])}"
        return f"{stage.name}, {place}: {stage.describe(position)}"


def _numeric(name: str, errors: Floats, compared: Mask, *, layer: int | None = None) -> _Stage:
    def describe(position: int) -> str:
        return f"relative error {errors[position]:.1e}, allowed {ACTIVATION_LIMIT:.0e}"

    # Written so that an error that is no number would be wrong too.
    wrong = ~(errors <= ACTIVATION_LIMIT)
    return _Stage(name=name, errors=errors, wrong=wrong, compared=compared, describe=describe, layer=layer)


def _errors(before: Floats, after: Floats) -> Floats:
    """Return the error of each number, relative to it or to one, whichever is larger.

    Logarithms of probabilities near one are near zero; their noise is that of the logits they were subtracted from.
    """
    return np.abs(before - after) / np.maximum(1, np.maximum(np.abs(before), np.abs(after)))


def _margin_errors(before: Floats, after: Floats) -> Floats:
    """Return the errors of margins, where two infinite ones are equal and one against a number differs wholly."""
    infinite = np.isinf(before) | np.isinf(after)
    errors = _errors(np.where(infinite, 0, before), np.where(infinite, 0, after))
    return np.where(infinite, np.where(before == after, 0.0, 1.0), errors)


def _moved_tokens(old: Numbers, new: Numbers) -> dict[int, str]:
    """Return by position what is wrong with the top tokens beyond an honest tie.

    Rows of a vocabulary that were never trained often hold equal weights, so that their tokens tie exactly and sort
    either way, and at the end of the list either may be left out.
    """
    moved = {}
    for position in np.flatnonzero((old.top_ids != new.top_ids).any(axis=1)).tolist():
        before = dict(zip(old.top_ids[position].tolist(), old.top_logprobs[position].tolist(), strict=True))
        after = dict(zip(new.top_ids[position].tolist(), new.top_logprobs[position].tolist(), strict=True))
        wrong = _moved_token(before, after)
        if wrong is not None:
            moved[position] = wrong
    return moved


def _moved_token(before: dict[int, float], after: dict[int, float]) -> str | None:
    # A token that is not listed is at most as likely as the last that is.
    last_before, last_after = min(before.values()), min(after.values())
    for token in sorted(before.keys() | after.keys()):
        was, became = before.get(token, last_before), after.get(token, last_after)
        if not abs(was - became) <= ACTIVATION_LIMIT * max(1.0, abs(was), abs(became)):
            return f"token {token} has log-probability {became:.9g}, the reference {was:.9g}"
    return None


def _texts(record: Record) -> dict[tuple[str, int], str | None]:
    return {(summary.prompt, token.id): token.text for summary in record.summaries for token in summary.tokens}


def _listed(ids: NDArray[np.uint16]) -> str:
    return ", ".join(str(expert) for expert in ids.tolist())
