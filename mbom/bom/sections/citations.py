"""Where each field of the BOM comes from, as CycloneDX citations: a file and a place in it, a rule, or somebody's word.

What is quoted is attributed to the file that says it, with the JSON pointer or the line there and the revision of the
checkpoint. What is computed is attributed to mbom, with the rule; what the behaviour pass gave, to the workflow under
``formulation``. Citations point at whole objects where everything in them is from one source.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from mbom.bom import identity
from mbom.bom.properties import PREFIX, values
from mbom.bom.sections import author, licensing
from mbom.bom.sections.openness import DECLARED
from mbom.bom.sections.runtime import REF as RUNTIME_REF
from mbom.bom.sections.runtime import WORKFLOW_REF
from mbom.facts.places import Place
from mbom.facts.reading import Facts
from mbom.inventory.findings import plain
from mbom.inventory.record import Inventory
from mbom.strictjson import Json

TOOL_REF = "tool:mbom"
FILES = "$.components[0].components[*]"  # JSONPath (RFC 9535)

_HEADERS = "computed from the headers of all weight files"
_READ = "computed from the bytes of every file, each read once"
_CONFIG = "derived from config.json"
_HUB = "as the hub told mbom when the checkpoint was attested"
_TABLE = "from mbom's table of producers, or the attester's own; mbom:producer:source says which entry"
_STATED = "stated by mbom"
_BEHAVIOUR = "measured by the behaviour pass; the numbers are in behaviour.json and behaviour.safetensors"

# The rule for a property of which no single place is known, by what its name begins with; the longest one counts.
RULES = {
    "architecture:": _CONFIG,
    "architecture:assumed": "defaults of transformers' class, where the configuration is silent; the value names it",
    "behaviour": _STATED,  # that nothing was measured
    "chat-template": "SHA-256 of the text of each chat template, as a loader takes it",
    "code:": "from the names of files, and how they begin",
    "declared:": "as the hub lists them at this commit; not fetched, not verified",
    "files:": _READ,
    "footprint:": "arithmetic by the formula in the property of that name",
    "hub:": _HUB,
    "language": "quoted from the card",
    "licence:": "from the card and the texts in the checkpoint, by mbom's table of licences",
    "lineage:": "from the card and the adapter's configuration; comparisons are mbom's",
    "model:digest": _READ,
    "openness:": "by the rule in mbom:openness:rule",
    "packing": _HEADERS,
    "parameters:": _HEADERS + ", with the configuration's number of layers and experts",
    "pickle:": "listed from the opcodes of pickles, which are never run",
    "producer:": _TABLE,
    "quantisation:": _CONFIG,
    "remote-code": "from the auto_map members of the file that the value names",
    "source": _STATED,
    "stored-bytes:": _HEADERS,
    "tensors:": _HEADERS,
    "tensors:values-digest": _READ,
    "tokenizer:": "derived from the tokenizer's files, which mbom:tokenizer:file names",
}
# Members of the model that one rule accounts for, the files apart. Type and bom-ref only give the document its form.
_MEMBERS = {
    "description": "composed by mbom of class names and parameter counts",
    "hashes": identity.DIGEST_METHOD,
    "manufacturer": _TABLE,
}
_IDENTITY = ("externalReferences", "group", "name", "publisher", "purl", "version")
_FORM = ("bom-ref", "components", "evidence", "licenses", "modelCard", "pedigree", "properties", "type")
# Top-level members that mbom makes of everything else.
_OWN = ("compositions", "declarations", "definitions", "dependencies", "formulation")


@dataclass(frozen=True, order=True, kw_only=True)
class Source:
    """Where a field comes from: the bom-ref of who says it, or of the workflow that gave it, and how in words."""

    by: str
    how: str


class _Sources:
    """The pointers of each source, in the order of the document."""

    def __init__(self, inventory: Inventory) -> None:
        self.pointers: dict[Source, list[str]] = defaultdict(list)
        self._files = {file.name for file in inventory.files}
        self._revision = identity.version(inventory)

    def computed(self, pointer: str, how: str) -> None:
        """Note a field that mbom states by a rule."""
        self.pointers[Source(by=TOOL_REF, how=how)].append(pointer)

    def measured(self, pointer: str) -> None:
        """Note a field that the behaviour pass gave."""
        self.pointers[Source(by=WORKFLOW_REF, how=_BEHAVIOUR)].append(pointer)

    def quoted(self, pointer: str, places: Iterable[Place]) -> None:
        """Note a field that says what stands at places of one file."""
        found = tuple(dict.fromkeys(places))
        by = identity.file_ref(found[0].file) if found[0].file in self._files else TOOL_REF
        self.pointers[Source(by=by, how=self._at("quoted from", found))].append(pointer)

    def derived(self, pointer: str, places: Iterable[Place]) -> None:
        """Note a field that mbom concludes from places."""
        self.pointers[Source(by=TOOL_REF, how=self._at("concluded by mbom from", places))].append(pointer)

    def _at(self, how: str, places: Iterable[Place]) -> str:
        return plain(f"{how} {', '.join(str(place) for place in places)} @ {self._revision}")


def citations(document: Mapping[str, Json], inventory: Inventory, facts: Facts) -> dict[str, Json]:
    """Return the citations of a document that is otherwise finished, as a part of it.

    Args:
        document: as ``build`` has made it so far.
        inventory: of the checkpoint.
        facts: of the same checkpoint, with the place of each.
    """
    components, metadata = document["components"], document["metadata"]
    assert isinstance(components, list)
    assert isinstance(metadata, dict)
    model = components[0]
    assert isinstance(model, dict)
    sources = _Sources(inventory)
    _model(sources, model, inventory, facts)
    _card(sources, model["modelCard"], facts, measured="formulation" in document)
    _others(sources, components, facts)
    if "authors" in metadata:
        sources.pointers[Source(by=author.REF, how="given to mbom by whoever made this BOM")].append(
            "/metadata/authors"
        )
    for name in ("component", "lifecycles", "tools"):
        sources.computed(f"/metadata/{name}", _STATED)
    for name in _OWN:
        if name in document:
            sources.computed(f"/{name}", _STATED)
    time = metadata["timestamp"]
    cited: list[Json] = [
        {
            "pointers": [*pointers],
            "timestamp": time,
            "process" if source.by == WORKFLOW_REF else "attributedTo": source.by,
            "note": source.how,
        }
        for source, pointers in sorted(sources.pointers.items())
    ]
    if "components" in model:
        files = f"{_READ}; size and SHA-256 are those bytes', role and media type follow from the name"
        cited.append({"expressions": [FILES], "timestamp": time, "attributedTo": TOOL_REF, "note": files})
    return {"citations": cited}


def _model(sources: _Sources, model: dict[str, Json], inventory: Inventory, facts: Facts) -> None:
    """Cite the model's members but for the files and the card."""
    hub = inventory.origin.kind == "hub"
    origin = "the repository and the commit that the hub resolved" if hub else "the folder's name, and its model digest"
    for name in model:
        if name in _IDENTITY:
            sources.computed(f"/components/0/{name}", origin)
        elif name not in _FORM:
            sources.computed(f"/components/0/{name}", _MEMBERS[name])
    declared = [
        facts.card.places[name] for name in ("license", "license_name", "license_link") if name in facts.card.places
    ]
    for number, _ in enumerate(_list(model, "licenses")):
        sources.quoted(f"/components/0/licenses/{number}", declared)
    evidence = model.get("evidence")
    for number, item in enumerate(_list(evidence, "licenses") if isinstance(evidence, dict) else ()):
        sources.derived(f"/components/0/evidence/licenses/{number}", [Place(file=_licence_file(item))])
    _pedigree(sources, model.get("pedigree"), facts)
    told = {(claim.name, claim.value): claim.place for claim in licensing.claims(facts)}
    quoted = {"licence:declared:name", "licence:declared:link"}
    _properties(
        sources, model, "/components/0", facts, place_of=lambda name, value: told.get((name, value)), quoted=quoted
    )


def _pedigree(sources: _Sources, pedigree: Json, facts: Facts) -> None:
    if not isinstance(pedigree, dict):
        return
    sources.computed("/components/0/pedigree/notes", _STATED)
    for number, ancestor in enumerate(_list(pedigree, "ancestors")):
        pointer = f"/components/0/pedigree/ancestors/{number}"
        place = facts.lineage.places.get(str(ancestor.get("bom-ref")))
        if place is not None:
            sources.derived(pointer, [place])
        else:
            sources.computed(pointer, "compared by mbom with a bundle that the attester gave")


def _card(sources: _Sources, card: Json, facts: Facts, *, measured: bool) -> None:
    """Cite the model card: parameters, metrics, properties."""
    assert isinstance(card, dict)
    where = "/components/0/modelCard"
    task = facts.card.places.get("pipeline_tag")
    classes = facts.architecture.places.get("architecture:classes")
    known = {
        "task": (sources.quoted, task) if task else (sources.derived, classes),
        "architectureFamily": (sources.quoted, facts.architecture.places.get("architecture:model-type")),
        "modelArchitecture": (sources.quoted, classes),
        "inputs": (sources.derived, task or classes),
        "outputs": (sources.derived, task or classes),
        "datasets": (sources.derived, next(iter(dataset.places[0] for dataset in facts.lineage.datasets), None)),
    }
    parameters = card["modelParameters"]
    assert isinstance(parameters, dict)
    for name in parameters:
        cite, place = known[name]
        if place is not None:
            cite(f"{where}/modelParameters/{name}", [place])
        else:
            sources.computed(f"{where}/modelParameters/{name}", _CONFIG)
    index = facts.card.places.get("model-index")
    analysis = card.get("quantitativeAnalysis")
    for number, metric in enumerate(_list(analysis, "performanceMetrics") if isinstance(analysis, dict) else ()):
        pointer = f"{where}/quantitativeAnalysis/performanceMetrics/{number}"
        if str(metric.get("type")).startswith(DECLARED) and index is not None:
            sources.quoted(pointer, [index])
        else:
            sources.measured(pointer)
    places = {**facts.architecture.places, **facts.tokenizer.places}
    if "language" in facts.card.places:
        places["language"] = facts.card.places["language"]
    quoted = places.keys() - facts.architecture.assumed.keys()  # of these the place only names the class
    _properties(
        sources, card, where, facts, place_of=lambda name, _: places.get(name), quoted=quoted, measured=measured
    )


def _properties(
    sources: _Sources,
    item: dict[str, Json],
    where: str,
    facts: Facts,
    *,
    place_of: Callable[[str, str], Place | None],
    quoted: Iterable[str],
    measured: bool = False,
) -> None:
    """Cite properties by the place of their fact, or by the rule of their name."""
    word_for_word = frozenset(quoted)
    for number, entry in enumerate(_list(item, "properties")):
        pointer = f"{where}/properties/{number}"
        name = str(entry["name"]).removeprefix(PREFIX)
        place = place_of(name, str(entry["value"])) or facts.openness.places.get(name) or facts.lineage.places.get(name)
        if place is not None:
            cite = sources.quoted if name in word_for_word else sources.derived
            cite(pointer, [place])
        elif name.startswith("behaviour") and measured:
            sources.measured(pointer)
        else:
            sources.computed(pointer, rule(name))


def rule(name: str) -> str:
    """Return the rule by which mbom states a property of that name, given without its prefix."""
    return RULES[max((start for start in RULES if name.startswith(start)), key=len)]


def _others(sources: _Sources, components: list[Json], facts: Facts) -> None:
    """Cite the components beside the model: chat templates, datasets, the runtime."""
    templates = {f"chat-template:{each.file}#{each.name}": each.place for each in facts.chat_templates}
    for number, component in enumerate(components[1:], 1):
        assert isinstance(component, dict)
        ref, pointer = str(component["bom-ref"]), f"/components/{number}"
        place = templates.get(ref) or facts.lineage.places.get(ref)
        if place is not None:
            sources.derived(pointer, [place])
        elif ref.startswith(RUNTIME_REF):
            sources.measured(pointer)
        else:
            sources.computed(pointer, _STATED)


def _licence_file(item: dict[str, Json]) -> str:
    """Return the file that a licence in ``evidence`` was found in, which the licensing section wrote there."""
    licence = item["license"]
    assert isinstance(licence, dict)
    return values(licence, "licence:file")[0]


def _list(item: Mapping[str, Json], name: str) -> Iterator[dict[str, Json]]:
    held = item.get(name)
    for entry in held if isinstance(held, list) else ():
        assert isinstance(entry, dict)
        yield entry
