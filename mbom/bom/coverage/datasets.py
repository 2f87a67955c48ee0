"""Rules about the data sets that the BOM names: an element holds when it holds for each of them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from mbom.bom.coverage.answers import Answer, settle
from mbom.bom.coverage.view import DATASET_REF, Node, View

_NONE = "the BOM names no data set"


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set: a component, or an entry of the model card; ``link`` is the model card's member that names it."""

    node: Node
    link: Node | None

    @property
    def descriptions(self) -> tuple[Node, ...]:
        """The objects that describe the data: those of a component, or the entry itself."""
        return tuple(self.node["data"].each()) or (self.node,)


def datasets(view: View) -> list[Dataset]:
    """Return the data sets that the model card names, and the other components that are data sets."""
    found, taken = [], set()
    for entry in view.parameters["datasets"].each():
        ref = entry["ref"]
        if isinstance(ref.value, str):
            node = view.by_ref.get(ref.value, Node(ref.pointer))
            taken.add(node.pointer)
            found.append(Dataset(node=node, link=ref))
        elif isinstance(entry.value, dict):
            found.append(Dataset(node=entry, link=entry["name"]))
    found += [Dataset(node=node, link=None) for node in view.components if _is_one(node) and node.pointer not in taken]
    return found


def _is_one(node: Node) -> bool:
    kinds = [item["type"].value for item in node["data"].each()]
    return node["type"].value == "data" and (node["bom-ref"].text.startswith(DATASET_REF) or "dataset" in kinds)


def _each(what: str, nodes: Callable[[Dataset], Iterable[Node]]) -> Callable[[View], Answer]:
    """Return a rule that wants something of every data set; all of it is somebody's word."""

    def answer(view: View) -> Answer:
        held = datasets(view)
        parts = [view.stated(nodes(dataset)) for dataset in held]
        without = sum(not part for part in parts)
        return settle(*parts, lacking=f"{without} of {len(held)} data sets have no {what}" if held else _NONE)

    return answer


def _contents(dataset: Dataset) -> Iterator[Node]:
    for item in dataset.descriptions:
        yield item["contents"]["attachment"]["content"]
        yield from _statistics_of(item)


def _statistics(dataset: Dataset) -> Iterator[Node]:
    for item in dataset.descriptions:
        yield from _statistics_of(item)


def _statistics_of(item: Node) -> Iterator[Node]:
    yield from (entry["value"] for entry in item["contents"]["properties"].each())


def _identifiers(dataset: Dataset) -> Iterator[Node]:
    yield dataset.node["purl"]
    yield from dataset.node["swhid"].each()
    yield from (item["contents"]["url"] for item in dataset.descriptions)


def _digests(dataset: Dataset) -> Iterator[Node]:
    yield from (entry["content"] for entry in dataset.node["hashes"].each())


def _governance(dataset: Dataset) -> Iterator[Node]:
    for item in dataset.descriptions:
        for role in ("custodians", "stewards", "owners"):
            for party in item["governance"][role].each():
                yield party["organization"]["name"]
                yield party["contact"]["name"]


def _sensitivity(dataset: Dataset) -> Iterator[Node]:
    for item in dataset.descriptions:
        yield item["classification"]
        yield from item["sensitiveData"].each()


def _descriptions(dataset: Dataset) -> Iterator[Node]:
    yield dataset.node["description"]
    yield from (item["description"] for item in dataset.descriptions if item is not dataset.node)


def _links(dataset: Dataset) -> Iterator[Node]:
    if dataset.link is not None:
        yield dataset.link


def _licences(dataset: Dataset) -> Iterator[Node]:
    for entry in dataset.node["licenses"].each():
        yield from (entry["license"]["id"], entry["license"]["name"], entry["expression"])


name = _each("name", lambda dataset: [dataset.node["name"]])
description = _each("description", _descriptions)
content = _each("description of what is in them", _contents)
identifier = _each("identifier", _identifiers)
digest = _each("digest", _digests)
provenance = _each("owner, custodian or steward", _governance)
statistics = _each("statistical properties", _statistics)
sensitivity = _each("classification and no note on sensitive data", _sensitivity)
dependency = _each("link from the model card", _links)
licence = _each("licence", _licences)
