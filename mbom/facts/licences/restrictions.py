"""What the licences of a checkpoint restrict, each restriction with the place that states it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from mbom.facts.licences.declared import Declared, policy_terms
from mbom.facts.licences.matching import Match, lines_of
from mbom.facts.licences.table import Term, table
from mbom.facts.licences.texts import LicenceText
from mbom.facts.places import Place

Basis = Literal["text", "reference", "declared", "hub"]


@dataclass(frozen=True, kw_only=True)
class Restriction:
    """A restriction on the use of the checkpoint, and where it was read.

    Attributes:
        kind: of ``vocabulary.RESTRICTIONS``.
        value: a number, a name, a region or an address, as the kind says.
        scope: in words.
        licence: the key of the licence or policy that has it, or the hub's id of a family all of which has it; None
            for what the hub says.
        basis: ``text`` where a file of the checkpoint states it; ``reference`` where a file there makes it hold by
            naming a licence or policy that states it; ``declared`` where the card names a licence that has it and no
            file holds that; ``hub`` where the hub says so.
        place: of the words that the basis means; None for the hub.
    """

    kind: str
    value: str | None
    scope: str | None
    licence: str | None
    basis: Basis
    place: Place | None


def restrictions(
    declared: Sequence[Declared], texts: Sequence[LicenceText], *, card: Place, gated: str | None
) -> tuple[Restriction, ...]:
    """Return every restriction once for each place that states it, by kind, licence and place.

    Args:
        declared: the licences of the card.
        texts: the licence and policy files.
        card: where the card declares a licence.
        gated: the hub's word for how access is granted; None where it is not restricted, or nobody asked.
    """
    held = {key for text in texts for key in text.keys}
    found = {item for text in texts for match in text.matches for item in _of_match(text, match, held)}
    for item in declared:
        if held.isdisjoint(item.keys):
            licence = item.keys[0] if len(item.keys) == 1 else item.label
            found.update(_restriction(term, licence, "declared", card) for term in item.terms)
    if gated is not None:
        found.add(Restriction(kind="gated", value=gated, scope=None, licence=None, basis="hub", place=None))
    return tuple(sorted(found, key=lambda item: (item.kind, item.licence or "", str(item.place), item.basis)))


def _of_match(text: LicenceText, match: Match, held: set[str]) -> Iterator[Restriction]:
    """Yield what one licence in a file restricts, with the policies that it makes part of itself.

    A licence that is there word for word restricts all that it does also where the file holds its short notice only;
    of an altered one, only what its words still say is known.
    """
    assert text.words is not None  # it has a match
    entry = table().entries[match.key]
    stated = dict(match.stated)
    for term in entry.terms:
        if term in stated:
            yield _restriction(term, entry.key, "text", Place(file=text.file, line=stated[term]))
        elif match.how != "altered":
            yield _restriction(term, entry.key, "reference", Place(file=text.file, line=match.line))
    clause = next((line for term, line in match.stated if term.kind == "acceptable-use-policy"), None)
    if clause is None and match.how == "altered":
        return
    for policy, term in policy_terms(entry):
        if policy.key not in held:
            here = dict(lines_of(text.words, policy))  # a licence may carry its policy as an appendix
            place = Place(file=text.file, line=here.get(term, clause or match.line))
            yield _restriction(term, policy.key, "text" if term in here else "reference", place)


def _restriction(term: Term, licence: str, basis: Basis, place: Place) -> Restriction:
    return Restriction(kind=term.kind, value=term.value, scope=term.scope, licence=licence, basis=basis, place=place)
