"""Hand-made BOMs for the lists of regulators: one of mbom's layout that answers every element, one by somebody else."""

from copy import deepcopy
from typing import Any

DIGEST = "d" * 64
MODEL = "pkg:generic/tiny@sha256:" + DIGEST
STATED = (
    *("data-biases", "data-curation", "data-obtained", "data-points", "data-scope", "data-type", "data-unsuitability"),
    *("decision-rationale", "design-specifications", "inference-computation", "inference-computation-methodology"),
    *("technical-means", "training-computation", "training-computation-methodology", "training-design"),
    *("training-energy-methodology", "training-time", "type-and-nature", "union-release-date"),
)


def props(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    """Return properties under mbom's prefix."""
    return [{"name": f"mbom:{name}", "value": value} for name, value in pairs]


def sha256(digit: str) -> list[dict[str, str]]:
    """Return the ``hashes`` of one made-up digest."""
    return [{"alg": "SHA-256", "content": digit * 64}]


DATASET: dict[str, Any] = {
    "type": "data",
    "bom-ref": "dataset:org/corpus",
    "name": "corpus",
    "description": "Web pages of 2024.",
    "purl": "pkg:huggingface/org/corpus",
    "hashes": sha256("e"),
    "licenses": [{"license": {"id": "CC-BY-4.0"}}],
    "data": [
        {
            "type": "dataset",
            "contents": {"properties": [{"name": "modality", "value": "text"}, {"name": "rows", "value": "12"}]},
            "classification": "public",
            "sensitiveData": ["names of people"],
            "governance": {"owners": [{"organization": {"name": "Org"}}]},
        }
    ],
}
MODEL_CARD: dict[str, Any] = {
    "modelParameters": {
        "approach": {"type": "self-supervised"},
        "task": "text-generation",
        "architectureFamily": "gpt_oss",
        "modelArchitecture": "GptOssForCausalLM",
        "datasets": [{"ref": "dataset:org/corpus"}],
        "inputs": [{"format": "text"}],
        "outputs": [{"format": "text"}],
    },
    "quantitativeAnalysis": {
        "performanceMetrics": [
            {"type": "mbom:behaviour:prompts", "value": "8"},
            {"type": "accuracy", "value": "0.7"},
            {"type": "jailbreak rate", "value": "0.1"},
        ]
    },
    "considerations": {
        "useCases": ["chat"],
        "technicalLimitations": ["makes things up"],
        "environmentalConsiderations": {
            "energyConsumptions": [
                {
                    "activity": "training",
                    "energyProviders": [
                        {
                            "organization": {"name": "Grid"},
                            "energySource": "wind",
                            "energyProvided": {"value": 9, "unit": "kWh"},
                        }
                    ],
                    "activityEnergyCost": {"value": 9, "unit": "kWh"},
                }
            ]
        },
    },
    "properties": props(
        ("architecture:context-length", "131072"),
        ("footprint:accelerators", "1 x 80 GB"),
        ("footprint:accelerators:rule", "least memory"),
        ("parameters:active", "3600000000"),
        ("parameters:total", "20900000000"),
    ),
}
FULL: dict[str, Any] = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.7",
    "serialNumber": "urn:uuid:f96966bc-e5e6-57d3-94f2-17154ed98c47",
    "version": 1,
    "metadata": {
        "timestamp": "2026-05-12T10:30:15+00:00",
        "lifecycles": [{"phase": "post-build"}],
        "authors": [{"name": "Ada"}],
        "tools": {"components": [{"type": "application", "bom-ref": "tool:mbom", "name": "mbom", "version": "1.2.3"}]},
        "component": {
            "type": "data",
            "bom-ref": "checkpoint",
            "name": "tiny checkpoint",
            "version": f"sha256:{DIGEST}",
        },
    },
    "components": [
        {
            "type": "machine-learning-model",
            "bom-ref": MODEL,
            "purl": MODEL,
            "name": "tiny",
            "group": "org",
            "version": f"sha256:{DIGEST}",
            "publisher": "org",
            "manufacturer": {"name": "Org Ltd", "address": {"country": "NO"}},
            "description": "GptOssForCausalLM, 20,900,000,000 parameters",
            "releaseNotes": {"type": "major", "timestamp": "2026-01-01T00:00:00Z"},
            "hashes": sha256("d"),
            "licenses": [{"license": {"id": "Apache-2.0", "acknowledgement": "declared"}}],
            "evidence": {"licenses": [{"license": {"id": "Apache-2.0"}}]},
            "externalReferences": [
                {"type": "distribution", "url": "https://example.org/tiny"},
                {"type": "license", "url": "https://example.org/LICENSE"},
                {"type": "rfc-9116", "url": "https://example.org/security.txt"},
                {"type": "advisories", "url": "https://example.org/advisories"},
                {"type": "certification-report", "url": "https://example.org/certified"},
            ],
            "components": [
                {
                    "type": "file",
                    "bom-ref": f"file:{name}",
                    "name": name,
                    "hashes": sha256("a"),
                    "properties": props(("file:role", role)),
                }
                for name, role in (("USE_POLICY.md", "policy"), ("model.safetensors", "weights"))
            ],
            "pedigree": {
                "ancestors": [
                    {
                        "type": "machine-learning-model",
                        "bom-ref": "base:org/base",
                        "name": "base",
                        "group": "org",
                        "properties": props(("lineage:relation", "finetune"), ("lineage:verified", "derived")),
                    }
                ]
            },
            "modelCard": MODEL_CARD,
            "properties": props(
                ("licence:restriction", "acceptable-use-policy"),
                ("model:digest", DIGEST),
                ("openness:class", "open weights"),
                ("openness:datasets", "absent: no file of the checkpoint has the name of one"),
                ("openness:training-code", "present train.py; licence Apache-2.0; open"),
                ("producer:country", "NO"),
                *((f"gpai:{item}", f"words on {item}") for item in STATED),
            ),
        },
        DATASET,
        {"type": "library", "bom-ref": "runtime:torch", "name": "torch", "version": "2.13"},
        {"type": "device", "bom-ref": "runtime:H200", "name": "H200"},
    ],
    "dependencies": [
        {"ref": "checkpoint", "dependsOn": [MODEL]},
        {"ref": MODEL, "dependsOn": ["file:USE_POLICY.md", "file:model.safetensors"]},
    ],
    "compositions": [
        {"aggregate": "complete", "assemblies": [MODEL]},
        {"aggregate": "unknown", "dependencies": [MODEL]},
    ],
    "externalReferences": [{"type": "digital-signature", "url": "bom.sigstore.json"}],
}

# As small as a generator may write one; one of a model, though it is not the first component.
FOREIGN: dict[str, Any] = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "version": 1,
    "metadata": {
        "timestamp": "2026-01-01T00:00:00Z",
        "tools": [{"vendor": "somebody", "name": "aibom"}],
        "component": {"type": "application", "bom-ref": "app", "name": "chat", "version": "3"},
    },
    "components": [
        {"type": "library", "name": "left-pad", "version": "1.0.0", "purl": "pkg:npm/left-pad@1.0.0"},
        {
            "type": "machine-learning-model",
            "bom-ref": "m",
            "name": "tiny",
            "version": "unknown",
            "supplier": {"name": "NOASSERTION"},
            "description": "A model.",
            "hashes": sha256("f"),
            "licenses": [{"license": {"name": "other"}}],
            "modelCard": {
                "modelParameters": {
                    "architectureFamily": "llama",
                    "datasets": [{"type": "dataset", "name": "corpus", "contents": {"url": "https://example.org/c"}}],
                },
                "properties": [{"name": "genai:aibom:modelcard:params", "value": "7B"}],
            },
        },
    ],
    "dependencies": [{"ref": "app", "dependsOn": ["m"]}],
    "services": [
        {
            "bom-ref": "s",
            "name": "api",
            "authenticated": True,
            "data": [{"flow": "inbound", "classification": "personal"}],
        }
    ],
}


def full() -> dict[str, Any]:
    """Return a BOM of mbom's layout that answers every element that applies to a bare checkpoint."""
    return deepcopy(FULL)


def foreign() -> dict[str, Any]:
    """Return a small BOM of CycloneDX 1.6 by another generator, of an application with a model in it."""
    return deepcopy(FOREIGN)
