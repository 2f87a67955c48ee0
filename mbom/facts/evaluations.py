"""Results of evaluations that a card declares in the member ``model-index`` of its front matter.

They are the publisher's word: nobody has run anything again. The hub's form is read as its documentation gives it
(https://huggingface.co/docs/hub/model-cards, "Evaluation Results"); an entry of another form is left out and counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass

EVALUATIONS_LIMIT = 256  # kept of one card; embedding models list a thousand and more, all of which are counted
NAME_LIMIT = 120  # characters of a metric, a dataset or a value

_MEMBERS = ("type", "name")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One declared result, word for word.

    Attributes:
        metric: the metric's type, such as ``accuracy``, or its name.
        value: as it is written.
        dataset: what was evaluated on, and which part of it; None where that is not said.
    """

    metric: str
    value: str
    dataset: str | None


@dataclass(frozen=True, kw_only=True)
class Evaluations:
    """The results of a card: the first ``EVALUATIONS_LIMIT``, how many there are, and how many make no sense."""

    results: tuple[Evaluation, ...] = ()
    count: int = 0
    unreadable: int = 0


def read_evaluations(index: object) -> Evaluations:
    """Read the value of ``model-index`` as texts, lists and mappings; None where the card has none."""
    results: list[Evaluation] = []
    count = unreadable = 0
    for found in _entries(index):
        if found is None:
            unreadable += 1
            continue
        count += 1
        if len(results) < EVALUATIONS_LIMIT:
            results.append(found)
    return Evaluations(results=tuple(results), count=count, unreadable=unreadable)


def _entries(index: object) -> Iterator[Evaluation | None]:
    """Yield each result of each model of an index; None for what is none."""
    if index is None:
        return
    for model in index if isinstance(index, list) else [index]:
        results = model.get("results") if isinstance(model, dict) else None
        if not isinstance(results, list):
            yield None
            continue
        for result in results:
            metrics = result.get("metrics") if isinstance(result, dict) else None
            if not isinstance(metrics, list):
                yield None
                continue
            yield from (_evaluation(metric, result.get("dataset")) for metric in metrics)


def _evaluation(metric: object, dataset: object) -> Evaluation | None:
    name, value = _named(metric), metric.get("value") if isinstance(metric, dict) else None
    if name is None or not _is_text(value):
        return None
    parts = [_named(dataset, ("name", "type"))]
    if isinstance(dataset, dict):
        parts += [part for part in (dataset.get("config"), dataset.get("split")) if _is_text(part)]
    told = " ".join(part for part in parts if part)
    return Evaluation(metric=name, value=str(value), dataset=told or None)


def _named(item: object, members: tuple[str, ...] = _MEMBERS) -> str | None:
    """Return the first of the members that says what an object is."""
    if not isinstance(item, dict):
        return None
    return next((item[member] for member in members if _is_text(item.get(member))), None)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= NAME_LIMIT and value.isprintable()
