"""Under which terms: what the card declares and what the texts are must both be allowed."""

from collections.abc import Iterator, Sequence

from mbom.bom.description import UNKNOWN, DescribedRestriction, Description
from mbom.facts.licences.table import table
from mbom.policy.case import Case
from mbom.policy.decision import Place, Reason
from mbom.policy.keys import REFUSE
from mbom.policy.settings import Settings
from mbom.policy.terms import is_known, refused

ALLOW, DENY = "licences.allow", "licences.deny"
ALLOWED_KINDS, FORBIDDEN_KINDS = "licences.allow_restrictions", "licences.forbid_restrictions"
TEXT = "licences.require_text"
DISAGREEING = ("licence-disagrees", "licence-wider-than-base")

_ASK = "ask whoever is responsible for licences; a waiver, or `licences` for this model, can allow it"
_READ = "have somebody read it; a waiver can name the file"


def judge(case: Case, settings: Settings) -> Iterator[Reason]:
    """Yield what the terms of the model have that the policy does not allow."""
    told = case.dossier.described
    yield from _licences(told, settings)
    yield from _restrictions(told, settings)
    if settings.flag(TEXT) and not any(item.match == "exact" and _grants(item.key) for item in told.licences_detected):
        yield Reason(
            id="licence-text-missing",
            outcome="missing",
            sentence="no text of a licence that mbom knows is among the files",
            action=_READ,
            place=settings.place(TEXT),
        )
    yield from _unknown(told, settings)
    if settings.word("licences.disagreement") == REFUSE and (_asks(settings, ALLOW) or _asks(settings, DENY)):
        for finding in case.dossier.inventory.findings:
            if finding.id in DISAGREEING:
                yield Reason(
                    id="licence-disagreement",
                    outcome="refuse",
                    sentence=finding.detail,
                    action=_ASK,
                    place=settings.place("licences.disagreement"),
                    path=finding.path,
                )


def _licences(told: Description, settings: Settings) -> Iterator[Reason]:
    allow, deny = settings.words(ALLOW), settings.words(DENY) or ()
    if allow is None and not deny:
        return
    for declared in told.licences_declared:
        found = refused(declared, allow, deny)
        if found is not None:
            yield _not_allowed(found, f"the card declares {declared}", None, settings)
    for item in told.licences_detected:
        # A policy of acceptable use grants nothing; what it forbids is a restriction.
        found = refused(item.id, allow if _grants(item.key) else None, deny)
        if found is not None:
            yield _not_allowed(found, f"{item.file} is {item.id}", item.file, settings)


def _not_allowed(found: str, where: str, path: str | None, settings: Settings) -> Reason:
    allow, deny = settings.words(ALLOW), settings.words(DENY) or ()
    denied = found.casefold() in {name.casefold() for name in deny} or allow is None
    ending = "which is denied" if denied else f"allowed are {_some(allow or ())}"
    return Reason(
        id="licence-not-allowed",
        outcome="refuse",
        sentence=f"{where}; {ending}",
        action=_ASK,
        place=settings.place(DENY if denied else ALLOW),
        path=path,
    )


def _restrictions(told: Description, settings: Settings) -> Iterator[Reason]:
    allowed, forbidden = settings.words(ALLOWED_KINDS), settings.words(FORBIDDEN_KINDS) or ()
    for item in told.restrictions:
        if item.kind in forbidden:
            yield _restricted(item, settings.place(FORBIDDEN_KINDS))
        elif allowed is not None and item.kind not in allowed and item.kind != UNKNOWN:
            yield _restricted(item, settings.place(ALLOWED_KINDS))


def _restricted(item: DescribedRestriction, place: Place) -> Reason:
    value = f" {item.value}" if item.value is not None else ""
    scope = f" ({item.scope})" if item.scope is not None else ""
    return Reason(
        id="restriction-not-allowed",
        outcome="refuse",
        sentence=f"{item.kind}{value}{scope}, by {item.source}",
        action=_ASK,
        place=place,
    )


def _unknown(told: Description, settings: Settings) -> Iterator[Reason]:
    """Yield what nobody knows of the terms, where any key asks for them."""
    asked = [path for path in (ALLOW, DENY, ALLOWED_KINDS, FORBIDDEN_KINDS) if _asks(settings, path)]
    if settings.word("licences.unknown") != REFUSE or not asked:
        return
    place = settings.place("licences.unknown") if "licences.unknown" in settings.given else settings.place(asked[0])
    yield from _unknown_texts(told, place)
    if DENY in asked and ALLOW not in asked:
        for declared in told.licences_declared:
            if not is_known(declared):
                yield _not_known(f"the card declares {declared}, which is no licence that anybody lists", place)
    if ALLOWED_KINDS in asked or FORBIDDEN_KINDS in asked:
        yield from _unknown_restrictions(told, settings.words(ALLOW) or (), place)


def _asks(settings: Settings, path: str) -> bool:
    """Tell whether a list asks for anything: an empty one allows nothing, or forbids nothing."""
    words = settings.words(path)
    return bool(words) or (words is not None and path in (ALLOW, ALLOWED_KINDS))


def _unknown_texts(told: Description, place: Place) -> Iterator[Reason]:
    if not told.licences_declared and not any(_grants(item.key) for item in told.licences_detected):
        yield _not_known("no licence is declared, and no text of one is among the files", place)
    for name in told.licence_texts_unknown:
        yield _not_known(f"{name} is no licence or policy that mbom knows", place, name)
    for item in told.licences_detected:
        if item.match != "exact":
            yield _not_known(f"{item.file} is {item.id} with other words in it or beside it", place, item.file)


def _unknown_restrictions(told: Description, allow: Sequence[str], place: Place) -> Iterator[Reason]:
    for restriction in told.restrictions:
        if restriction.kind == UNKNOWN:
            yield _not_known(f"a restriction that mbom does not know: {restriction.value}", place)
    for declared in _unread(told, allow):
        yield _not_known(f"the card declares {declared}, and mbom does not know what that restricts", place)


def _unread(told: Description, allow: Sequence[str]) -> Iterator[str]:
    """Yield declared licences whose restrictions nobody has read, neither for mbom nor for the policy."""
    read = {entry.spdx.casefold() for entry in table().entries.values()} | {name.casefold() for name in allow}
    for declared in told.licences_declared:
        if declared.casefold() not in read:
            yield declared


def _not_known(sentence: str, place: Place, path: str | None = None) -> Reason:
    return Reason(id="licence-unknown", outcome="missing", sentence=sentence, action=_READ, place=place, path=path)


def _grants(key: str) -> bool:
    """Tell whether an entry of the table of texts is a licence; one that nobody knows counts as one."""
    entry = table().entries.get(key)
    return entry is None or entry.kind == "licence"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5]) or "none"
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
