"""What a checkpoint says that it was made from: base models with their relation, and datasets, each with its place.

All of it is the publisher's word. Where a relation is not declared it stays so: the hub infers one, this does not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from mbom.facts.card import CARD, Card
from mbom.facts.members import Members, read_object
from mbom.facts.places import Place
from mbom.inventory.record import Finding

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER = "adapter"
RELATIONS = (ADAPTER, "finetune", "merge", "quantized")  # the hub's words
NAMED_LIMIT = 256  # base models, and datasets, of one checkpoint, wherever they are named

_TAG = "base_model:"  # the hub's own tags, which authors copy: base_model:ORG/NAME and base_model:RELATION:ORG/NAME


@dataclass(frozen=True, kw_only=True)
class Base:
    """A model that this one is said to be made from.

    Attributes:
        name: as it is written, mostly ``org/name``; adapters sometimes name a folder of whoever trained them.
        relations: of ``RELATIONS``, ascending; several where the places contradict each other, none where none is
            declared.
        revision: of the base, where the checkpoint names one.
        places: where it is named.
    """

    name: str
    relations: tuple[str, ...] = ()
    revision: str | None = None
    places: tuple[Place, ...] = field(default=(), compare=False)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset that the card names; ``uses`` says as what: ``training`` or ``evaluation``, or both."""

    name: str
    uses: tuple[str, ...]
    places: tuple[Place, ...] = field(default=(), compare=False)


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """Base models and datasets in the order in which they are named, and the model that is said to replace this one.

    ``places`` holds the first place of each by the bom-ref of its component (``base:NAME``, ``dataset:NAME``), and that
    of the successor by ``lineage:successor``.
    """

    bases: tuple[Base, ...] = ()
    datasets: tuple[Dataset, ...] = ()
    successor: str | None = None
    places: Mapping[str, Place] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, kw_only=True)
class _Naming:
    """One place that names a base model."""

    name: str
    place: Place
    relation: str | None = None
    revision: str | None = None


def read_lineage(card: Card, adapter: bytes | None) -> tuple[Lineage, tuple[Finding, ...]]:
    """Read what a checkpoint says of its descent.

    Args:
        card: its card.
        adapter: the bytes of adapter_config.json, where there is one.

    Returns:
        The lineage, and findings for what adapter_config.json holds and cannot be used.
    """
    own, findings = _adapter(adapter)
    namings = list(islice((*_card(card), *own), 2 * NAMED_LIMIT))
    names = list(dict.fromkeys(naming.name for naming in namings))[:NAMED_LIMIT]
    bases = tuple(_base(name, [naming for naming in namings if naming.name == name]) for name in names)
    datasets = _datasets(card)
    places = {f"base:{base.name}": base.places[0] for base in bases}
    places |= {f"dataset:{data.name}": data.places[0] for data in datasets}
    if card.successor is not None:
        places["lineage:successor"] = _place(card, "new_version")
    return Lineage(bases=bases, datasets=datasets, successor=card.successor, places=places), findings


def _base(name: str, namings: list[_Naming]) -> Base:
    return Base(
        name=name,
        relations=tuple(sorted({naming.relation for naming in namings if naming.relation is not None})),
        revision=next((naming.revision for naming in namings if naming.revision is not None), None),
        places=tuple(dict.fromkeys(naming.place for naming in namings)),
    )


def _card(card: Card) -> Iterator[_Naming]:
    """Yield what the card names: its own member, and the hub's tags where the author wrote them."""
    for name in card.base_models:
        yield _Naming(name=name, place=_place(card, "base_model"), relation=card.base_model_relation)
    for tag in card.tags:
        if not tag.startswith(_TAG):
            continue
        relation, colon, name = tag.removeprefix(_TAG).partition(":")
        named = name if colon else relation
        if named:
            declared = relation if colon and relation in RELATIONS else None
            yield _Naming(name=named, place=_place(card, "tags"), relation=declared)


def _adapter(data: bytes | None) -> tuple[list[_Naming], tuple[Finding, ...]]:
    """Return the one base that PEFT's configuration names, with the revision that it was trained on."""
    if data is None:
        return [], ()
    document, findings = read_object(ADAPTER_CONFIG, data)
    if document is None:
        return [], findings
    members = Members(ADAPTER_CONFIG, document)
    name = members.text("base_model_name_or_path", fact="name")
    revision = members.text("revision")
    if name is None:
        return [], tuple(members.findings)
    naming = _Naming(name=name, place=members.places["name"], relation=ADAPTER, revision=revision)
    return [naming], tuple(members.findings)


def _datasets(card: Card) -> tuple[Dataset, ...]:
    named = [(name, "training", _place(card, "datasets")) for name in card.datasets]
    named += [(name, "evaluation", _place(card, "model-index")) for name in card.evaluated]
    names = list(dict.fromkeys(name for name, _, _ in named))[:NAMED_LIMIT]
    return tuple(
        Dataset(
            name=name,
            uses=tuple(use for found, use, _ in named if found == name),
            places=tuple(place for found, _, place in named if found == name),
        )
        for name in names
    )


def _place(card: Card, member: str) -> Place:
    """Return where the card has a member; the whole card where it was not read from a file."""
    return card.places.get(member, Place(file=CARD))
