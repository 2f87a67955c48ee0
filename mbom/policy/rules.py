"""A policy's own rules: the variables that they speak of, and what they come to."""

import re
from collections.abc import Iterator, Sequence

from mbom.cel import evaluation
from mbom.cel.evaluation import Outcome
from mbom.policy.case import Case
from mbom.policy.decision import Reason
from mbom.policy.entries import Rule
from mbom.policy.reading import Problem
from mbom.policy.variables import NAMES, variables
from mbom.strictjson import Json

# A rule with this word says itself what follows where something is not known.
_NULL = re.compile(r"\bnull\b")


def problems(rules: Sequence[Rule]) -> tuple[Problem, ...]:
    """Return what is wrong with rules, as far as can be told without a model.

    Raises:
        UnavailableError: when the extra is not installed.
    """
    return tuple(
        Problem(
            file=rule.place.file,
            line=rule.place.line,
            column=rule.column,
            sentence=f"the rule {rule.name!r} is no expression in CEL: {error}",
        )
        for rule, error in zip(rules, evaluation.check([rule.cel for rule in rules], NAMES), strict=True)
        if error is not None
    )


def judge(rules: Sequence[Rule], case: Case) -> Iterator[Reason]:
    """Yield a reason for each rule that is not true: one that has no value refuses as well.

    Raises:
        UnavailableError: when there are rules, and the extra is not installed.
    """
    if not rules:
        return
    held = variables(case)
    known = {name: _known(value) for name, value in held.items()}
    outcomes: dict[str, Outcome] = {}
    for is_asking, facts in ((True, held), (False, known)):
        texts = [rule.cel for rule in rules if (_NULL.search(rule.cel) is not None) == is_asking]
        outcomes |= dict(zip(texts, evaluation.evaluate(texts, facts) if texts else [], strict=True))
    for rule in rules:
        outcome = outcomes[rule.cel]
        if outcome.value is True:
            continue
        told = rule.message or f"the rule {rule.name!r} is not met: {rule.cel}"
        if outcome.value is None:
            told = f"the rule {rule.name!r} could not be evaluated: {outcome.error}"
        yield Reason(
            id=rule.id,
            outcome="refuse" if outcome.value is False else "missing",
            sentence=told,
            action="see the rule in the policy",
            place=rule.place,
        )


def _known(value: Json) -> Json:
    """Return a variable without the members that nobody knows, so that whatever a rule asks of one is an error.

    In CEL null is unequal to everything and in no list, so that ``origin.country != "XX"`` would be true of a model of
    which nobody knows the country.
    """
    if not isinstance(value, dict):
        return value
    return {name: _known(member) for name, member in value.items() if member is not None}
