"""An inventory and its facts as a CycloneDX 1.7 document: the same input always gives the same bytes.

The typed library builds what it has types for. What it cannot express (modelCard, compositions, mime-type) is put into
the serialised document by bom-ref, and the result must pass the strict schema and our own lint before it is returned.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType, Pedigree
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.license import DisjunctiveLicense, LicenseAcknowledgement
from cyclonedx.model.lifecycle import LifecyclePhase, PredefinedLifecycle
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot7
from cyclonedx.spdx import fixup_id
from packageurl import PackageURL

from mbom import strictjson
from mbom.bom import identity
from mbom.bom.coverage.declaring import declare
from mbom.bom.declarations import behaviour_claims, content_claims
from mbom.bom.given import Given
from mbom.bom.lint import lint
from mbom.bom.mediatype import media_type
from mbom.bom.modelcard import BehaviourSummary, model_card
from mbom.bom.openness import openness_parts, openness_properties
from mbom.bom.parts import join
from mbom.bom.properties import properties
from mbom.bom.runtime import runtime_parts
from mbom.bom.schema import schema_problems
from mbom.bom.spec16 import to_1_6
from mbom.errors import FormatError
from mbom.facts.card import CARD
from mbom.facts.reading import Facts
from mbom.inventory.record import FileRecord, Inventory
from mbom.strictjson import Json

Spec = Literal["1.6", "1.7"]

SUBJECT_REF = "checkpoint"
TOOL_REF = "tool:mbom"

_PART = r"(?:[\w.~:/@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*"  # of an address: unreserved, delimiters, percent-encoded
_LINK = re.compile(rf"https?://[A-Za-z0-9.-]+(?::[0-9]{{1,5}})?(?:/{_PART})?(?:\?{_PART})?(?:#{_PART})?", re.ASCII)


def build(
    *,
    inventory: Inventory,
    facts: Facts,
    behaviour: BehaviourSummary | None,
    tool_version: str,
    created: datetime,
    given: Given | None = None,
    spec: Spec = "1.7",
) -> bytes:
    """Return bom.cdx.json.

    Args:
        inventory: the files and tensors.
        facts: of the same checkpoint.
        behaviour: None where no behaviour was recorded; the BOM then says so.
        tool_version: mbom's own.
        created: the time to state, with its zone; whole seconds of it are used.
        given: what no checkpoint can confirm; None where there is nothing of that.
        spec: the version of CycloneDX; what 1.6 has no place for is left out, and the document says so.

    Raises:
        FormatError: when the checkpoint cannot be described in a valid document, because it has too many files.
    """
    model = _model(inventory, facts)
    assert model.bom_ref.value is not None
    bom = _document(model, inventory, tool_version, created)
    document: Json = json.loads(JsonV1Dot7(bom).output_as_string())
    assert isinstance(document, dict)
    injected: dict[str, dict[str, Json]] = {}
    injected[model.bom_ref.value] = {"modelCard": model_card(facts, behaviour), **_files(inventory)}
    _inject(document, injected)
    if given is not None and given.author is not None:
        join(document, {"metadata": {"authors": [given.author.to_dict()]}})
    document["dependencies"] = _dependencies(model.bom_ref.value, inventory)
    document["compositions"] = [
        {"aggregate": "complete", "assemblies": [model.bom_ref.value]},  # every file of the checkpoint is listed
        {"aggregate": "unknown", "dependencies": [model.bom_ref.value]},  # training data: only what the card names
    ]
    join(document, openness_parts(facts))
    join(document, content_claims(inventory))
    join(document, behaviour_claims(behaviour, model.bom_ref.value))
    join(document, runtime_parts(behaviour, model.bom_ref.value))
    join(document, declare(document))  # last: it says what all of the above discloses
    problems = schema_problems(document) or lint(document)
    if problems:
        raise FormatError(f"no valid BOM can be built of this checkpoint: {problems[0]}")
    return strictjson.pretty(document if spec == "1.7" else to_1_6(document))


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


def _model(inventory: Inventory, facts: Facts) -> Component:
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
        licenses=list(_licences(inventory, facts)),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=inventory.digest)],
        pedigree=_pedigree(facts),
        external_references=list(_references(inventory)),
        properties=[Property(name=f"mbom:{name}", value=value) for name, value in _properties(inventory, facts)],
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


def _licences(inventory: Inventory, facts: Facts) -> Iterator[DisjunctiveLicense]:
    """Yield the declared licences: by SPDX id where there is one, else by name, with the link that the card gives.

    The hub writes ids in lower case, SPDX in its own; ids of families, such as ``gpl`` or ``llama``, are no SPDX ids.
    """
    licence = facts.licence
    if licence is None:
        return
    url = _licence_link(inventory, licence.link) if len(licence.ids) < 2 else None  # else it is unclear whose it is
    for hub_id in licence.ids or ("other",):
        spdx = fixup_id(hub_id)
        name = licence.name if hub_id == "other" and licence.name else hub_id
        yield DisjunctiveLicense(
            id=spdx,
            name=None if spdx else name,
            url=XsUri(url) if url and not spdx else None,
            acknowledgement=LicenseAcknowledgement.DECLARED,
        )


def _licence_link(inventory: Inventory, link: str | None) -> str | None:
    """Return an address for the card's ``license_link``, which is one or names a file of the repository."""
    if link is None:
        return None
    if any(file.name == link for file in inventory.files):
        return identity.hub_url(inventory.origin, "blob", link)
    return link if _LINK.fullmatch(link) else None


def _pedigree(facts: Facts) -> Pedigree | None:
    """Return the base models that the card names. Nothing has compared them with this one."""
    card = facts.card
    if not card.base_models:
        return None
    ancestors = [
        Component(
            type=ComponentType.MACHINE_LEARNING_MODEL,
            bom_ref=f"base:{name}",
            group=name.rpartition("/")[0] or None,
            name=name.rpartition("/")[2] or name,
            purl=PackageURL("huggingface", name.partition("/")[0], name.partition("/")[2])
            if identity.REPOSITORY.fullmatch(name)
            else None,
            properties=[Property(name="mbom:lineage:relation", value=card.base_model_relation or "not declared")],
        )
        for name in card.base_models
    ]
    return Pedigree(ancestors=ancestors, notes=f"declared in {CARD}, not verified")


def _references(inventory: Inventory) -> Iterator[ExternalReference]:
    for kind, url, digest in identity.references(inventory):
        hashes = [HashType(alg=HashAlgorithm.SHA_256, content=digest)] if digest else None
        yield ExternalReference(type=ExternalReferenceType(kind), url=XsUri(url), hashes=hashes)


def _properties(inventory: Inventory, facts: Facts) -> Iterator[tuple[str, str]]:
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
    licence = facts.licence
    yield "licence:declared", "none" if licence is None else ", ".join(licence.ids) or "unnamed"
    if licence is not None and licence.name:
        yield "licence:declared:name", licence.name
    if licence is not None and licence.link:
        yield "licence:declared:link", licence.link
    for template in facts.chat_templates:
        yield "chat-template", f"sha256:{template.sha256} {template.file} {template.name}"
    for entry in facts.remote_code:
        yield "remote-code", entry
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
                item.update(left.pop(ref))
    assert not left, f"no component has the bom-ref {min(left)}"
