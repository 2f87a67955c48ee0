"""The components of a BOM as SPDX elements: models, datasets, files, and packages for whatever else there is."""

from collections.abc import Iterator

from mbom import strictjson
from mbom.bom.properties import PREFIX, values
from mbom.bom.spdx.graph import Graph
from mbom.bom.spdx.licensing import license_component
from mbom.bom.spdx.taking import member, moment, objects, pairs, text, texts, uri
from mbom.strictjson import Json

MODEL = "machine-learning-model"
MODEL_KIND, DATASET_KIND, FILE_KIND, PACKAGE_KIND = (
    "ai_AIPackage", "dataset_DatasetPackage", "software_File", "software_Package",
)  # fmt: skip
# What the classes ask for and the validators of the model do not (SPDX 3.0.1, "External properties restrictions").
REQUIRED = {
    MODEL_KIND: (
        "releaseTime", "suppliedBy", "software_downloadLocation", "software_packageVersion", "software_primaryPurpose"
    ),
    DATASET_KIND: (
        "builtTime", "originatedBy", "releaseTime", "software_downloadLocation", "software_primaryPurpose"
    ),
}  # fmt: skip

_PURPOSES = {
    "application": "application", "container": "container", "data": "data", "device": "device",
    "device-driver": "deviceDriver", "file": "file", "firmware": "firmware", "framework": "framework",
    "library": "library", MODEL: "model", "operating-system": "operatingSystem", "platform": "platform",
}  # fmt: skip
_ROLES = {
    "weights": "model", "index": "manifest", "config": "configuration", "tokenizer": "data", "chat-template": "data",
    "code": "source", "licence": "documentation", "policy": "documentation", "card": "documentation",
}  # fmt: skip
_ALGORITHMS = {
    "MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512",
    "SHA3-256": "sha3_256", "SHA3-384": "sha3_384", "SHA3-512": "sha3_512", "BLAKE2b-256": "blake2b256",
    "BLAKE2b-384": "blake2b384", "BLAKE2b-512": "blake2b512", "BLAKE3": "blake3",
}  # fmt: skip
_REFERENCES = {
    "vcs": "vcs", "issue-tracker": "issueTracker", "documentation": "documentation", "model-card": "documentation",
    "license": "license", "support": "support", "release-notes": "releaseNotes", "advisories": "securityAdvisory",
    "security-contact": "securityOther", "chat": "chat", "mailing-list": "mailingList", "social": "socialMedia",
    "risk-assessment": "riskAssessment", "quality-metrics": "metrics", "distribution": "altDownloadLocation",
    "website": "altWebPage", "attestation": "secureSoftwareAttestation", "certification-report": "certificationReport",
}  # fmt: skip
# Properties of a model card that say how the model is built; other generators' are taken whole.
_HYPERPARAMETERS = ("architecture:", "parameters:", "quantisation", "packing", "tokenizer:")


def kind_of(component: dict[str, Json]) -> str:
    """Return the SPDX class of a component."""
    if component.get("type") == MODEL:
        return MODEL_KIND
    if component.get("type") == "file":
        return FILE_KIND
    described = [text(entry, "type") for entry in objects(component, "data")]
    reference = text(component, "bom-ref") or ""
    if component.get("type") == "data" and ("dataset" in described or reference.startswith("dataset:")):
        return DATASET_KIND
    return PACKAGE_KIND


def add_component(graph: Graph, component: dict[str, Json], fragment: str) -> str:
    """Add a component with its licences and what the BOM says of it that SPDX has no member for; return its id."""
    kind = kind_of(component)
    members = dict(_common(component))
    if kind == FILE_KIND:
        members.update(_file(component))
    else:
        members.update(_package(graph, component, fragment))
    if kind == MODEL_KIND:
        members.update(_model(component))
    if kind == DATASET_KIND:
        members["dataset_datasetType"] = ["noAssertion"]
        members["originatedBy"] = [members["suppliedBy"]] if "suppliedBy" in members else []
    lacking = [name.partition("_")[2] or name for name in REQUIRED.get(kind, ()) if not members.get(name)]
    if lacking:
        members["comment"] = f"not known, and therefore left out: {', '.join(lacking)}"
    element = graph.add(kind, fragment, **members)
    if kind in (MODEL_KIND, DATASET_KIND) or component.get("licenses"):
        license_component(graph, element, fragment, component)
    others = [(name, value) for name, value in pairs(component.get("modelCard")) if not _is_hyperparameter(name)]
    said: list[Json] = [{"name": name, "value": value} for name, value in (*pairs(component), *others)]
    if said and kind != FILE_KIND:
        graph.add(
            "Annotation", f"annotation/{fragment}", annotationType="other", subject=element,
            contentType="application/json", statement=strictjson.pretty(said).decode(),
        )  # fmt: skip
    return element


def _common(component: dict[str, Json]) -> Iterator[tuple[str, Json]]:
    yield "name", text(component, "name") or "unnamed"
    yield "description", text(component, "description")
    yield "software_copyrightText", text(component, "copyright")
    yield "software_primaryPurpose", _PURPOSES.get(str(component.get("type")), "other")
    yield (
        "verifiedUsing",
        [
            {"type": "Hash", "algorithm": _ALGORITHMS.get(str(item.get("alg")), "other"), "hashValue": value}
            for item in objects(component, "hashes")
            if (value := text(item, "content")) is not None
        ],
    )
    yield "releaseTime", moment(member(component, "releaseNotes"), "timestamp")
    yield (
        "externalIdentifier",
        [
            {"type": "ExternalIdentifier", "externalIdentifierType": "swhid", "identifier": value}
            for value in texts(component, "swhid")
        ],
    )


def _file(component: dict[str, Json]) -> Iterator[tuple[str, Json]]:
    media = text(component, "mime-type")
    if media is not None and media.count("/") == 1 and not media.startswith("/") and not media.endswith("/"):
        yield "contentType", media
    roles, sizes = values(component, "file:role"), values(component, "file:size")
    if len(roles) == 1:
        yield "software_primaryPurpose", _ROLES.get(roles[0], "file")
    told = [f"role {role}" for role in roles] + [f"{size} bytes" for size in sizes]
    yield "comment", ", ".join(told)


def _package(graph: Graph, component: dict[str, Json], fragment: str) -> Iterator[tuple[str, Json]]:
    group = text(component, "group")
    if group is not None:
        yield "name", f"{group}/{text(component, 'name') or 'unnamed'}"
    yield "software_packageVersion", text(component, "version")
    yield "software_packageUrl", uri(component, "purl")
    references = objects(component, "externalReferences")
    places = [address for item in references if item.get("type") == "distribution" and (address := uri(item, "url"))]
    pages = [address for item in references if item.get("type") == "website" and (address := uri(item, "url"))]
    data = [address for item in objects(component, "data") if (address := uri(member(item, "contents"), "url"))]
    yield "software_downloadLocation", next(iter(places + data), None)
    yield "software_homePage", next(iter(pages), None)
    supplier = _supplier(graph, component, fragment)
    if supplier is not None:
        yield "suppliedBy", supplier
    yield (
        "externalRef",
        [
            {
                "type": "ExternalRef",
                "externalRefType": _REFERENCES.get(str(item.get("type")), "other"),
                "locator": [address],
            }
            for item in references
            if (address := text(item, "url")) is not None and address not in (*places[:1], *pages[:1])
        ],
    )


def _supplier(graph: Graph, component: dict[str, Json], fragment: str) -> str | None:
    """Add who stands behind a component: its manufacturer, supplier, authors, or the account that published it."""
    for role in ("manufacturer", "supplier"):
        name = text(member(component, role), "name")
        if name is not None:
            return graph.add("Organization", f"agent/{fragment}", name=name, comment=role)
    for item in objects(component, "authors"):
        name = text(item, "name")
        if name is not None:
            return graph.add("Person", f"agent/{fragment}", name=name, comment="author")
    account = text(component, "publisher") or text(component, "group")
    if account is None:
        return None
    told = "account that published it; the legal entity behind it is not known"
    return graph.add("Agent", f"agent/{fragment}", name=account, comment=told)


def _model(component: dict[str, Json]) -> Iterator[tuple[str, Json]]:
    """Yield the members of the AI profile; nothing that the card does not say, least of all how it was trained."""
    card = member(component, "modelCard")
    parameters, considered = member(card, "modelParameters"), member(card, "considerations")
    family, architecture = text(parameters, "architectureFamily"), text(parameters, "modelArchitecture")
    yield (
        "ai_typeOfModel",
        [item for item in (family, architecture, text(member(parameters, "approach"), "type")) if item],
    )
    task = text(parameters, "task")
    yield "ai_domain", [task] if task is not None else []
    yield "ai_autonomyType", "noAssertion"
    yield "ai_useSensitivePersonalInformation", "noAssertion"
    yield "ai_limitation", "\n".join(texts(considered, "technicalLimitations"))
    yield "ai_informationAboutApplication", "\n".join(texts(considered, "useCases"))
    told = [(name, value) for name, value in pairs(card) if _is_hyperparameter(name)]
    yield "ai_hyperparameter", _entries((name.removeprefix(PREFIX), value) for name, value in told)
    measured = objects(member(card, "quantitativeAnalysis"), "performanceMetrics")
    yield (
        "ai_metric",
        _entries(
            (f"{name} [{part}]" if (part := text(item, "slice")) else name, value)
            for item in measured
            if (name := text(item, "type")) is not None and (value := text(item, "value")) is not None
        ),
    )


def _is_hyperparameter(name: str) -> bool:
    if not name.startswith(PREFIX):
        return True
    own = name.removeprefix(PREFIX)
    return own.startswith(_HYPERPARAMETERS) and not own.endswith((":rule", ":note"))


def _entries(told: Iterator[tuple[str, str]]) -> Json:
    """Return a dictionary; values of one key stand in one entry, because its keys are unique."""
    joined: dict[str, list[str]] = {}
    for key, value in told:
        joined.setdefault(key, []).append(value)
    return [{"type": "DictionaryEntry", "key": key, "value": ", ".join(held)} for key, held in sorted(joined.items())]
