"""What the rules of a policy can speak of, in a fixed shape: ``docs/policy.md`` describes it.

Every member is always there; what is not known is null. ``rules`` shows it to those rules alone that speak of it.
"""

import math
from collections.abc import Mapping

from mbom.attestation import format_time
from mbom.bom.description import Description
from mbom.diff.changes import Changes
from mbom.dossier import Dossier
from mbom.policy.case import Case
from mbom.policy.measures import largest_change, weights_changed
from mbom.strictjson import Json

NAMES = ("model", "bom", "verdict", "record", "findings", "changes", "now")


def variables(case: Case) -> dict[str, Json]:
    """Return the variables by name."""
    return {
        "model": _model(case),
        "bom": _bom(case.dossier.described),
        "verdict": _verdict(case),
        "record": _record(case.dossier),
        "findings": _findings(case),
        "changes": _changes(case.changes) if case.changes is not None else None,
        "now": format_time(case.now),
    }


def _model(case: Case) -> Json:
    origin = case.dossier.inventory.origin
    attestation = case.dossier.attestation
    return {
        "name": case.model,
        "repo": origin.repo,
        "revision": origin.revision,
        "digest": case.dossier.inventory.digest,
        "kind": case.dossier.kind,
        "attested": format_time(attestation.time) if attestation is not None else None,
        "files": len(case.dossier.inventory.files),
        "bytes": sum(file.size for file in case.dossier.inventory.files),
        "dtypes": list[Json](sorted({tensor.dtype for tensor in case.dossier.inventory.tensors})),
    }


def _bom(told: Description) -> Json:
    return {
        "params": {"total": told.parameters, "active": told.active},
        "licences": {
            "declared": list[Json](told.licences_declared),
            "detected": [
                {"id": item.id, "key": item.key, "match": item.match, "file": item.file}
                for item in told.licences_detected
            ],
            "unknown_texts": list[Json](told.licence_texts_unknown),
        },
        "restrictions": [
            {"kind": item.kind, "value": item.value, "scope": item.scope} for item in told.restrictions
        ],
        "origin": {"account": told.account, "entity": told.entity, "country": told.country},
        "ancestors": [
            {"name": item.name, "relations": list[Json](item.relations), "verified": item.verified}
            for item in told.ancestors
        ],
        "datasets": list[Json](told.datasets),
        "openness": told.openness,
        "gated": told.gated,
        "model_type": told.model_type,
        "architecture": _lists(told.architecture),
        "tokenizer": _lists(told.tokenizer),
        "properties": _lists(told.properties),
    }  # fmt: skip


def _verdict(case: Case) -> Json:
    verdict = case.verdict
    return {
        "outcome": verdict.outcome if verdict is not None else None,
        "signer": case.signer,
        "logged": case.logged,
        "stamped": case.stamped,
        "checks": {check.id: check.outcome for check in verdict.checks} if verdict is not None else {},
    }


def _record(dossier: Dossier) -> Json:
    if dossier.record is None:
        return None
    coverage = dossier.record.coverage
    return {
        "positions": dossier.record.positions,
        "layers": coverage.layers,
        "experts": coverage.experts,
        "experts_reached": coverage.experts_reached,
        "vocabulary": coverage.vocabulary,
        "vocabulary_reached": coverage.vocabulary_reached,
        "trials": len(dossier.record.sensitivity),
        "tensors_not_executed": len(coverage.tensors_not_executed),
    }


def _findings(case: Case) -> Json:
    old = set() if case.previous is None else {(item.id, item.path) for item in case.previous.inventory.findings}
    return [
        {"id": item.id, "severity": item.severity, "path": item.path, "is_new": (item.id, item.path) not in old}
        for item in case.dossier.inventory.findings
    ]


def _changes(changes: Changes) -> Json:
    behaviour, tokenizer = changes.behaviour, changes.tokenizer
    largest = largest_change(changes)
    statuses = ("renamed", "changed", "added", "removed")
    return {
        "identical": changes.identical,
        "sections": list[Json](sorted({item.section for item in changes.fields})),
        "fields": [{"section": item.section, "name": item.name} for item in changes.fields],
        "files": {
            status: [item.name for item in changes.files.changes if item.status == status] for status in statuses
        },
        "tensors": dict(changes.tensors.counts),
        "weights_changed": weights_changed(changes),
        "max_relative_change": _finite(largest.relative + largest.error) if largest is not None else None,
        "explanations": [{"id": item.id, "outcome": item.outcome} for item in changes.explanations],
        "kl_mean": _finite(behaviour.kl_mean) if behaviour is not None else None,
        "top1_agreement": _finite(behaviour.top1_agreement) if behaviour is not None else None,
        "tokens": (
            {"added": tokenizer.added, "moved": tokenizer.moved, "removed": tokenizer.removed}
            if tokenizer is not None
            else None
        ),
        "templates": [item.name for item in changes.templates],
        "findings_new": [item.id for item in changes.findings_new],
    }


def _finite(number: float) -> float | None:
    """Return a number that JSON has; others are unknown."""
    return number if math.isfinite(number) else None


def _lists(held: Mapping[str, tuple[str, ...]]) -> Json:
    return {name: list[Json](values) for name, values in held.items()}
