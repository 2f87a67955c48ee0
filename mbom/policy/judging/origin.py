"""From whom, how open, and how old."""

from collections.abc import Iterator

from mbom.attestation import parse_time
from mbom.errors import FormatError
from mbom.policy.case import Case
from mbom.policy.decision import Reason
from mbom.policy.judging.evidence import too_old
from mbom.policy.keys import CLASSES, REFUSE
from mbom.policy.settings import Settings

LAST_MODIFIED = "hub:last-modified"


def judge(case: Case, settings: Settings) -> Iterator[Reason]:
    """Yield what the policy does not allow of the publisher, of the openness and of the age."""
    told = case.dossier.described
    yield from _listed(settings, "countries", told.country, ("country", "the publisher's seat is in"))
    yield from _listed(settings, "publishers", told.account, ("publisher", "it was published by"))
    yield from _openness(told.openness, settings)
    yield from _changed(case, settings)


def _listed(settings: Settings, key: str, found: str | None, told: tuple[str, str]) -> Iterator[Reason]:
    name, begin = told
    for path, is_allowed in ((f"origins.allow_{key}", True), (f"origins.deny_{key}", False)):
        words = settings.words(path)
        if words is None or (not words and not is_allowed):
            continue
        if found is None:
            if settings.word("origins.unknown") == REFUSE:
                yield Reason(
                    id=f"{name}-unknown",
                    outcome="missing",
                    sentence=f"the {name} is not known",
                    action="attest it from the hub; `mbom attest --origins FILE` names producers of your own",
                    place=settings.place(path),
                )
                return
        elif (found.casefold() in {word.casefold() for word in words}) != is_allowed:
            ending = f"allowed are {', '.join(words[:5]) or 'none'}" if is_allowed else "which is denied"
            yield Reason(
                id=f"{name}-not-allowed",
                outcome="refuse",
                sentence=f"{begin} {found}; {ending}",
                place=settings.place(path),
            )


def _openness(found: str | None, settings: Settings) -> Iterator[Reason]:
    path = "min_openness"
    least = settings.word(path)
    if least is None:
        return
    named = found.casefold().replace(" ", "-") if found is not None else None
    if named is None or named not in (*CLASSES, "none"):
        yield Reason(
            id="openness-unknown", outcome="missing", sentence="its openness is not known", place=settings.place(path)
        )
    elif named == "none" or CLASSES.index(named) < CLASSES.index(least):
        yield Reason(
            id="openness-too-low",
            outcome="refuse",
            sentence=f"its class of openness is {found}; at least {least} is asked for",
            place=settings.place(path),
        )


def _changed(case: Case, settings: Settings) -> Iterator[Reason]:
    path = "max_age"
    greatest = settings.word(path)
    if greatest is None:
        return
    told = case.dossier.described.first(LAST_MODIFIED)
    try:
        made = parse_time(told, LAST_MODIFIED) if told is not None else None
    except FormatError:
        made = None
    if made is None:
        yield Reason(
            id="age-unknown",
            outcome="missing",
            sentence="the BOM does not say when the publisher last changed it",
            action="attest it from the hub",
            place=settings.place(path),
        )
        return
    yield from too_old(
        case.now, made, greatest, settings.place(path), ("model-too-old", "the publisher last changed it")
    )
