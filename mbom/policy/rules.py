"""A policy's own rules: the variables that they speak of, and what they come to."""

from collections.abc import Iterator, Sequence

from mbom.cel import evaluation
from mbom.policy.case import Case
from mbom.policy.decision import Reason
from mbom.policy.entries import Rule
from mbom.policy.reading import Problem
from mbom.policy.variables import NAMES, variables


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
    outcomes = evaluation.evaluate([rule.cel for rule in rules], variables(case))
    for rule, outcome in zip(rules, outcomes, strict=True):
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
