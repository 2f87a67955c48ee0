"""What the card's words for a licence mean: the hub's ids, names that publishers give, links."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mbom.facts.card import Licence
from mbom.facts.licences.table import Entry, Term, table

OTHER = "other"  # the hub's id for whatever it has no id for; a name and a link say what it is

_SCHEME = re.compile(r"(?:https?:)?//(?:www\.)?", re.IGNORECASE)
_NAME_PARTS = re.compile(r"[^a-z0-9.+]+")
_LINK_ENDS = ("", "/", ".", "?", "#")  # what may follow the beginning of a link that is known


@dataclass(frozen=True, kw_only=True)
class Declared:
    """One licence that the card declares: in its own words, and the keys of what that may be.

    Several keys are the members of a family (``gemma``, ``openrail``) or bearers of one name (``modified-mit``); none
    means that the table does not know the words.
    """

    label: str
    keys: tuple[str, ...]

    @property
    def terms(self) -> tuple[Term, ...]:
        """The restrictions that hold whichever of the keys is meant."""
        return common_terms(self.keys)


def declared(licence: Licence | None, linked: Sequence[str]) -> tuple[Declared, ...]:
    """Return the licences that a card declares, in its order.

    Args:
        licence: as read from the card.
        linked: the keys of the licences that were found in the file that ``license_link`` names.
    """
    if licence is None:
        return ()
    return tuple(_declared(hub_id, licence, linked) for hub_id in licence.ids or (OTHER,))


def keys_of(name: str) -> tuple[str, ...]:
    """Return the keys that a name may mean: a key itself, a hub id, an SPDX id, or a ``license_name``."""
    wanted = name.casefold()
    entries = table().entries
    if name in entries:
        return (name,)
    found = _keys(entry for entry in entries.values() if wanted in entry.hub_ids or wanted == entry.spdx.casefold())
    plain = _NAME_PARTS.sub("-", wanted).strip("-")
    return found or _keys(entry for entry in entries.values() if plain in entry.names)


def is_open(name: str) -> bool | None:
    """Tell whether a licence is open as the Model Openness Framework means it; None for one that is not known.

    Args:
        name: a key of the table, a hub id, an SPDX id or a ``license_name``. Of a family whose
            members differ nothing is known.
    """
    keys = keys_of(name)
    if keys:
        found = {table().entries[key].open for key in keys}
        return found.pop() if len(found) == 1 else None
    return True if name.casefold() in table().open_ids else None


def common_terms(keys: Sequence[str]) -> tuple[Term, ...]:
    """Return the restrictions that all of several licences have, those of the policies that are part of them included.

    The phrases are those of the first.
    """
    if not keys:
        return ()
    first, *others = (all_terms(table().entries[key]) for key in keys)
    sames = [{_same(term) for term in terms} for terms in others]
    return tuple(term for term in first if all(_same(term) in same for same in sames))


def all_terms(entry: Entry) -> tuple[Term, ...]:
    """Return the restrictions of a licence and of the policies that are part of it."""
    return (*entry.terms, *(term for _, term in policy_terms(entry)))


def policy_terms(entry: Entry) -> Iterator[tuple[Entry, Term]]:
    """Yield what the policies that a licence makes part of itself restrict, beyond what it says of them itself."""
    own = {term.kind for term in entry.terms}
    for policy in (table().entries[key] for key in entry.incorporates):
        yield from ((policy, term) for term in policy.terms if term.kind not in own)


def _same(term: Term) -> tuple[str, str | None, str | None]:
    return term.kind, term.value, term.scope


def _declared(hub_id: str, licence: Licence, linked: Sequence[str]) -> Declared:
    if hub_id != OTHER:
        return Declared(label=hub_id, keys=keys_of(hub_id))
    keys = keys_of(licence.name) if licence.name else ()
    if not keys and licence.link:
        keys = tuple(linked) or _linked(licence.link)
    return Declared(label=licence.name or hub_id, keys=keys)


def _linked(link: str) -> tuple[str, ...]:
    plain = _SCHEME.sub("", link, count=1).casefold()
    return _keys(
        entry
        for entry in table().entries.values()
        for known in entry.links
        if plain.startswith(known.casefold()) and plain[len(known) : len(known) + 1] in _LINK_ENDS
    )


def _keys(entries: Iterable[Entry]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(entry.key for entry in entries))
