"""Every rule by its name: what it is about, and the function that answers it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mbom.bom.coverage import datasets, documents, forms, models, systems
from mbom.bom.coverage.answers import Answer
from mbom.bom.coverage.view import View


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One question that lists ask, under whatever name."""

    title: str
    answer: Callable[[View], Answer]


# Items of the EU form that are answered by nothing but the provider's word.
_ASKED = {
    "data-biases": "measures to detect biases in the data",
    "data-curation": "methods of curating the data",
    "data-obtained": "how data was obtained and selected",
    "data-points": "number of data points",
    "data-scope": "scope and characteristics of the data",
    "data-unsuitability": "measures to detect unsuitable sources of data",
    "decision-rationale": "reasons for key decisions in training",
    "design-specifications": "design specifications of the model",
    "inference-computation": "computation of a benchmarked inference",
    "inference-computation-methodology": "how computation of inference was measured",
    "technical-means": "technical means for integration",
    "training-computation": "computation used for training",
    "training-computation-methodology": "how computation of training was measured",
    "training-energy-methodology": "how energy of training was measured",
    "training-time": "training time",
    "type-and-nature": "systems that the model can be integrated in",
    "union-release-date": "release on the Union market",
}

RULES: Mapping[str, Rule] = {
    name: Rule(title=title, answer=answer)
    for name, title, answer in (
        ("document-author", "author of the BOM", documents.author),
        ("document-version", "version of the BOM", documents.version),
        ("document-format-name", "name of the data format", documents.format_name),
        ("document-format-version", "version of the data format", documents.format_version),
        ("document-signature", "signature of the BOM", documents.signature),
        ("document-tool-name", "name of the tool", documents.tool_name),
        ("document-tool-version", "version of the tool", documents.tool_version),
        ("document-context", "generation context", documents.context),
        ("document-timestamp", "time of the BOM", documents.timestamp),
        ("dependencies", "dependencies and ancestors", documents.dependencies),
        ("composition-coverage", "completeness of the parts", documents.composition_coverage),
        ("known-unknowns", "known unknowns", documents.known_unknowns),
        ("system-name", "name of the system", systems.name),
        ("system-version", "version of the system", systems.version),
        ("system-components", "components of the system", systems.parts),
        ("system-producer", "producer of the system", systems.producer),
        ("system-timestamp", "time of the system", systems.timestamp),
        ("system-data-flow", "data flow", systems.data_flow),
        ("system-data-usage", "data usage", systems.data_usage),
        ("intended-area", "intended application area", systems.intended_area),
        ("component-name", "name", models.name),
        ("component-identifier", "identifiers", models.identifier),
        ("component-version", "version", models.version),
        ("component-producer", "producer", models.producer),
        ("component-hash", "digests of the model and its files", models.digests),
        ("component-hash-algorithm", "digest algorithms", models.algorithms),
        ("component-licence", "licence", models.licence),
        ("licence-link", "link to the licence", models.licence_link),
        ("legal-name", "legal name of the provider", models.legal_name),
        ("release-date", "first release", models.release_date),
        ("model-timestamp", "time of the model", models.timestamp),
        ("model-description", "description of abilities and limits", models.description),
        ("model-architecture", "architecture", models.architecture),
        ("model-properties", "architecture and parameters", models.properties),
        ("model-size", "number of parameters", models.size),
        ("model-size-range", "range of the number of parameters", models.size_range),
        ("model-io", "input and output", models.io),
        ("input-modalities", "input modalities", models.inputs),
        ("output-modalities", "output modalities", models.outputs),
        ("model-training", "training", models.training),
        ("model-references", "external references", models.references),
        ("dataset-name", "names of data sets", datasets.name),
        ("dataset-description", "descriptions of data sets", datasets.description),
        ("dataset-content", "content of data sets", datasets.content),
        ("dataset-identifier", "identifiers of data sets", datasets.identifier),
        ("dataset-hash", "digests of data sets", datasets.digest),
        ("dataset-provenance", "provenance of data sets", datasets.provenance),
        ("dataset-statistics", "statistics of data sets", datasets.statistics),
        ("dataset-sensitivity", "sensitivity of data sets", datasets.sensitivity),
        ("dataset-dependency", "links between model and data sets", datasets.dependency),
        ("dataset-licence", "licences of data sets", datasets.licence),
        ("runtime-software", "software that it is run with", systems.software),
        ("runtime-hardware", "hardware that it is run on", systems.hardware),
        ("security-controls", "security controls", systems.controls),
        ("security-compliance", "security standards", systems.compliance),
        ("security-policy", "security policy", systems.policy),
        ("vulnerabilities", "vulnerabilities", systems.vulnerabilities),
        ("security-metrics", "metrics of security", systems.security_metrics),
        ("operational-metrics", "metrics of quality, speed and energy", systems.operational_metrics),
        ("model-name", "name and identifiers of the model", forms.name),
        ("model-dependencies", "base models", forms.dependencies),
        ("distribution", "distribution channels", forms.distribution),
        ("additional-assets", "additional assets", forms.additional_assets),
        ("acceptable-use-policy", "acceptable use policy", forms.acceptable_use_policy),
        ("intended-uses", "intended or restricted uses", forms.intended_uses),
        ("required-hardware", "required hardware", forms.hardware),
        ("required-software", "required software", forms.software),
        ("training-design", "design of the training", forms.training_design),
        ("data-type", "kinds of data", forms.data_type),
        ("data-provenance", "provenance of data", forms.data_provenance),
        ("training-energy", "energy of training", forms.training_energy),
        *((f"gpai:{item}", title, forms.stated(item)) for item, title in _ASKED.items()),
    )
}
