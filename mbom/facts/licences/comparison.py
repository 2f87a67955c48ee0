"""Where the card and the texts say different things, and where a derivative declares more rights than its base gave.

*Wider* means: the base model's licence has a binding restriction (``vocabulary.BINDING``) that the licences declared
for the derivative do not repeat. A restriction is repeated by one of the same kind; a cap by a cap that is not higher;
an exclusion of a region by one of the same region with the same scope. Attribution, patent clauses and gates do not
count. The base's licence is what its publisher gives it by the table, its policies included. Where the base, or what
the derivative declares, is not in the table, nothing is said: a comparison with an unknown text would be a guess.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mbom.facts.licences.declared import Declared, common_terms
from mbom.facts.licences.table import Term, table
from mbom.facts.licences.vocabulary import BINDING

_CAPS = frozenset({"revenue-cap", "user-cap"})


@dataclass(frozen=True, kw_only=True)
class Wider:
    """A base model whose licence has restrictions that the declared licences lack: their kinds, and the licence."""

    base: str
    licence: str
    missing: tuple[str, ...]


def disagreements(declared: Sequence[Declared], detected: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield a file and a sentence for each difference between what is declared and what texts hold.

    A declared licence differs when there are licence texts and none is it. A text differs, too, when it has a binding
    restriction that nothing declared has; the licence of some code beside the weights, being permissive, does not.

    Args:
        declared: of the card.
        detected: file and key of each licence (not policy) that was found.
    """
    found = {key for _, key in detected}
    known = {key for item in declared for key in item.keys}
    lost = [item for item in declared if _is_definite(item) and found and found.isdisjoint(item.keys)]
    texts = "; ".join(f"{file} is {table().entries[key].name}" for file, key in detected)
    for item in lost:
        yield detected[0][0], f"the card declares {item.label}; {texts}"
    if lost or not all(item.keys for item in declared):
        return
    kinds = {term.kind for item in declared for term in item.terms}
    for file, key in detected:
        extra = sorted({term.kind for term in common_terms((key,))} & BINDING - kinds)
        if declared and key not in known and extra:
            name = table().entries[key].name
            labels = ", ".join(item.label for item in declared)
            yield file, f"{name} restricts more than the card, which declares {labels}: {', '.join(extra)}"


def wider(declared: Sequence[Declared], base_models: Sequence[str]) -> Iterator[Wider]:
    """Yield each base model whose licence has binding restrictions that the declared licences lack."""
    if not declared or not all(item.keys or _is_definite(item) for item in declared):
        return
    own = [term for item in declared for term in item.terms]
    for name in base_models:
        base = table().base(name)
        if base is None:
            continue
        bound = [term for term in common_terms((base.licence,)) if term.kind in BINDING]
        missing = sorted({term.kind for term in bound if not any(_covers(mine, term) for mine in own)})
        if missing:
            yield Wider(base=name, licence=base.licence, missing=tuple(missing))


def _is_definite(item: Declared) -> bool:
    """Tell whether it is clear what is declared: it is in the table, or an open licence that is not."""
    return bool(item.keys) or item.label.casefold() in table().open_ids


def _covers(own: Term, base: Term) -> bool:
    if own.kind != base.kind:
        return False
    if own.kind in _CAPS:
        return own.value is not None and base.value is not None and int(own.value) <= int(base.value)
    if own.kind == "geographic-exclusion":
        return (own.value, own.scope) == (base.value, base.scope)
    return True
