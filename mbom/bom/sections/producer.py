"""Who made a model: the legal entity behind the account that publishes it, as a table says, or ``unknown``.

A copy in a folder has no account. What its card says of its name would be anybody's word, so nothing is looked up.
"""

from collections.abc import Iterator

from mbom.bom.identity import REPOSITORY
from mbom.bom.properties import named
from mbom.errors import FormatError
from mbom.facts.producers import Producer
from mbom.strictjson import Fields, Json

UNKNOWN = "unknown"
_MEMBERS = {
    "producer:account": "account",
    "producer:legal-entity": "entity",
    "producer:country": "country",
    "producer:website": "website",
    "producer:source": "source",
    "producer:reviewed": "reviewed",
    "producer:table": "table",
}


def account(name: str | None) -> str | None:
    """Return the account of a repository, or None for what is not named like one."""
    return name.partition("/")[0] if name is not None and REPOSITORY.fullmatch(name) else None


def told(publisher: str | None, producer: Producer | None) -> Iterator[tuple[str, str]]:
    """Yield the properties of a component that ``publisher``, an account, has published."""
    yield "producer:account", publisher or UNKNOWN
    if producer is None:
        yield from ((f"producer:{member}", UNKNOWN) for member in ("legal-entity", "country", "source"))
        return
    yield "producer:legal-entity", producer.entity
    yield "producer:country", producer.country
    if producer.website is not None:
        yield "producer:website", producer.website
    yield "producer:source", producer.source
    yield "producer:reviewed", producer.reviewed
    yield "producer:table", producer.table


def manufacturer(producer: Producer | None) -> dict[str, Json]:
    """Return the ``manufacturer`` member of a component; nothing where it is unknown."""
    if producer is None:
        return {}
    entity: dict[str, Json] = {"name": producer.entity, "address": {"country": producer.country}}
    if producer.website is not None:
        entity["url"] = [producer.website]
    return {"manufacturer": entity}


def read(component: Json) -> Producer | None:
    """Read back what ``told`` wrote on a component; None where the producer is unknown or nothing is said.

    Raises:
        FormatError: for properties that ``told`` does not write.
    """
    held = [(name, value) for name, value in named(component) if name in _MEMBERS]
    found = dict(held)
    if len(found) != len(held):
        raise FormatError("the BOM says something of a producer twice")
    if found.get("producer:source", UNKNOWN) == UNKNOWN:
        return None
    entry: dict[str, Json] = {_MEMBERS[name]: value for name, value in found.items()}
    table = entry.pop("table", "")
    assert isinstance(table, str)
    return Producer.from_fields(Fields(entry, "the BOM: a producer"), table)
