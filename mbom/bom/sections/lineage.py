"""Where a model comes from, in the BOM: ancestors in its pedigree, datasets as components of their own.

What the checkpoint names is its publisher's word and is marked so, with the place. Ancestors say besides what a
comparison showed, and which commit their name meant to the hub, both on the attester's word (``bom.affidavit``). What
is not disclosed is said in ``compositions``: the files are complete, the making is not.
"""

from collections.abc import Iterator

from packageurl import PackageURL

from mbom.ancestry import Compared
from mbom.bom import affidavit
from mbom.bom.affidavit import BASE_REF, Affidavit
from mbom.bom.identity import HUB, REPOSITORY
from mbom.bom.properties import properties
from mbom.bom.sections import producer
from mbom.facts.lineage import Base, Dataset, Lineage
from mbom.strictjson import Json

DATASET_REF = "dataset:"
COMPARED_REF = "compared:sha256:"  # of an ancestor that the checkpoint does not name
NOT_DECLARED = "not declared"
NOT_NAMED = "none named"


def told(lineage: Lineage) -> Iterator[tuple[str, str]]:
    """Yield the model's properties: how much is named at all, and what replaces the model."""
    for name, held in (("base-models", lineage.bases), ("datasets", lineage.datasets)):
        yield f"lineage:{name}", f"{len(held)} named" if held else NOT_NAMED
    if lineage.successor is not None:
        yield "lineage:successor", lineage.successor


def ancestors(lineage: Lineage, said: Affidavit, time: str) -> list[Json]:
    """Return the components of a model's ancestors.

    They are the base models that the checkpoint names, each with the first comparison with a bundle of that repository,
    then those that it does not name and was compared with all the same.
    """
    left = list(said.compared)
    found: list[Json] = []
    for base in lineage.bases:
        item = next((item for item in left if (item.origin.repo or "").lower() == base.name.lower()), None)
        if item is not None:
            left.remove(item)
        found.append(_named(base, item, said, time))
    return found + [_unnamed(item, said) for item in left]


def pedigree(ancestors: list[Json]) -> dict[str, Json]:
    """Return the model's ``pedigree`` member; nothing where there is no ancestor."""
    if not ancestors:
        return {}
    notes = "named by the checkpoint, or compared by the attester; mbom:lineage:verified says what a comparison showed"
    return {"pedigree": {"ancestors": ancestors, "notes": notes}}


def datasets(lineage: Lineage) -> dict[str, Json]:
    """Return the part of the document that holds the datasets as components; nothing where none is named."""
    return {"components": [_dataset(dataset) for dataset in lineage.datasets]} if lineage.datasets else {}


def compositions(model_ref: str, lineage: Lineage, ancestors: list[Json]) -> dict[str, Json]:
    """Return the part of the document that says of what it is complete.

    Every file of the model is listed. Whether all that it was made from is named, and what ancestors and datasets
    consist of, is unknown.
    """
    refs = [str(item["bom-ref"]) for item in ancestors if isinstance(item, dict)]
    refs += [DATASET_REF + dataset.name for dataset in lineage.datasets]
    undisclosed: list[Json] = [{"aggregate": "unknown", "assemblies": [*refs]}] if refs else []
    return {
        "compositions": [
            {"aggregate": "complete", "assemblies": [model_ref]},
            {"aggregate": "unknown", "dependencies": [model_ref]},
            *undisclosed,
        ]
    }


def _named(base: Base, item: Compared | None, said: Affidavit, time: str) -> Json:
    pairs = [("lineage:relation", relation) for relation in base.relations or (NOT_DECLARED,)]
    pairs += [("lineage:declared-in", str(place)) for place in base.places]
    pairs.append(("lineage:revision", affidavit.resolved(said.observed, base.name, time)))
    if base.revision is not None:
        pairs.append(("lineage:revision:declared", base.revision))
    return _ancestor(pairs, item, said, ref=BASE_REF + base.name, name=base.name, repo=base.name)


def _unnamed(item: Compared, said: Affidavit) -> Json:
    pairs = [("lineage:relation", NOT_DECLARED), ("lineage:declared-in", NOT_NAMED)]
    pairs.append(("lineage:revision", affidavit.UNKNOWN))
    return _ancestor(
        pairs, item, said, ref=COMPARED_REF + item.model_digest, name=item.origin.name, repo=item.origin.repo
    )


def _ancestor(
    pairs: list[tuple[str, str]], item: Compared | None, said: Affidavit, *, ref: str, name: str, repo: str | None
) -> Json:
    """Return an ancestor's component; only what is named like a repository has an account, and perhaps a producer."""
    publisher = producer.account(repo)
    maker = said.producer(publisher)
    found: dict[str, Json] = {
        "type": "machine-learning-model",
        "bom-ref": ref,
        "name": name,
        "properties": properties([*pairs, *affidavit.compared(item), *producer.told(publisher, maker)]),
        **producer.manufacturer(maker),
    }
    if publisher is not None and repo is not None:
        own = repo.rpartition("/")[2]
        purl = PackageURL("huggingface", publisher, own).to_string()
        found |= {"group": publisher, "name": own, "purl": purl}
    return found


def _dataset(dataset: Dataset) -> Json:
    data: dict[str, Json] = {"type": "dataset", "name": dataset.name}
    if REPOSITORY.fullmatch(dataset.name):
        data["contents"] = {"url": f"{HUB}/datasets/{dataset.name}"}
    pairs = [("dataset:use", use) for use in dataset.uses]
    pairs += [("dataset:declared-in", str(place)) for place in dataset.places]
    return {
        "type": "data",
        "bom-ref": DATASET_REF + dataset.name,
        "name": dataset.name,
        "description": f"named in the card ({' and '.join(dataset.uses)}), nothing else disclosed",
        "data": [data],
        "properties": properties(pairs),
    }
