"""An inventory and its facts as a CycloneDX 1.7 document: the same input always gives the same bytes.

The typed library builds what it has types for. What it cannot express (modelCard, compositions, mime-type) is put into
the serialised document by bom-ref, and the result must pass the strict schema and our own lint before it is returned.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.lifecycle import LifecyclePhase, PredefinedLifecycle
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot7

from mbom import strictjson
from mbom.bom import affidavit, identity
from mbom.bom.affidavit import Affidavit
from mbom.bom.coverage.declaring import declare
from mbom.bom.format.lint import lint
from mbom.bom.format.schema import CURRENT, Spec, schema_problems
from mbom.bom.format.spec16 import to_1_6
from mbom.bom.mediatype import media_type
from mbom.bom.parts import join
from mbom.bom.properties import properties
from mbom.bom.sections import licensing, lineage, producer, programs
from mbom.bom.sections.citations import TOOL_REF, citations
from mbom.bom.sections.declarations import behaviour_claims, content_claims
from mbom.bom.sections.modelcard import BehaviourSummary, model_card
from mbom.bom.sections.openness import openness_parts, openness_properties
from mbom.bom.sections.runtime import runtime_parts
from mbom.errors import FormatError
from mbom.facts.reading import Facts
from mbom.inventory.record import FileRecord, Inventory
from mbom.strictjson import Json

SUBJECT_REF = "checkpoint"


def build(
    *,
    inventory: Inventory,
    facts: Facts,
    behaviour: BehaviourSummary | None,
    tool_version: str,
    created: datetime,
    said: Affidavit | None = None,
    spec: Spec = CURRENT,
) -> bytes:
    """Return bom.cdx.json.

    Args:
        inventory: the files and tensors.
        facts: of the same checkpoint.
        behaviour: None where no behaviour was recorded; the BOM then says so.
        tool_version: mbom's own.
        created: the time to state, with its zone; whole seconds of it are used.
        said: what holds on the attester's word alone; None where the attester says nothing.
        spec: the version of CycloneDX; what 1.6 has no place for is left out, and the document says so.

    Raises:
        FormatError: when the checkpoint cannot be described in a valid document, because it has too many files.
    """
    said = said or Affidavit()
    time = created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ancestors = lineage.ancestors(facts.lineage, said, time)
    maker = said.producer(identity.group(inventory.origin))
    model = _model(inventory, facts, said)
    assert model.bom_ref.value is not None
    bom = _document(model, inventory, tool_version, created)
    document: Json = json.loads(JsonV1Dot7(bom).output_as_string())
    assert isinstance(document, dict)
    injected: dict[str, dict[str, Json]] = {}
    injected[model.bom_ref.value] = {
        "modelCard": model_card(facts, behaviour),
        **licensing.part(inventory, facts),
        **lineage.pedigree(ancestors),
        **producer.manufacturer(maker),
        **_files(inventory),
    }
    _inject(document, injected)
    document["dependencies"] = _dependencies(model.bom_ref.value, inventory)
    join(document, affidavit.authors(said.author))
    programs.add_templates(document, inventory, facts, model.bom_ref.value)
    join(document, lineage.datasets(facts.lineage))
    join(document, lineage.compositions(model.bom_ref.value, facts.lineage, ancestors))
    join(document, openness_parts(facts))
    join(document, content_claims(inventory))
    join(document, behaviour_claims(behaviour, model.bom_ref.value))
    join(document, runtime_parts(behaviour, model.bom_ref.value))
    join(document, declare(document))  # it says what all of the above discloses
    join(document, citations(document, inventory, facts))  # last: it says where all of the above comes from
    problems = schema_problems(document) or lint(document)
    if problems:
        raise FormatError(f"no valid BOM can be built of this checkpoint: {problems[0]}")
    return strictjson.pretty(document if spec == CURRENT else to_1_6(document))


def _document(model: Component, inventory: Inventory, tool_version: str, created: datetime) -> Bom:
    """Return the BOM around the model, its first component: consumers look at ``components[0]``."""
    subject = Component(
        type=ComponentType.DATA,
        bom_ref=SUBJECT_REF,
        name=f"{inventory.origin.repo or inventory.origin.name} checkpoint",
        version=identity.version(inventory),
        description="The set of files that this document describes; the model that they hold is components[0].",
    )
    bom = Bom(serial_number=identity.serial_number(inventory.digest), version=1, components=[model])
    bom.metadata.timestamp = created.astimezone(UTC).replace(microsecond=0)
    bom.metadata.lifecycles = [PredefinedLifecycle(phase=LifecyclePhase.POST_BUILD)]
    bom.metadata.tools = ToolRepository(
        components=[Component(type=ComponentType.APPLICATION, bom_ref=TOOL_REF, name="mbom", version=tool_version)]
    )
    bom.metadata.component = subject
    bom.dependencies = [Dependency(subject.bom_ref, [Dependency(model.bom_ref)])]  # those of files are added as JSON
    return bom


def _model(inventory: Inventory, facts: Facts, said: Affidavit) -> Component:
    purl = identity.purl(inventory)
    group = identity.group(inventory.origin)
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=purl.to_string(),
        group=group,
        name=identity.name(inventory.origin),
        version=identity.version(inventory),
        purl=purl,
        publisher=group,
        description=_description(facts),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=inventory.digest)],
        external_references=list(_references(inventory)),
        properties=[Property(name=f"mbom:{name}", value=value) for name, value in _properties(inventory, facts, said)],
    )


def _description(facts: Facts) -> str:
    """Return one line for people."""
    parameters = facts.parameters
    counted = f"{parameters.total:,} parameters"
    if parameters.active not in (None, parameters.total):
        counted += f", {parameters.active:,} active per token"
    return f"{', '.join(facts.architecture.architectures) or 'unknown architecture'}, {counted}"


def _files(inventory: Inventory) -> dict[str, Json]:
    """Return the files as parts of the model; as JSON, because the typed library takes a millisecond for each."""
    return {"components": [_file(file) for file in inventory.files]} if inventory.files else {}


def _file(file: FileRecord) -> Json:
    return {
        "type": "file",
        "bom-ref": identity.file_ref(file.name),
        "name": file.name,
        "mime-type": media_type(file.name),
        "hashes": [{"alg": "SHA-256", "content": file.sha256}],
        "properties": properties([("file:size", str(file.size)), ("file:role", file.role)]),
    }


def _dependencies(model: str, inventory: Inventory) -> Json:
    """Return that the subject consists of the model and the model of its files, sorted by bom-ref."""
    refs = sorted(identity.file_ref(file.name) for file in inventory.files)
    held: dict[str, list[str]] = {SUBJECT_REF: [model], model: refs, **{ref: [] for ref in refs}}
    return [{"ref": ref, "dependsOn": [*on]} if on else {"ref": ref} for ref, on in sorted(held.items())]


def _references(inventory: Inventory) -> Iterator[ExternalReference]:
    for kind, url, digest in identity.references(inventory):
        hashes = [HashType(alg=HashAlgorithm.SHA_256, content=digest)] if digest else None
        yield ExternalReference(type=ExternalReferenceType(kind), url=XsUri(url), hashes=hashes)


def _properties(inventory: Inventory, facts: Facts, said: Affidavit) -> Iterator[tuple[str, str]]:
    yield "model:digest", inventory.digest
    yield "model:digest:method", identity.DIGEST_METHOD
    yield "source", inventory.origin.kind
    yield "files:count", str(len(inventory.files))
    yield "files:bytes", str(sum(file.size for file in inventory.files))
    yield "tensors:count", str(len(inventory.tensors))
    yield "tensors:bytes", str(sum(tensor.end - tensor.start for tensor in inventory.tensors))
    yield "declared:count", str(len(inventory.declared))
    for file in inventory.declared:
        yield "declared:not-fetched-not-verified", identity.declared_line(file)
    publisher = identity.group(inventory.origin)
    yield from producer.told(publisher, said.producer(publisher))
    yield from lineage.told(facts.lineage)
    yield from affidavit.observed(said.observed)
    yield from ((claim.name, claim.value) for claim in licensing.claims(facts))
    yield from programs.code_properties(facts)
    yield from openness_properties(facts)


def _inject(document: Json, by_ref: dict[str, dict[str, Json]]) -> None:
    """Add members to the objects that carry the given bom-refs; every one of them must be there."""
    left = dict(by_ref)
    pending = [document]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, dict):
            pending.extend(item.values())
            ref = item.get("bom-ref")
            if isinstance(ref, str) and ref in left:
                join(item, left.pop(ref))
    assert not left, f"no component has the bom-ref {min(left)}"
