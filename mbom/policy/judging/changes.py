"""What an upgrade may change: nothing is asked of a first model."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from mbom.diff.changes import Changes
from mbom.inventory.roles import CHAT_TEMPLATE, CODE, LICENCE, TOKENIZER, role
from mbom.policy.case import Case
from mbom.policy.decision import Place, Reason
from mbom.policy.keys import KEYS, REFUSE, WEIGHTS
from mbom.policy.measures import largest_change, unread, upper, weights_changed
from mbom.policy.settings import Settings

NAMED = 4  # changed things that a sentence spells out
PACKED = (".gguf", ".nemo")  # files of weights that hold tokenizer and template too

# Sections that whole files belong to: their bytes count, whether or not the facts in them could be compared. A file is
# what its attester says, and what its name says.
_ROLES = {"tokenizer": TOKENIZER, "chat-template": CHAT_TEMPLATE, "code": CODE, "licence": LICENCE}
UNKNOWN = "changes.unknown"
_PATHS = tuple(path for path in KEYS if path.startswith("changes.") and path != UNKNOWN)
_COMPARE = "compare the checkpoints themselves, or attest both with their behaviour"
_READ = "give `mbom gate` both: --checkpoint NAME=PATH and --old-checkpoint NAME=PATH; a waiver can allow it"


def judge(case: Case, settings: Settings) -> Iterator[Reason]:
    """Yield what changed that must not, and what is not known of the change where the policy asks for it."""
    for reason in _judged(case, settings):
        is_let = reason.outcome == "missing" and settings.word(UNKNOWN) != REFUSE
        yield replace(reason, outcome="note") if is_let else reason


def _judged(case: Case, settings: Settings) -> Iterator[Reason]:
    if case.changes is None:
        limits = asked(settings)
        if case.previous is not None and limits:
            yield _unknown("nothing was compared with the model that it replaces", settings.place(limits[0]))
        return
    for section in settings.words("changes.frozen") or ():
        changed = list(dict.fromkeys(_changed(case.changes, section)))
        if changed:
            yield _frozen(section, changed, settings.place("changes.frozen"))
        packed = [name for name in unread(case.changes) if name.lower().endswith(PACKED)]
        if section in ("tokenizer", "chat-template") and packed and not changed:
            sentence = f"{_named(packed)} changed, and can hold the {section}, which is frozen"
            yield _unknown(sentence, settings.place("changes.frozen"))
    yield from _forbidden(case.changes, settings)
    yield from _size(case.changes, settings)
    yield from _answers(case.changes, settings)


def asked(settings: Settings) -> list[str]:
    """Return the keys that limit what may change."""
    # Zero is a limit, and in Python equal to False.
    values = {path: settings.value(path) for path in _PATHS}
    return [path for path, value in values.items() if value is not None and value is not False and value != ()]


def _changed(changes: Changes, section: str) -> Iterator[str]:
    """Yield the names of what is not the same in a section."""
    if section == WEIGHTS:
        if weights_changed(changes):
            yield from (item.name for item in changes.tensors.changes if item.status != "re-encoded")
            yield from unread(changes)
            yield WEIGHTS
        return
    for field in changes.fields:
        if field.section == section:
            yield field.name
    for file in changes.files.changes:
        if _ROLES.get(section) in (file.role, role(file.name)) and file.status != "renamed":
            yield file.name
    if section == "tokenizer" and changes.tokenizer is not None:
        counts = changes.tokenizer.added, changes.tokenizer.moved, changes.tokenizer.removed
        if any(counts):
            yield "{} tokens added, {} moved, {} removed".format(*counts)
    if section == "chat-template":
        yield from (template.name for template in changes.templates)


def _frozen(section: str, changed: list[str], place: Place) -> Reason:
    return Reason(
        id="frozen-part-changed",
        outcome="refuse",
        sentence=f"{section} is frozen, and changed: {_named(changed)}",
        action="look at `mbom diff`; a waiver can allow it",
        place=place,
    )


def _forbidden(changes: Changes, settings: Settings) -> Iterator[Reason]:
    path = "changes.forbid"
    forbidden = settings.words(path) or ()
    for explanation in changes.explanations:
        if explanation.id in forbidden:
            yield Reason(
                id="change-forbidden",
                outcome="refuse",
                sentence=f"{explanation.id} ({explanation.outcome}): {explanation.sentence}",
                action="look at `mbom diff`; a waiver can allow it",
                place=settings.place(path),
            )
    moved = weights_changed(changes)
    re_encoded = "re-encoding" in forbidden and changes.tensors.counts.get("re-encoded", 0) > 0
    if forbidden and (moved or re_encoded):
        lack = _unlooked(changes)
        if lack is not None:
            told = f"the stored weights differ, and whether by {_either(forbidden)} nobody could look: {lack}"
            yield _unknown(told, settings.place(path), action=_READ)
    path = "changes.require_explained"
    if not settings.flag(path) or not moved:
        return
    # An explanation is of the values that were read.
    if unread(changes) or not any(item.outcome == "explained" for item in changes.explanations):
        yield Reason(
            id="change-unexplained",
            outcome="refuse",
            sentence="the weights changed, and no explanation leaves nothing but rounding",
            action=_COMPARE,
            place=settings.place(path),
        )


def _either(ids: Sequence[str]) -> str:
    return ids[0] if len(ids) == 1 else f"{', '.join(ids[:-1])} or {ids[-1]}"


def _unlooked(changes: Changes) -> str | None:
    """Return why no explanation was looked for in all that changed; None where one was.

    A sketch tells by how much a weight changed. What kind of change it was takes the values.
    """
    files = unread(changes)
    if files:
        return f"{_named(files)} cannot be read as tensors"
    if changes.weights is None:
        return "there is nothing to look at on both sides"
    return "there are only sketches of the values" if changes.weights.basis != "weights" else None


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


def _size(changes: Changes, settings: Settings) -> Iterator[Reason]:
    path = "changes.max_relative_change"
    limit = settings.number(path)
    if limit is None or not weights_changed(changes):
        return
    place = settings.place(path)
    weights = changes.weights
    if weights is None:
        yield _unknown("the weights changed, and nobody knows by how much", place)
        return
    files = unread(changes)
    if files:
        yield _unknown(f"{_named(files)} changed, and cannot be read as tensors", place)
    largest = largest_change(changes)
    # A weight without a counterpart has no relative change.
    alone = (*weights.only_old, *weights.only_new)
    if largest is None or alone:
        told = f"{len(alone):,} weights are on one side only, such as {alone[0]}" if alone else "no layer was compared"
        yield _unknown(told, place)
    if largest is not None and upper(largest) > limit:
        layer = f"layer {largest.layer}" if largest.layer is not None else "what lies outside of the layers"
        estimate = f" ± {largest.error:.2g}, so at most by {upper(largest):.3g}," if largest.error else ""
        yield Reason(
            id="change-too-large",
            outcome="refuse",
            sentence=f"{layer} changed by {largest.relative:.3g}{estimate} of its norm; at most {limit:g} is allowed",
            action="look at `mbom diff`; a waiver can allow it",
            place=place,
        )


def _answers(changes: Changes, settings: Settings) -> Iterator[Reason]:
    if changes.identical:
        return
    most, least = "changes.max_kl", "changes.min_top1_agreement"
    limits = [path for path in (most, least) if settings.has(path)]
    behaviour = changes.behaviour
    if limits and behaviour is None:
        yield _unknown("nobody knows by how much the answers changed", settings.place(limits[0]))
        return
    if behaviour is None:
        return
    limit, share = settings.number(most), settings.number(least)
    if limit is not None and not behaviour.kl_mean <= limit:
        yield _other(f"a mean KL divergence of {behaviour.kl_mean:.3g}; at most {limit:g}", settings.place(most))
    if share is not None and not behaviour.top1_agreement >= share:
        told = f"the same likeliest token at {behaviour.top1_agreement:.1%} of the positions; at least {share:.1%}"
        yield _other(told, settings.place(least))


def _other(told: str, place: Place) -> Reason:
    sentence = f"the answers have {told} is allowed"
    return Reason(id="answers-changed", outcome="refuse", sentence=sentence, action="look at `mbom diff`", place=place)


def _unknown(sentence: str, place: Place, *, action: str = _COMPARE) -> Reason:
    return Reason(id="changes-unknown", outcome="missing", sentence=sentence, action=action, place=place)
